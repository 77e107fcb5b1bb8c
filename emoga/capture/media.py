"""Where pictures come from: a video file, a folder of images, or one image, behind one small interface."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emoga.errors import InputError
from emoga.images import IMAGE_SUFFIXES, image_files, read_image_uint8
from emoga.video import VideoReader


class Pictures(Protocol):
    """A sequence of pictures of one size from one camera."""

    path: Path
    width: int
    height: int
    fps: float

    def __len__(self) -> int: ...

    def picture(self, frame: int) -> np.ndarray:
        """uint8 [H,W,3] sRGB of frame `frame`."""
        ...


class VideoPictures:
    """Frames of a video file."""

    def __init__(self, path: Path) -> None:
        self._reader = VideoReader(path)
        self.path = path
        self.width, self.height = self._reader.width, self._reader.height
        self.fps = self._reader.fps
        self._count = len(self._reader)

    def __len__(self) -> int:
        return self._count

    def picture(self, frame: int) -> np.ndarray:
        return self._reader.frame(frame)


class ImagePictures:
    """Image files of one size in alphabetical order, or a single image."""

    def __init__(self, path: Path, fps: float = 25.0) -> None:
        self.path, self.fps = path, fps
        found = [path]
        if path.is_dir():
            found = image_files(path)
        if not found:
            raise InputError(f"{path}: holds no PNG or JPEG pictures")
        self._files = found
        self.height, self.width = read_image_uint8(found[0]).shape[:2]

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, frame: int) -> np.ndarray:
        if not 0 <= frame < len(self._files):
            raise InputError(f"{self.path}: has {len(self._files)} pictures, number {frame} was asked for")
        picture = read_image_uint8(self._files[frame])
        if picture.shape[:2] != (self.height, self.width):
            raise InputError(
                f"{self._files[frame]}: is {picture.shape[1]}x{picture.shape[0]}, "
                f"the first picture is {self.width}x{self.height}; all must have one size"
            )
        return picture


class ScaledPictures:
    """Pictures at a smaller size than their media have, which is full_size (height, width)."""

    def __init__(self, source: Pictures, width: int, height: int) -> None:
        self._source, self.width, self.height = source, width, height
        self.path, self.fps = source.path, source.fps
        self.full_size = (source.height, source.width)

    def __len__(self) -> int:
        return len(self._source)

    def picture(self, frame: int) -> np.ndarray:
        return scaled(self._source.picture(frame), self.width, self.height)


def scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture uint8 [H,W,3] or mask [H,W] made smaller, every new pixel the mean of those under it."""
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def open_pictures(path: str | Path, fps: float = 25.0) -> Pictures:
    """Open a video, an image folder or an image. Raises InputError when it is none of them."""
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder, expected a video, a folder of pictures or a picture"
        )
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImagePictures(path, fps)
    return VideoPictures(path)
