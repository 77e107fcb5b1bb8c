"""A capture: synchronised pictures from one or more cameras with whatever came along with them.

A capture folder on disk:

    capture.json                      fps, frames, cameras (name, width, height, K, w2c), free "info"
    images/<camera>/000000.png        sRGB pictures
    masks/<camera>/000000.png         8-bit foreground alpha               (optional)
    head_masks/<camera>/000000.png    above the neck boundary, hair in     (optional)
    landmarks/<camera>.npz            see emoga.capture.landmarks          (optional)
    truth.track.h5                    the true track of a studio capture   (optional)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.capture.dataset import Dataset
from emoga.capture.datasets import CAMERA_FILES, open_dataset
from emoga.capture.held_out import HeldOut
from emoga.capture.landmarks import Landmarks, load_landmarks
from emoga.capture.media import ImagePictures, Pictures, open_pictures
from emoga.capture.synchronised import KIND as SYNCHRONISED
from emoga.capture.synchronised import SynchronisedView, synchronised_views
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.images import from_uint8, image_files, read_image_uint8

INDEX = "capture.json"
MAX_INDEX_BYTES = 64 * 2**20


@dataclass
class Capture:
    """Pictures of C cameras over T frames. `cameras` is None when nothing is known about them.

    masks: per camera its mask pictures or None, of datasets that keep them elsewhere; held_out: their own split;
    convention: what a dataset's cameras were read as; parameters: its head parameter file of each frame, or none;
    unknown: the names of several cameras that nothing is known about.
    """

    path: Path
    pictures: list[Pictures]
    frame_count: int
    fps: float
    cameras: list[Camera] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = "capture folder"
    masks: list[Pictures | None] | None = None
    held_out: HeldOut = field(default_factory=HeldOut)
    convention: str | None = None
    parameters: Sequence[Path] = ()
    unknown: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """One name per camera."""
        if self.cameras:
            return [camera.name for camera in self.cameras]
        return list(self.unknown) or ["camera"]

    def image(self, view: int, frame: int) -> np.ndarray:
        """float32 [H,W,3] sRGB in 0..1."""
        return from_uint8(self.pictures[view].picture(frame))

    def mask(self, view: int, frame: int) -> np.ndarray | None:
        """Foreground alpha uint8 [H,W], or None when the capture has none."""
        if self.masks is not None:
            masks = self.masks[view]
            return None if masks is None else masks.picture(frame)
        return self._mask("masks", view, frame)

    def head_mask(self, view: int, frame: int) -> np.ndarray | None:
        """Head alpha (hair in, clothing out) uint8 [H,W], or None when the capture has none."""
        return self._mask("head_masks", view, frame)

    def landmarks(self) -> Landmarks | None:
        """Landmarks of all cameras, or None when the capture brings none."""
        files = [self.path / "landmarks" / f"{name}.npz" for name in self.names]
        if not (self.cameras or self.unknown) or not all(file.exists() for file in files):
            return None
        parts = [
            load_landmarks(file, self.frame_count, pictures.width, pictures.height)
            for file, pictures in zip(files, self.pictures, strict=True)
        ]
        return Landmarks(
            np.concatenate([part.points for part in parts]),
            np.concatenate([part.valid for part in parts]),
            parts[0].scheme,
        )

    @property
    def truth_track(self) -> Path | None:
        """The true track of a studio capture, if there is one."""
        path = self.path / "truth.track.h5"
        return path if path.exists() else None

    def _mask(self, folder: str, view: int, frame: int) -> np.ndarray | None:
        if self.cameras is None:
            return None
        path = self.path / folder / self.names[view] / f"{frame:06d}.png"
        if not path.exists():
            return None
        mask = read_image_uint8(path, "L")
        camera = self.cameras[view]
        if mask.shape != (camera.height, camera.width):
            raise InputError(
                f"{path}: is {mask.shape[1]}x{mask.shape[0]}, its picture {camera.width}x{camera.height}"
            )
        return mask


def open_capture(path: str | Path, fps: float = 25.0, convention: str | None = None) -> Capture:
    """Open a capture folder, a dataset folder (see emoga.capture.datasets), a video, a folder of pictures or one.

    fps: of what does not say its own; convention: one of CONVENTIONS for a dataset whose cameras are written in
    another than its layout's. Raises InputError when the path is none of these or its index is damaged.
    """
    path = Path(path)
    if (path / INDEX).is_file():
        if convention is not None:
            raise InputError(f"{path}: a capture folder is always opencv-w2c; leave --convention out")
        return _open_folder(path)
    dataset = open_dataset(path, fps, convention)
    if dataset is not None:
        return _capture_of(dataset)
    if convention is not None:
        raise InputError(f"{path}: has no cameras that --convention {convention} could be about")
    views = synchronised_views(path, fps)
    if views:
        return _capture_of_unknown(path, views)
    if path.is_dir() and not image_files(path):
        raise InputError(
            f"{path}: holds no PNG or JPEG pictures, and no {INDEX}, {', '.join(CAMERA_FILES)} that says where they "
            "are; name a video, a folder of pictures or a dataset's folder"
        )
    pictures = open_pictures(path, fps)
    return Capture(path, [pictures], len(pictures), pictures.fps)


def write_capture_index(
    folder: Path, cameras: Sequence[Camera], frame_count: int, fps: float, info: dict[str, Any]
) -> None:
    """Write capture.json; the pictures are written beside it by whoever makes them."""
    index = {
        "emoga_format": 1,
        "fps": fps,
        "frames": frame_count,
        "cameras": [
            {
                "name": camera.name,
                "width": camera.width,
                "height": camera.height,
                "K": camera.K.tolist(),
                "w2c": camera.w2c.tolist(),
            }
            for camera in cameras
        ],
        "info": info,
    }
    with atomic_output(folder / INDEX, overwrite=True) as temporary:
        temporary.write_text(json.dumps(index, indent=1))


def _capture_of(dataset: Dataset) -> Capture:
    views = dataset.views
    return Capture(
        dataset.path, [view.pictures for view in views], dataset.frame_count, dataset.fps,
        [view.camera for view in views], dataset.info, dataset.kind, [view.masks for view in views],
        dataset.held_out, dataset.convention, dataset.parameters,
    )  # fmt: skip


def _capture_of_unknown(path: Path, views: Sequence[SynchronisedView]) -> Capture:
    pictures = [view.pictures for view in views]
    return Capture(
        path, pictures, len(pictures[0]), pictures[0].fps, None, kind=SYNCHRONISED,
        masks=[view.masks for view in views], unknown=[view.name for view in views],
    )  # fmt: skip


def _open_folder(path: Path) -> Capture:
    index_path = path / INDEX
    if index_path.stat().st_size > MAX_INDEX_BYTES:
        raise InputError(f"{index_path}: larger than {MAX_INDEX_BYTES} bytes; refused")
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        frame_count, fps = int(index["frames"]), float(index["fps"])
        cameras = [_camera(entry) for entry in index["cameras"]]
        info = dict(index.get("info", {}))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{index_path}: damaged capture index ({error!r:.120})") from error
    if not cameras or frame_count < 1 or not 0 < fps < 10_000:
        raise InputError(f"{index_path}: needs at least one camera, one frame and a frame rate above zero")
    names = [camera.name for camera in cameras]
    if len(set(names)) != len(names) or any(
        not n or n.startswith(".") or set(n) & set("/\\:") for n in names
    ):
        raise InputError(f"{index_path}: camera names must be different plain file names")
    pictures: list[Pictures] = []
    for camera in cameras:
        source = ImagePictures(path / "images" / camera.name, fps)
        if len(source) < frame_count:
            raise InputError(f"{source.path}: has {len(source)} pictures, {INDEX} names {frame_count}")
        if (source.width, source.height) != (camera.width, camera.height):
            raise InputError(
                f"{source.path}: pictures are {source.width}x{source.height}, "
                f"{INDEX} says {camera.width}x{camera.height}"
            )
        pictures.append(source)
    return Capture(path, pictures, frame_count, fps, cameras, info)


def _camera(entry: dict[str, Any]) -> Camera:
    K, w2c = np.asarray(entry["K"], np.float64), np.asarray(entry["w2c"], np.float64)
    if K.shape != (3, 3) or w2c.shape != (4, 4) or not (np.isfinite(K).all() and np.isfinite(w2c).all()):
        raise ValueError("K must be 3x3 and w2c 4x4, all finite")
    rotation = w2c[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise ValueError(f"w2c of {entry['name']!r} is not a rigid motion")
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        raise ValueError(f"K of {entry['name']!r} has no positive focal length")
    return Camera(K, w2c, int(entry["width"]), int(entry["height"]), str(entry["name"]))
