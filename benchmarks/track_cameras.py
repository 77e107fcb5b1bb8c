"""How far the cameras that emoga recovers from synchronised videos alone are from the true ones.

    python benchmarks/track_cameras.py CAPTURE --views 2,8,13 [--views ...] --json FILE

Takes the pictures and landmarks of some views of a studio rig capture, without its cameras, tracks them, and
compares cameras in the head's frame with scale alone freed: the places as a share of their distance from the head, the
turns in degrees, the focal lengths as a share; the worst camera of each row. The head's frame is where the tracked
vertices of the face lie against the true ones: a pose's turn is split between head and neck, which nobody sees.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import emoga  # isort: skip  before torch: it sets how torch's threads wait
import h5py
import numpy as np
import torch
from harness import write_report
from track_truth import judge

from emoga.camera import Camera
from emoga.capture import Track, load_track, open_capture
from emoga.geometry import axis_angle_to_matrix, similarity_align
from emoga.head import Head, load_head


def without_cameras(capture: Path, names: list[str], folder: Path) -> Path:
    """A folder with the pictures, masks and landmarks of some cameras of a capture, and nothing else."""
    for name in names:
        shutil.copytree(capture / "images" / name, folder / "images" / name)
        (folder / "landmarks").mkdir(exist_ok=True)
        shutil.copy(capture / "landmarks" / f"{name}.npz", folder / "landmarks")
    return folder


def poses(track: Track) -> np.ndarray:
    """Head to world [T,4,4]."""
    result = np.tile(np.eye(4), (track.frame_count, 1, 1))
    result[:, :3, :3] = axis_angle_to_matrix(track.params.rotation.double()).numpy()
    result[:, :3, 3] = track.params.translation.numpy()
    return result


def poses_by_face(found: Track, truth: torch.Tensor, true_poses: np.ndarray, head: Head) -> np.ndarray:
    """Where the true head's frame lies in the found world [T,4,4], by the face's vertices [T,N,3] alone."""
    face = head.regions["face"]
    vertices = head.vertices(found.params.to(dtype=torch.float64))[:, face]
    result = true_poses.copy()
    for t in range(len(result)):
        scale, turn, shift = (x.numpy() for x in similarity_align(truth[t], vertices[t]))
        result[t, :3, :3] = turn @ true_poses[t, :3, :3]
        result[t, :3, 3] = scale * turn @ true_poses[t, :3, 3] + shift
    return result


def camera_figures(
    found: list[Camera], heads: np.ndarray, truth: list[Camera], true_heads: np.ndarray
) -> dict[str, float]:
    """Worst camera's error of place (share of distance), turn (degrees) and focal length; means over frames.

    heads, true_heads [T,4,4]: head to world. The head's size, unknown without cameras, is the one that suits best.
    """
    ours = np.stack([[camera.w2c @ head for head in heads] for camera in found])
    true = np.stack([[camera.w2c @ head for head in true_heads] for camera in truth])
    centres, true_centres = (-np.einsum("ctji,ctj->cti", m[..., :3, :3], m[..., :3, 3]) for m in (ours, true))
    scale = (centres * true_centres).sum() / (centres**2).sum()
    distance = np.linalg.norm(true_centres, axis=-1)
    places = (np.linalg.norm(scale * centres - true_centres, axis=-1) / distance).mean(1)
    turns = np.einsum("ctij,ctkj->ctik", ours[..., :3, :3], true[..., :3, :3])
    cosine = (np.trace(turns, axis1=2, axis2=3) - 1) / 2
    angles = np.degrees(np.arccos(cosine.clip(-1, 1))).mean(1)
    focal = [abs(a.K[0, 0] / b.K[0, 0] - 1) for a, b in zip(found, truth, strict=True)]
    return {
        "centre": round(float(places.max()), 4),
        "turn_degrees": round(float(angles.max()), 3),
        "focal": round(float(max(focal)), 4),
        "scale": round(float(scale), 4),
    }


def row(capture: Path, views: list[int], preset: str, head: Head) -> dict[str, Any]:
    """Track some views without their cameras; one row of figures."""
    whole = open_capture(capture)
    # A capture of which only some views were filmed keeps their numbers.
    names = [f"cam_{view:02d}" for view in views]
    with tempfile.TemporaryDirectory() as folder:
        source = without_cameras(capture, names, Path(folder) / "take")
        track = emoga.track(source, Path(folder) / "t.h5", preset=preset, overlay=False)
    return {
        "case": f"{capture.name}/{'+'.join(names)}",
        **figures(track, capture, [whole.cameras[whole.names.index(name)] for name in names], head),
        "seconds": track.provenance["seconds"],
    }


def figures(track: Track, capture: Path, truth: list[Camera], head: Head) -> dict[str, Any]:
    """The figures of one track."""
    true_heads = poses(load_track(open_capture(capture).truth_track))[track.frames]
    with h5py.File(capture / "truth_vertices.h5") as file:
        vertices = torch.from_numpy(file["vertices"][()]).double()[track.frames]
    heads = poses_by_face(track, vertices[:, head.regions["face"]], true_heads, head)
    errors = camera_figures(track.cameras, heads, truth, true_heads)
    return errors | {"aligned_mm": judge(track, capture, head)["aligned_mm"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--views", action="append", help="such as 2,8,13; repeatable")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = load_head().to(dtype=torch.float64)
    rows = []
    for views in options.views or ["2,8,13"]:
        rows.append(row(options.capture, [int(view) for view in views.split(",")], options.preset, head))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    write_report(rows, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
