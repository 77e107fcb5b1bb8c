"""What priors earn of units when landmarks alone are tracked, on performers before one camera whom nobody films.

    python benchmarks/track_units.py --performer 2 --performer 3 [--frames 60] [--uneven] --json FILE

The studio's detector sees where true vertices are, creases left out; no picture is traced. Shape is solved for once,
motion from there with each set of weights, and judged as by track_truth.py. --uneven: the performer acts contempt,
which is one-sided, raises and lowers one brow of two alone, and moves the mouth's right half 0.4 times as far.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from harness import write_report
from track_truth import aligned_error, gaze_error, largest_units

from emoga.capture import Capture, HeldOut, Landmarks
from emoga.geometry import vertex_normals
from emoga.head import Head, load_head
from emoga.optimize.solving_priors import PriorWeights
from emoga.progress import silent
from emoga.studio.acting import Performance
from emoga.studio.detector import detected_landmarks, exact_landmarks, facing, smooth_normals
from emoga.studio.performer import make_performer
from emoga.studio.plans import Plan, plan_single
from emoga.tracking.inputs import Clip
from emoga.tracking.stages import EFFORTS, Tracker, solve_motion, solve_shape, start_state
from emoga.tracking.start import guess_camera

SIZE = 256
WEAKER = 0.4  # of the uneven mouth's left half, how far the right one moves
STILL = ("browOuterUpRight", "browDownLeft")
CASES = {
    "neither": PriorWeights(settled_sparsity=PriorWeights().sparsity, asymmetry=math.inf),
    "cheaper once settled": PriorWeights(asymmetry=math.inf),
    "sides move alike": PriorWeights(settled_sparsity=PriorWeights().sparsity),
    "both, as now": PriorWeights(),
}


def uneven(acted: Performance, head: Head) -> Performance:
    """The same performance, its right half weaker."""
    expr = acted.expr.clone()
    expr[:, [head.unit(name) for name in STILL]] = 0
    sides = [name for name in head.expr_names if name.startswith("mouth") and name.endswith("Right")]
    expr[:, [head.unit(name) for name in sides if name != "mouthRight"]] *= WEAKER
    return replace(acted, expr=expr)


def seen_landmarks(vertices: np.ndarray, plan: Plan, head: Head) -> Landmarks:
    """What the studio's detector makes of true vertices [T,V,3]."""
    embedding, cameras = head.landmarks["mediapipe478"], plan.cameras()
    posed = torch.from_numpy(vertices)
    points, template = embedding.points(posed).numpy(), embedding.points(head.template).numpy()
    normals = smooth_normals(embedding.points(vertex_normals(posed, head.faces)).numpy(), template)
    exact = exact_landmarks(points, cameras)
    cosines = np.stack([facing(points, normals, camera) for camera in cameras])
    height = Landmarks(exact, np.ones(exact.shape[:2], bool), "mediapipe478").face_height()
    noisy = detected_landmarks(exact, cosines, template, height, plan.seed).astype(np.float32)
    return Landmarks(noisy, np.ones(noisy.shape[:2], bool), "mediapipe478")


def rows(performer: int, frames: int, one_sided: bool, head: Head) -> list[dict[str, Any]]:
    """One row for each set of weights."""
    plan = plan_single(performer, frames=frames, size=SIZE, emotion="contempt" if one_sided else None)
    acted = uneven(plan.performance(), head) if one_sided else plan.performance()
    vertices = make_performer(performer).vertices(acted)
    marks = seen_landmarks(vertices, plan, head)
    unseen = SimpleNamespace(path=Path("unseen"), width=SIZE, height=SIZE)
    clip = Clip(Capture(unseen.path, [unseen], frames, plan.fps), np.arange(frames), marks, HeldOut(), None)
    model = head.landmarks["mediapipe478"].points(head.template).numpy()
    camera = guess_camera(marks, model, SIZE, SIZE, None, "camera")
    tracker = Tracker(clip, head, [camera], EFFORTS["default"], PriorWeights(), silent, False)
    shaped, _ = solve_shape(tracker, start_state(tracker))
    truth, face = torch.from_numpy(vertices), head.regions["face"]
    found = []
    for case, weights in CASES.items():
        begun, tracker.weights = time.perf_counter(), weights
        state = solve_motion(tracker, shaped)
        posed = tracker.posed(state)
        figures = largest_units(state.params.expr.numpy(), acted.expr.double().numpy(), list(head.expr_names))
        found.append({
            "performer": performer, "uneven": one_sided, "case": case,
            "aligned_mm": round(aligned_error(posed[:, face], truth[:, face]), 3),
            "gaze_degrees": round(gaze_error(posed, truth, head), 2),
            **figures, "seconds": round(time.perf_counter() - begun, 1),
        })  # fmt: skip
        print("  ".join(f"{key} {value}" for key, value in found[-1].items() if key != "units"), flush=True)
    return found


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--performer", type=int, action="append", required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--uneven", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = load_head().to(dtype=torch.float64)
    found = [
        row for number in options.performer for row in rows(number, options.frames, options.uneven, head)
    ]
    write_report(found, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
