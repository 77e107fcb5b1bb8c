"""A track as the folder that VHAP writes and GaussianAvatars trains on; the format is told in capture/transforms.py.

images/TTTTT_CC.png carry the foreground as alpha, the picture's own colours under it; fg_masks/ the same alpha. The
split is the track's hold-out. flame_param/TTTTT.npz is written for FLAME heads, whose numbers it holds, only.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.capture import Track
from emoga.capture.calibration import from_w2c
from emoga.capture.transforms import CONVENTION, INDEX, SPLITS
from emoga.exporting.flame import flame_param
from emoga.images import write_png
from emoga.progress import Note, Reporter, silent, tracked

PER_FRAME = ("expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation", "dynamic_offset")
OPEN_MOUTH = 0.3  # radians of the jaw in their canonical pose


def write_vhap(track: Track, folder: Path, report: Reporter = silent) -> None:
    """Write the whole track into `folder`. Raises InputError when its pictures are gone or have changed."""
    frames = []
    for time in tracked(range(track.frame_count), "pictures", report):
        for view, camera in enumerate(track.cameras):
            frames.append(_write_picture(track, folder, view, time) | camera_entry(camera))
    if track.head_name.startswith("flame"):
        _write_flame(track, folder)
        for frame in frames:
            frame["flame_param_path"] = f"flame_param/{frame['timestep_index']:05d}.npz"
    else:
        report(
            Note(f"flame_param is left out: the {track.head_name} head has no FLAME parameters", warning=True)
        )
    held, times, views = track.held_out, range(track.frame_count), range(len(track.cameras))
    training = held.training_frames(len(times)), held.training_views(len(views))
    _write_index(folder / INDEX, frames, track, list(times), list(views))
    _write_index(folder / SPLITS[0], frames, track, *training)
    _write_index(folder / SPLITS[1], frames, track, training[0], list(held.views))
    _write_index(folder / SPLITS[2], frames, track, list(held.frames), list(views))


def camera_entry(camera: Camera) -> dict[str, Any]:
    """A camera in the words of the format."""
    fx, fy = camera.K[0, 0], camera.K[1, 1]
    return {
        "fl_x": fx, "fl_y": fy, "cx": camera.K[0, 2], "cy": camera.K[1, 2], "w": camera.width, "h": camera.height,
        "camera_angle_x": 2 * math.atan(camera.width / (2 * fx)),
        "camera_angle_y": 2 * math.atan(camera.height / (2 * fy)),
        "transform_matrix": from_w2c(camera.w2c, CONVENTION).tolist(),
    }  # fmt: skip


def _write_picture(track: Track, folder: Path, view: int, time: int) -> dict[str, Any]:
    name = f"{time:05d}_{view:02d}.png"
    entry: dict[str, Any] = {
        "timestep_index": time,
        "timestep_index_original": int(track.frames[time]),
        "timestep_id": f"{int(track.frames[time]):05d}",
        "camera_index": view,
        "camera_id": track.cameras[view].name,
        "file_path": f"images/{name}",
    }
    picture = track.picture(view, time)
    if track.masks is not None:
        mask = track.masks[view, time]
        picture = np.dstack([picture, mask])
        write_png(folder / "fg_masks" / name, mask)
        entry["fg_mask_path"] = f"fg_masks/{name}"
    write_png(folder / "images" / name, picture)
    return entry


def _write_index(path: Path, frames: list[dict], track: Track, times: list[int], views: list[int]) -> None:
    chosen = [f for f in frames if f["timestep_index"] in set(times) and f["camera_index"] in set(views)]
    shared = camera_entry(track.cameras[0])
    del shared["transform_matrix"]
    index = {**shared, "timestep_indices": times, "camera_indices": views, "frames": chosen}
    path.write_text(json.dumps(index, indent=1), encoding="utf-8")


def _write_flame(track: Track, folder: Path) -> None:
    arrays = flame_param(track.params, track.params.shape, track.params.static_offset, track.head_name)
    (folder / "flame_param").mkdir(parents=True, exist_ok=True)
    for time in range(track.frame_count):
        own = {
            name: values[time : time + 1] if name in PER_FRAME else values for name, values in arrays.items()
        }
        _save(folder / "flame_param" / f"{time:05d}.npz", own)
    canonical = {name: np.zeros_like(arrays[name][:1]) for name in PER_FRAME}
    canonical["jaw_pose"][0, 0] = OPEN_MOUTH
    kept = {name: values for name, values in arrays.items() if name not in PER_FRAME}
    _save(folder / "canonical_flame_param.npz", {**kept, **canonical})


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)
