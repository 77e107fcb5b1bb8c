"""What each part of tracking a single video earns: the same studio capture with one part left out at a time.

    python benchmarks/track_ablations.py CAPTURE [--end FRAME] [--only CASE ...] --json FILE

Errors are those of track_truth.py; `jitter` is the second difference of the skull's points less that of the truth's, in
pixels, so that a head that shakes stands out.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import emoga  # isort: skip  before torch: it sets how torch's threads wait
import h5py
import numpy as np
import torch
from harness import write_report
from track_truth import judge

from emoga.capture import open_capture
from emoga.head import Head, load_head
from emoga.tracking.report import jitter
from emoga.tracking.stages import EFFORTS

WHOLE = EFFORTS["default"]
CASES = {
    "whole": WHOLE,
    "without portrait": replace(WHOLE, portrait_steps=0),
    "without alignment of the face": replace(WHOLE, face_passes=0),
    "without alignment of the head": replace(WHOLE, head_passes=0),
    "without outline": replace(WHOLE, outline=False),
    "landmarks alone": replace(WHOLE, portrait_steps=0, face_passes=0, head_passes=0),
}


def row(case: str, capture: Path, end: int | None, head: Head) -> dict[str, Any]:
    """Track a capture in one way; its figures."""
    EFFORTS[case] = CASES[case]
    opened = open_capture(capture)
    name = opened.names[0]
    with tempfile.TemporaryDirectory() as folder:
        track = emoga.track(
            capture / "images" / name, Path(folder) / "t.h5", landmarks=capture / "landmarks" / f"{name}.npz",
            preset=case, end=end, overlay=False,
        )  # fmt: skip
    with h5py.File(capture / "truth_vertices.h5") as file:
        truth = torch.from_numpy(file["vertices"][()]).double()[track.frames]
    shaking = jitter(track.cameras, head, head.vertices(track.params.to(dtype=torch.float64)))
    true_shaking = jitter(opened.cameras, head, truth)
    figures = judge(track, capture, head)
    kept = (
        "aligned_mm",
        "gaze_degrees",
        "units_mean",
        "units_least",
        "units_worst",
        "landmarks_relative",
        "seconds",
    )
    return {
        "case": case,
        **{key: figures[key] for key in kept},
        "photometric": round(float(np.nanmean(track.quality["photometric"])), 5),
        "jitter": round(float(np.nanmean(shaking) - np.nanmean(true_shaking)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--end", type=int, help="frame to stop before")
    parser.add_argument("--only", action="append", choices=list(CASES), help="cases to run; repeatable")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = load_head().to(dtype=torch.float64)
    rows = []
    for case in options.only or CASES:
        rows.append(row(case, options.capture, options.end, head))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    write_report(rows, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
