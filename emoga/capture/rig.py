"""A plain folder of synchronised videos, or of a picture folder per camera, with `cameras.json`: our own format.

    cameras.json   {"fps": 25, "cameras": [{"name": "left", "width": 1920, "height": 1080,
                                            "K": [[fx,0,cx],[0,fy,cy],[0,0,1]], "w2c": [4 rows of 4]}, ...]}
    left.mp4       or images/left.mp4, left/*.png, images/left/*.png; "media": "somewhere/else.mp4" names it
    masks/left/*   or masks/left.mp4: foreground in white                                   (optional)

Pixels with the first pixel's middle at 0.5, metres, OpenCV axes, world to camera. fps may be left out: a video
knows its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emoga.camera import Camera
from emoga.capture.calibration import MAX_SIDE, intrinsics_matrix, numbers, world_to_camera
from emoga.capture.dataset import Dataset, DatasetView
from emoga.capture.listing import (
    MAX_VIEWS,
    AdjustedPictures,
    ListedPictures,
    camera_name,
    different,
    inside,
    pictures_in,
    read_json_object,
)
from emoga.capture.media import Pictures, VideoPictures
from emoga.errors import InputError
from emoga.video import VIDEO_SUFFIXES

INDEX = "cameras.json"
KIND, CONVENTION = "folder of synchronised cameras", "opencv-w2c"


def is_rig(path: Path) -> bool:
    """Whether a folder has a cameras.json."""
    return (path / INDEX).is_file()


def read_rig(path: Path, fps: float, convention: str | None = None) -> Dataset:
    """Read the folder. Raises InputError for damaged cameras, and naming pictures that are not there."""
    index_path = path / INDEX
    index = read_json_object(index_path)
    entries = index.get("cameras")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_VIEWS:
        raise InputError(f"{index_path}: 'cameras' is not a list of 1 to {MAX_VIEWS} cameras")
    rate = fps
    if "fps" in index:
        rate = float(numbers(index["fps"], (), f"{index_path}: fps"))
        if not 0 < rate < 10_000:
            raise InputError(f"{index_path}: fps {rate:g} is impossible")
    stated = convention or CONVENTION
    different((_named(entry, index_path) for entry in entries), str(index_path))
    views = [_view(path, entry, rate, stated) for entry in entries]
    return Dataset(path, KIND, stated, views, rate if "fps" in index else views[0].pictures.fps)


def _named(entry: Any, index_path: Path) -> str:
    if not isinstance(entry, dict):
        raise InputError(f"{index_path}: a camera is no object with name, width, height, K and w2c")
    return camera_name(entry.get("name"), str(index_path))


def _view(path: Path, entry: dict[str, Any], fps: float, convention: str) -> DatasetView:
    name = entry["name"] = str(entry["name"])
    where = f"{path / INDEX} camera {name}"
    size = numbers([entry.get("width"), entry.get("height")], (2,), f"{where}: width and height")
    if not ((size >= 1) & (size <= MAX_SIDE)).all():
        raise InputError(f"{where}: {size[0]:g}x{size[1]:g} is no size of a picture")
    K = intrinsics_matrix(entry.get("K"), where)
    w2c = world_to_camera(entry.get("w2c"), convention, where)
    camera = Camera(K, w2c, int(size[0]), int(size[1]), name)
    if "media" in entry:
        media = inside(path, entry["media"], where)
    else:
        media = find_media(path, ("", "images"), name)
    if media is None or not media.exists():
        raise InputError(f"{media or path / name}: no such video or folder, the pictures of camera {name}")
    masks = find_media(path, ("masks",), name)
    return DatasetView(
        camera, open_media(path, media, fps, "RGB"), masks and open_media(path, masks, fps, "L")
    )


def find_media(path: Path, folders: tuple[str, ...], name: str) -> Path | None:
    """A camera's video or folder of pictures."""
    for folder in folders:
        for suffix in ("", *sorted(VIDEO_SUFFIXES)):
            if (path / folder / f"{name}{suffix}").exists():
                return inside(path, f"{folder}/{name}{suffix}".lstrip("/"), str(path))
    return None


def open_media(path: Path, media: Path, fps: float, mode: str) -> Pictures:
    if media.is_dir():
        files = pictures_in(media, path)
        if not files:
            raise InputError(f"{media}: holds no PNG or JPEG pictures")
        return ListedPictures(path, files, fps, mode)
    grey = (lambda picture: picture[..., 0]) if mode == "L" else None
    return AdjustedPictures(VideoPictures(media), path, grey)
