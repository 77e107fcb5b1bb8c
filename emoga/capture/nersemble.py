"""NeRSemble sequences, v1 and v2, as they are downloaded and as trackers unpack them.

Facts of the format. camera_params.json: `world_2_cam` {serial: 4x4}, OpenCV axes, metres; `intrinsics` 3x3 shared
by all cameras (or {serial: 3x3}), in pixels of the size they were calibrated at: `width`, `height` when given,
else 2200x3208 or the pictures' own. It lies in PERSON/calibration/ (v2), PERSON/ (v1) or camera_params/PERSON/.

Pictures of PERSON/sequences/SEQUENCE/ (or PERSON/SEQUENCE/), one of
    images/cam_<serial>.mp4            v2 as downloaded; masks in alpha_maps/ likewise
    images/cam_<serial>/*              a folder per camera
    images/cam_<serial>_<frame>.jpg    unpacked
    [timesteps/]frame_<frame>/images*/cam_<serial>.*   v1; masks in alpha_map*/

Colour: see emoga.capture.colours; v1 in PERSON/annotations/SEQUENCE/color_correction/<serial>.npy or
color_correction/PERSON/, v2 in calibration/color_calibration.json. Applied to every camera where it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.capture.calibration import intrinsics_matrix, numbers, world_to_camera
from emoga.capture.colours import affine_correction, polynomial_correction, read_small_npy
from emoga.capture.dataset import Dataset, DatasetView
from emoga.capture.listing import (
    MAX_VIEWS,
    Adjust,
    AdjustedPictures,
    ListedPictures,
    camera_name,
    inside,
    pictures_in,
    read_json_object,
    require_all,
)
from emoga.capture.media import Pictures, VideoPictures
from emoga.errors import InputError
from emoga.video import VIDEO_SUFFIXES

KIND, CONVENTION = "NeRSemble sequence", "opencv-w2c"
PARAMETERS, COLOURS = "camera_params.json", "color_calibration.json"
CALIBRATED_SIZE = (2200, 3208)
FRAME_FOLDER = re.compile(r"frame_(\d{1,9})")
LISTED = re.compile(r"cam_(.+)_(\d{1,9})")
Found = dict[str, dict[int, Path]]


def is_nersemble(path: Path) -> bool:
    """Whether a folder is a sequence, or a person with sequences."""
    return _parameters(path) is not None and (_is_sequence(path) or bool(_sequences(path)))


def read_nersemble(path: Path, fps: float, convention: str | None = None) -> Dataset:
    """Read a sequence, or the only sequence of a person.

    Raises InputError for damaged calibration, missing pictures, and a person with several sequences.
    """
    if not _is_sequence(path):
        sequences = _sequences(path)
        if len(sequences) > 1:
            raise InputError(f"{path}: has {len(sequences)} sequences; name one, such as {sequences[0]}")
        path = sequences[0]
    parameters = _parameters(path)
    assert parameters is not None, "is_nersemble found one"
    stated = convention or CONVENTION
    index = read_json_object(parameters)
    matrices = index.get("world_2_cam")
    if not isinstance(matrices, dict) or not 0 < len(matrices) <= MAX_VIEWS:
        raise InputError(f"{parameters}: 'world_2_cam' does not name 1 to {MAX_VIEWS} cameras")
    names = [camera_name(name, str(parameters)) for name in matrices]
    pictures = _open_all(path, ("images",), names, fps, "RGB")
    if not pictures:
        raise InputError(
            f"{path}: holds no pictures of a camera that {parameters} names, such as cam_{names[0]}"
        )
    masks = _open_all(path, ("alpha_maps", "alpha_map"), names, fps, "L")
    colours = _colours(path, parameters, [name for name in names if name in pictures])
    views = []
    for name in names:
        if name not in pictures:  # recorded with fewer cameras, or not all downloaded
            continue
        source, where = pictures[name], f"{parameters} camera {name}"
        K = _intrinsics(index, name, (source.width, source.height), where)
        w2c = world_to_camera(matrices[name], stated, where)
        camera = Camera(K, w2c, source.width, source.height, name)
        views.append(DatasetView(camera, AdjustedPictures(source, path, colours.get(name)), masks.get(name)))
    return Dataset(
        path, KIND, stated, views, views[0].pictures.fps, info={"colour_correction": bool(colours)}
    )


def _is_sequence(path: Path) -> bool:
    return (path / "images").is_dir() or _frame_root(path) is not None


def _sequences(path: Path) -> list[Path]:
    folder = path / "sequences"
    return sorted(p for p in folder.iterdir() if p.is_dir() and _is_sequence(p)) if folder.is_dir() else []


def _frame_root(path: Path) -> Path | None:
    """The folder that has frame_00000 and so on."""
    for folder in (path, path / "timesteps"):
        if folder.is_dir() and any(FRAME_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()):
            return folder
    return None


def _person(path: Path) -> Path:
    """The person's folder of a sequence's."""
    return (
        path.resolve().parent.parent if path.resolve().parent.name == "sequences" else path.resolve().parent
    )


def _parameters(path: Path) -> Path | None:
    """The camera_params.json of a sequence or of a person."""
    person = _person(path)
    options = [
        *(folder / PARAMETERS for place in (path, person) for folder in (place / "calibration", place)),
        person.parent / "camera_params" / person.name / PARAMETERS,
    ]
    return next((option for option in options if option.is_file()), None)


def _open_all(
    path: Path, folders: tuple[str, ...], names: list[str], fps: float, mode: str
) -> dict[str, Pictures]:
    """Pictures by camera, from whichever of the arrangements is there; empty when none is."""
    for folder in folders:
        if (path / folder).is_dir():
            sources = _per_camera(path, path / folder, names, fps, mode)
            return sources or _listed(path, _flat(path, path / folder), names, fps, mode)
    root = _frame_root(path)
    return {} if root is None else _listed(path, _framed(path, root, folders), names, fps, mode)


def _per_camera(path: Path, folder: Path, names: list[str], fps: float, mode: str) -> dict[str, Pictures]:
    """A video or a folder for each camera."""
    sources: dict[str, Pictures] = {}
    for entry in sorted(folder.iterdir()):
        name = entry.stem.removeprefix("cam_") if entry.is_file() else entry.name.removeprefix("cam_")
        if name not in names:
            continue
        inside(path, entry.relative_to(path).as_posix(), str(folder))
        files = pictures_in(entry, path) if entry.is_dir() else []
        if files:
            sources[name] = ListedPictures(path, files, fps, mode)
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            video = VideoPictures(entry)
            grey = (lambda picture: picture[..., 0]) if mode == "L" else None
            sources[name] = AdjustedPictures(video, path, grey)
    return sources


def _flat(path: Path, folder: Path) -> Found:
    """images/cam_<serial>_<frame>.jpg"""
    found: Found = {}
    for file in pictures_in(folder, path):
        match = LISTED.fullmatch(file.stem)
        if match:
            _add(found, match[1], int(match[2]), file)
    return found


def _framed(path: Path, root: Path, folders: tuple[str, ...]) -> Found:
    """frame_<frame>/images*/cam_<serial>.png; of several resolutions the first by name."""
    found: Found = {}
    for frame in sorted(root.iterdir()):
        match = FRAME_FOLDER.fullmatch(frame.name)
        if not match or not frame.is_dir():
            continue
        places = sorted(p for p in frame.iterdir() if p.is_dir() and p.name.split("-")[0] in folders)
        for file in pictures_in(places[0], path) if places else ():
            _add(found, file.stem.removeprefix("cam_"), int(match[1]), file)
    return found


def _add(found: Found, name: str, frame: int, file: Path) -> None:
    pictures = found.setdefault(name, {})
    if frame in pictures:
        raise InputError(f"{file}: is frame {frame} of camera {name}, and so is {pictures[frame].name}")
    pictures[frame] = file


def _listed(path: Path, found: Found, names: list[str], fps: float, mode: str) -> dict[str, Pictures]:
    found = {name: found[name] for name in names if name in found}
    frames = require_all(found, str(path))
    return {
        name: ListedPictures(path, [files[f] for f in frames], fps, mode) for name, files in found.items()
    }


def _intrinsics(index: dict[str, Any], name: str, size: tuple[int, int], where: str) -> np.ndarray:
    """K [3,3] at the pictures' size."""
    value = index.get("intrinsics")
    if isinstance(value, dict):
        value = value.get(name)
    K = intrinsics_matrix(value, where)
    if "width" in index and "height" in index:
        stated = numbers([index["width"], index["height"]], (2,), f"{where}: width and height")
        sizes: Iterable[tuple[float, float]] = [(float(stated[0]), float(stated[1]))]
    else:
        sizes = (size, CALIBRATED_SIZE)
    width, height = min(
        sizes, key=lambda s: abs(K[0, 2] / max(s[0], 1) - 0.5) + abs(K[1, 2] / max(s[1], 1) - 0.5)
    )
    if width < 1 or height < 1 or not 0.9 < (size[0] / width) / (size[1] / height) < 1.1:
        raise InputError(
            f"{where}: calibrated at {width:g}x{height:g}, its pictures are {size[0]}x{size[1]}, another shape; "
            "use uncropped pictures"
        )
    return np.diag([size[0] / width, size[1] / height, 1.0]) @ K


def _colours(path: Path, parameters: Path, names: list[str]) -> dict[str, Adjust]:
    """Colour corrections of all cameras, empty when the dataset brings none."""
    person, sequence = _person(path), path.resolve().name
    calibration = parameters.parent / COLOURS
    if calibration.is_file():
        index = read_json_object(calibration)
        missing = [name for name in names if name not in index]
        if missing:
            raise InputError(f"{calibration}: lacks camera {missing[0]}; complete it, or move the file away")
        return {name: polynomial_correction(index[name], f"{calibration} camera {name}") for name in names}
    folders = (
        path / "color_correction", path / "annotations" / "color_correction",
        person / "annotations" / sequence / "color_correction", person.parent / "color_correction" / person.name,
    )  # fmt: skip
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return {}
    files = {name: [folder / f"{name}.npy", folder / f"cam_{name}.npy"] for name in names}
    found = {name: next((f for f in options if f.is_file()), options[0]) for name, options in files.items()}
    for name, file in found.items():
        if not file.is_file():
            raise InputError(f"{file}: missing, other cameras have one; restore it, or move {folder} away")
        inside(folder, file.name, f"colour correction of {name}")
    return {name: affine_correction(read_small_npy(file), str(file)) for name, file in found.items()}
