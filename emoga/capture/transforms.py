"""`transforms*.json`: the folders of VHAP and GaussianAvatars, and those of nerfstudio.

Facts of the format. `frames` lists pictures: file_path (relative, sometimes without suffix), transform_matrix
(camera to world, OpenGL axes), and per picture or once for all fl_x, fl_y, cx, cy, w, h in pixels or
camera_angle_x (and _y) in radians.

VHAP / GaussianAvatars add timestep_index, camera_index, camera_id, fg_mask_path, flame_param_path, and split
the frames over transforms_train.json (training cameras and times), transforms_val.json (other cameras, training
times) and transforms_test.json (all cameras, other times); transforms.json holds them all.

nerfstudio has one transforms.json with mask_path, optionally camera_model and the distortion k1 k2 p1 p2 k3.
Pictures with the same camera are frames of that camera in the order of their names or of `time`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emoga.camera import Camera
from emoga.capture.calibration import MAX_SIDE, intrinsics, numbers, world_to_camera
from emoga.capture.dataset import Dataset, DatasetView
from emoga.capture.held_out import HeldOut
from emoga.capture.listing import (
    MAX_PICTURES,
    Adjust,
    ListedPictures,
    camera_name,
    inside,
    read_json_object,
    require_all,
    require_files,
)
from emoga.errors import InputError
from emoga.images import IMAGE_SUFFIXES, picture_size

INDEX = "transforms.json"
SPLITS = ("transforms_train.json", "transforms_val.json", "transforms_test.json")
CONVENTION = "opengl-c2w"
VHAP, NERFSTUDIO = "VHAP / GaussianAvatars folder", "nerfstudio folder"
INTRINSIC = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV")
MAX_INDEX = 10**9


@dataclass(frozen=True)
class Entry:
    """One picture of the index. `raw`: its own values over those for all; split: 0 train, 1 val, 2 test."""

    raw: dict[str, Any]
    file: Path
    mask: Path | None
    split: int
    where: str


def is_transforms(path: Path) -> bool:
    """Whether a folder has such an index."""
    return (path / INDEX).is_file() or (path / SPLITS[0]).is_file()


def read_transforms(path: Path, fps: float, convention: str | None = None) -> Dataset:
    """Read the folder. Raises InputError for damaged indices, missing pictures and cameras that move."""
    entries = _entries(path)
    vhap = any(key in entries[0].raw for key in ("timestep_index", "camera_index"))
    groups = _by_index(entries) if vhap else _by_camera(entries)
    times = require_all(
        {name: {t: e.file for t, e in group.items()} for name, group in groups.items()}, str(path)
    )
    require_files((e.file, f"named by {e.where}") for e in entries)
    stated = convention or CONVENTION
    views = [_view(path, name, [group[t] for t in times], fps, stated) for name, group in groups.items()]
    kind = VHAP if vhap else NERFSTUDIO
    parameters = _parameters(path, next(iter(groups.values())), times)
    info: dict[str, Any] = {"flame_param": len(parameters)} if vhap else {}
    held_out = _held_out(groups, times)
    if held_out is None:
        held_out, info["split"] = HeldOut(), "not by cameras and times, left aside"
    return Dataset(path, kind, stated, views, fps, held_out, info, parameters)


def _entries(path: Path) -> list[Entry]:
    """Every picture that the indices name, each once."""
    split = (path / SPLITS[0]).is_file()
    entries: dict[Path, Entry] = {}
    for number, name in enumerate(SPLITS if split else (INDEX,)):
        index_path = path / name
        if not index_path.is_file():
            continue
        index = read_json_object(index_path)
        frames = index.get("frames")
        if not isinstance(frames, list) or len(frames) > MAX_PICTURES:
            raise InputError(f"{index_path}: 'frames' is not a list of at most {MAX_PICTURES} pictures")
        for place, frame in enumerate(frames):
            entry = _entry(path, index, frame, number, f"{index_path} frame {place}")
            before = entries.setdefault(entry.file, entry)
            # Validation and test are often one and the same list.
            if before is not entry and not (before.split == 1 and entry.split == 2):
                raise InputError(
                    f"{entry.where}: names {entry.file.name}, which {before.where} names already"
                )
    if not entries:
        raise InputError(f"{path}: its {INDEX if not split else SPLITS[0]} names no pictures")
    return list(entries.values())


def _entry(path: Path, index: dict[str, Any], frame: Any, split: int, where: str) -> Entry:
    if not isinstance(frame, dict):
        raise InputError(f"{where}: is no object with file_path and transform_matrix")
    shared = {key: index[key] for key in (*INTRINSIC, *DISTORTION, "camera_model") if key in index}
    raw = {**shared, **frame}
    file = inside(path, raw.get("file_path"), where)
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        options = [file.with_name(file.name + suffix) for suffix in (".png", ".jpg", ".jpeg")]
        file = next((option for option in options if option.is_file()), options[0])
    named = raw.get("fg_mask_path", raw.get("mask_path"))
    mask = None if named is None else inside(path, named, where)
    return Entry(raw, file, mask, split, where)


def _by_index(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    """Entries by camera name and time, from the indices that VHAP gives."""
    found: dict[int, dict[int, Entry]] = {}
    for entry in entries:
        camera, time = (_index(entry, key) for key in ("camera_index", "timestep_index"))
        times = found.setdefault(camera, {})
        if time in times:
            raise InputError(
                f"{entry.where}: camera {camera} has timestep {time} twice, also in {times[time].where}"
            )
        times[time] = entry
    names = {}
    for camera in sorted(found):
        first = next(iter(found[camera].values()))
        name = camera_name(first.raw.get("camera_id", f"{camera:02d}"), first.where)
        if name in names:
            raise InputError(f"{first.where}: camera_id {name!r} belongs to two cameras; name them apart")
        names[name] = found[camera]
    return names


def _index(entry: Entry, key: str) -> int:
    value = entry.raw.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_INDEX:
        raise InputError(f"{entry.where}: {key} {value!r:.40} is no number from 0")
    return value


def _by_camera(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    """Entries by camera and place in time, cameras told apart by their matrices and intrinsics."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.file.as_posix()):
        groups.setdefault(repr([entry.raw.get(key) for key in ("transform_matrix", *INTRINSIC)]), []).append(
            entry
        )
    lengths = {len(group) for group in groups.values()}
    if len(lengths) > 1:
        shortest = min(groups.values(), key=len)
        raise InputError(
            f"{shortest[0].where}: its camera has {len(shortest)} pictures, another {max(lengths)}; frames are "
            "missing, or the camera moves, which emoga cannot use: track such pictures as a video instead"
        )
    result = {}
    for number, group in enumerate(groups.values()):
        timed = all("time" in entry.raw for entry in group)
        if timed:
            group = sorted(group, key=lambda e: float(numbers(e.raw["time"], (), f"{e.where}: time")))
        name = group[0].file.stem if len(group) == 1 else f"{number:02d}"
        result[camera_name(name, group[0].where)] = dict(enumerate(group))
    if len(result) != len(groups):
        return {f"{number:02d}": dict(enumerate(group)) for number, group in enumerate(groups.values())}
    return result


def _view(path: Path, name: str, entries: list[Entry], fps: float, convention: str) -> DatasetView:
    first = entries[0]
    size = _size(first)
    K = _intrinsics(first.raw, size, first.where)
    w2c = world_to_camera(first.raw.get("transform_matrix"), convention, first.where)
    for entry in entries[1:]:
        _require_same_camera(first, entry, name)
    camera = Camera(K, w2c, size[0], size[1], name)
    adjust = _undistort(first.raw, K, first.where)
    pictures = ListedPictures(path, [entry.file for entry in entries], fps, adjust=adjust)
    masks = [entry.mask for entry in entries if entry.mask is not None]
    if not masks:
        return DatasetView(camera, pictures)
    if len(masks) != len(entries):
        missing = next(entry for entry in entries if entry.mask is None)
        raise InputError(f"{missing.where}: has no mask, others of camera {name} have; give all or none")
    require_files((entry.mask, f"mask named by {entry.where}") for entry in entries if entry.mask)
    return DatasetView(camera, pictures, ListedPictures(path, masks, fps, "L", adjust))


def _require_same_camera(first: Entry, entry: Entry, name: str) -> None:
    for key in ("transform_matrix", *INTRINSIC):
        if first.raw.get(key) == entry.raw.get(key):
            continue
        shape = (4, 4) if key == "transform_matrix" else ()
        a, b = (numbers(e.raw.get(key), shape, f"{e.where}: {key}") for e in (first, entry))
        if not np.allclose(a, b, rtol=1e-6, atol=1e-6):
            raise InputError(
                f"{entry.where}: {key} of camera {name} differs from {first.where}; emoga needs cameras that "
                "stand still: track the pictures of a moving camera as a video"
            )


def _size(entry: Entry) -> tuple[int, int]:
    """Width and height, as stated or as the picture has them."""
    if "w" not in entry.raw or "h" not in entry.raw:
        return picture_size(entry.file)
    width, height = numbers([entry.raw["w"], entry.raw["h"]], (2,), f"{entry.where}: w and h")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InputError(f"{entry.where}: {width:g}x{height:g} is no size of a picture")
    return int(width), int(height)


def _intrinsics(raw: dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray:
    def value(key: str) -> float:
        return float(numbers(raw[key], (), f"{where}: {key}"))

    def focal(direct: str, angle: str, side: int) -> float | None:
        if direct in raw:
            return value(direct)
        if angle in raw:
            radians = value(angle)
            if not 0 < radians < np.pi:
                raise InputError(f"{where}: {angle} {radians:g} is no angle in radians below pi")
            return side / (2 * np.tan(radians / 2))
        return None

    fx = focal("fl_x", "camera_angle_x", size[0])
    if fx is None:
        raise InputError(f"{where}: has neither fl_x nor camera_angle_x; the focal length is unknown")
    fy = focal("fl_y", "camera_angle_y", size[1])
    cx = value("cx") if "cx" in raw else size[0] / 2
    cy = value("cy") if "cy" in raw else size[1] / 2
    return intrinsics(fx, fx if fy is None else fy, cx, cy, where)


def _undistort(raw: dict[str, Any], K: np.ndarray, where: str) -> Adjust | None:
    """What makes a pinhole picture of a distorted one, None where it is one already."""
    model = raw.get("camera_model", "OPENCV")
    if model not in PINHOLES:
        raise InputError(f"{where}: camera_model {model!r:.40} is not supported; undistort to PINHOLE first")
    bend = numbers([raw.get(key, 0) for key in DISTORTION], (len(DISTORTION),), f"{where}: distortion")
    if not bend.any():
        return None
    # OpenCV puts the middle of the first pixel at 0, we at 0.5.
    theirs = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    return lambda picture: cv2.undistort(picture, theirs, bend)


def _parameters(path: Path, group: dict[int, Entry], times: list[int]) -> list[Path]:
    """The FLAME parameter file of every frame; empty unless all frames name one."""
    named = [group[time] for time in times if "flame_param_path" in group[time].raw]
    if len(named) != len(times):
        return []
    files = [inside(path, entry.raw["flame_param_path"], entry.where) for entry in named]
    require_files((file, f"named by {e.where}") for file, e in zip(files, named, strict=True))
    return files


def _held_out(groups: dict[str, dict[int, Entry]], times: list[int]) -> HeldOut | None:
    """The split as held-out views and frames; None when it is no such split."""
    split = np.array([[group[time].split for time in times] for group in groups.values()])
    trained = split == 0
    views, frames = trained.any(1), trained.any(0)
    if not (trained == views[:, None] & frames).all() or not trained.any():
        return None
    return HeldOut(tuple(np.flatnonzero(~views).tolist()), tuple(np.flatnonzero(~frames).tolist()))
