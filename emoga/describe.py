"""Say what a file is and what is in it: every kind of file and folder that emoga reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from emoga.avatar import Avatar, inspect_avatar
from emoga.avatar.files import is_hdf5
from emoga.avatar.rig import avatar_head
from emoga.capture import Capture, load_track, open_capture
from emoga.capture.datasets import dataset_folder
from emoga.capture.media import VideoPictures
from emoga.errors import InputError
from emoga.hdf5 import kind_of
from emoga.images import IMAGE_SUFFIXES, read_image_uint8
from emoga.motion import Motion, load_motion, read_motion
from emoga.motion.readers_flame import flame_size, is_flame_archive
from emoga.npz import read_npz
from emoga.optimize.emotion_colors import residual_sh
from emoga.render.sh import SH_C0
from emoga.video import VIDEO_SUFFIXES

LARGEST_UNITS = 6


@dataclass(frozen=True)
class Description:
    """What a file is, in a few words, and its facts by name."""

    path: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)


def describe(path: str | Path) -> Description:
    """Look into a file or folder. Raises InputError when it is damaged or nothing emoga reads."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    path = dataset_folder(path)
    if path.is_dir():
        kind, facts = _folder(path)
    else:
        kind, facts = _file(path)
    return Description(str(path), kind, facts)


def _folder(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        capture = open_capture(path)
    except InputError:
        if not (path / "flame_param").is_dir():
            raise
        return _flame(path)
    if capture.cameras is not None:
        sizes = sorted({f"{camera.width}x{camera.height}" for camera in capture.cameras})
        info = {key: value for key, value in capture.info.items() if isinstance(value, (int, float, str))}
        return capture.kind, {
            **info,
            "cameras": len(capture.pictures),
            "frames": capture.frame_count,
            "fps": capture.fps,
            "size": ", ".join(sizes),
            "landmarks": capture.landmarks() is not None,
            "masks": capture.mask(0, 0) is not None,
            "truth": capture.truth_track is not None,
            **_dataset_facts(capture),
        }
    pictures = capture.pictures[0]
    if capture.unknown:
        return capture.kind, {
            "cameras": len(capture.pictures),
            "names": list(capture.unknown),
            "frames": capture.frame_count,
            "fps": capture.fps,
            "size": f"{pictures.width}x{pictures.height}",
            "landmarks": capture.landmarks() is not None,
        }
    return "folder of pictures", {"pictures": len(pictures), "size": f"{pictures.width}x{pictures.height}"}


def _dataset_facts(capture: Capture) -> dict[str, Any]:
    """What only folders of other programs have: how their cameras are written, and their split."""
    if capture.convention is None:
        return {}
    return {
        "convention": capture.convention,
        "held_out_views": list(capture.held_out.views),
        "held_out_frames": list(capture.held_out.frames),
    }


def _file(path: Path) -> tuple[str, dict[str, Any]]:
    suffix = path.suffix.lower()
    if is_hdf5(path):
        return _hdf5(path)
    with open(path, "rb") as stream:
        if stream.read(3) == b"ply":
            return _avatar(path, "PLY")
    if suffix == ".npz":
        return _npz(path)
    if suffix == ".csv":
        return "motion, ARKit CSV", _motion_facts(read_motion(path))
    if suffix in IMAGE_SUFFIXES:
        height, width = read_image_uint8(path).shape[:2]
        return "picture", {"size": f"{width}x{height}"}
    if suffix in VIDEO_SUFFIXES:
        video = VideoPictures(path)
        size = f"{video.width}x{video.height}"
        return "video", {"frames": len(video), "fps": round(video.fps, 3), "size": size}
    raise InputError(
        f"{path}: not something emoga reads; it reads avatars (.ply, .h5), tracks (.h5), motions (.h5, .csv, "
        ".npz), landmarks (.npz), videos, pictures, capture folders and the folders of VHAP, NeRSemble and nerfstudio"
    )


def _hdf5(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        with h5py.File(path, "r") as file:
            kind = kind_of(file)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: damaged HDF5 file") from error
    if kind == "avatar":
        return _avatar(path, "HDF5")
    if kind == "track":
        return "track", _track_facts(path)
    if kind == "motion":
        return "motion", _motion_facts(load_motion(path))
    raise InputError(f"{path}: an HDF5 file, but not one that emoga made")


def _avatar(path: Path, container: str) -> tuple[str, dict[str, Any]]:
    count, avatar = inspect_avatar(path)
    if avatar is None:
        return f"splats ({container}) without a rig", {
            "splats": count,
            "hint": "another program dropped the rig; load it with --like ORIGINAL",
        }
    return f"avatar ({container})", {
        "splats": count,
        "sh_degree": avatar.gaussians.sh_degree,
        "head": f"{avatar.head_name} {avatar.head_version}",
        "rig": avatar.rig,
        **_appearance_facts(avatar),
        "light": "none" if avatar.light is None else "stands still while the head turns",
        "emotions": {name: _emotion_facts(avatar, name) for name in sorted(avatar.emotions)},
        "own_motion": _frames(avatar.motion),
        "provenance": avatar.provenance,
    }


def _emotion_facts(avatar: Avatar, name: str) -> dict[str, Any]:
    """Its row, the units it moves most, and how far on average it shifts a splat's base colour, in 1/255."""
    emotion = avatar.emotions[name]
    try:
        units = avatar_head(avatar).expr_names
    except InputError:  # a head that is not here: units by number
        units = tuple(f"unit {number}" for number in range(len(emotion.offset)))
    largest = sorted(zip(emotion.offset.tolist(), units, strict=False), key=lambda entry: -abs(entry[0]))
    return {
        "row": emotion.embedding,
        "units": {unit: round(weight, 3) for weight, unit in largest[:LARGEST_UNITS] if weight},
        "colours_255": round(_colour_change(avatar, emotion.embedding), 2),
    }


def _colour_change(avatar: Avatar, row: int) -> float:
    mlp = avatar.appearance
    if mlp is None or not 0 < row < mlp.rows:
        return 0.0
    mixture = torch.nn.functional.one_hot(torch.tensor(row), mlp.rows)
    with torch.no_grad():
        change = residual_sh(mlp, avatar.gaussians.latents, mixture)[:, 0]
    return float(255 * SH_C0 * change.abs().mean())


def _appearance_facts(avatar: Avatar) -> dict[str, Any]:
    mlp = avatar.appearance
    if mlp is None:
        return {"appearance": "sh"}
    changing = sorted(name for name, emotion in avatar.emotions.items() if emotion.embedding)
    return {"appearance": f"color_mlp, {mlp.form}", "appearance_emotions": changing}


def _track_facts(path: Path) -> dict[str, Any]:
    track = load_track(path)
    known = {name: values[np.isfinite(values)] for name, values in track.quality.items()}
    quality = {name: float(values.mean()) for name, values in known.items() if values.size}
    return {
        "cameras": len(track.cameras),
        "frames": track.frame_count,
        "fps": track.fps,
        "size": f"{track.cameras[0].width}x{track.cameras[0].height}",
        "head": f"{track.head_name} {track.head_version}",
        "calibrated": track.calibrated,
        "media": [str(media) for media in track.media],
        "media_found": all(media.exists() for media in track.media),
        "held_out_views": list(track.held_out.views),
        "held_out_frames": list(track.held_out.frames),
        "frames_without_a_face": list(track.held_out.faceless),
        "mean_quality": quality,
        "provenance": track.provenance,
    }


def _flame(path: Path) -> tuple[str, dict[str, Any]]:
    frames, components = flame_size(path)
    return "motion, FLAME parameters", {"frames": frames, "expression_components": components}


def _npz(path: Path) -> tuple[str, dict[str, Any]]:
    if is_flame_archive(path):
        return _flame(path)
    arrays = read_npz(path, (), ("points", "valid", "width", "height", "scheme"))
    if "points" not in arrays or "scheme" not in arrays:
        return "motion, NumPy archive", _motion_facts(read_motion(path))
    valid = arrays.get("valid", np.ones(0, bool))
    return "landmarks", {
        "scheme": str(arrays["scheme"])[:40],
        "frames": len(valid),
        "frames_with_a_face": int(np.count_nonzero(valid)),
        "size": f"{arrays.get('width', '?')}x{arrays.get('height', '?')}",
    }


def _motion_facts(motion: Motion) -> dict[str, Any]:
    return {
        "head": f"{motion.head_name} {motion.head_version}",
        "frames": motion.frame_count,
        "fps": motion.fps,
        "seconds": round(motion.frame_count / motion.fps, 3),
    }


def _frames(motion: Motion | None) -> str:
    return "none" if motion is None else f"{motion.frame_count} frames at {motion.fps:g} per second"
