"""What dataset folders list: bounded JSON, paths that stay inside, pictures by name, none of them missing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoga.capture.media import Pictures
from emoga.errors import InputError
from emoga.images import image_files, read_image_uint8

MAX_JSON_BYTES = 256 * 2**20
MAX_JSON_GROUPS, MAX_JSON_VALUES = 4_000_000, 32_000_000
MAX_PICTURES = 2_000_000
MAX_VIEWS = 4096
Adjust = Callable[[np.ndarray], np.ndarray]


class ListedPictures:
    """Picture files of one size from one camera in the order given.

    path: what a track refers to; mode "RGB" gives uint8 [H,W,3], "L" [H,W]; adjust changes each picture read.
    """

    def __init__(
        self, path: Path, files: Sequence[Path], fps: float, mode: str = "RGB", adjust: Adjust | None = None
    ) -> None:
        self.path, self.fps, self._files, self._mode, self._adjust = path, fps, list(files), mode, adjust
        self.height, self.width = read_image_uint8(self._files[0], mode).shape[:2]

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, frame: int) -> np.ndarray:
        """uint8 [H,W,3], or [H,W] with mode "L"."""
        if not 0 <= frame < len(self._files):
            raise InputError(f"{self.path}: has {len(self._files)} pictures, number {frame} was asked for")
        picture = read_image_uint8(self._files[frame], self._mode)
        if picture.shape[:2] != (self.height, self.width):
            raise InputError(
                f"{self._files[frame]}: is {picture.shape[1]}x{picture.shape[0]}, the first picture of its "
                f"camera is {self.width}x{self.height}; all must have one size"
            )
        return picture if self._adjust is None else self._adjust(picture)


class AdjustedPictures:
    """Pictures changed on reading, under the path of the folder they belong to."""

    def __init__(self, source: Pictures, path: Path, adjust: Adjust | None = None) -> None:
        self._source, self._adjust, self.path = source, adjust, path
        self.width, self.height, self.fps = source.width, source.height, source.fps

    def __len__(self) -> int:
        return len(self._source)

    def picture(self, frame: int) -> np.ndarray:
        """uint8 [H,W,3] sRGB."""
        picture = self._source.picture(frame)
        return picture if self._adjust is None else self._adjust(picture)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object, its size checked first. Raises InputError for anything else."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise InputError(
                f"{path}: {size} bytes is larger than any real index ({MAX_JSON_BYTES}); refused"
            )
        data = path.read_bytes()
        # A byte of JSON may take a hundred in memory.
        if data.count(b"[") + data.count(b"{") > MAX_JSON_GROUPS or data.count(b",") > MAX_JSON_VALUES:
            raise InputError(f"{path}: holds more entries than any real index; refused")
        found = json.loads(data)
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path}: not readable JSON ({error!r:.100})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, expected an object with named entries")
    return found


def inside(root: Path, reference: Any, where: str) -> Path:
    """A file named by an index, which must lie under `root`, links followed. Raises InputError."""
    if not isinstance(reference, str) or not reference or "\0" in reference or len(reference) > 1000:
        raise InputError(f"{where}: {reference!r:.60} is no file name")
    parts = Path(reference.replace("\\", "/")).parts
    if Path(reference).is_absolute() or ".." in parts or re.match(r"[A-Za-z]:", reference):
        raise InputError(f"{where}: {reference!r:.120} leaves the folder; put the file into {root}")
    path = root.joinpath(*parts)
    if not _lies_in(os.path.realpath(path), os.path.realpath(root)):
        raise InputError(f"{path}: is a link that leaves {root}; put the file itself there")
    return path


def _lies_in(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def camera_name(name: Any, where: str) -> str:
    """A camera's name, which becomes a file name. Raises InputError when it cannot."""
    text = str(name)
    if not isinstance(name, (str, int)) or not text or len(text) > 100:
        raise InputError(f"{where}: camera name {name!r:.60} is no plain name")
    if text.startswith(".") or set(text) & set("/\\:\0"):
        raise InputError(f"{where}: camera name {text!r} must be a plain file name")
    return text


def different(names: Iterable[str], where: str) -> None:
    """Raise InputError naming the first that appears twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{where}: camera {name!r} appears twice; every camera needs a name of its own")
        seen.add(name)


def pictures_in(folder: Path, root: Path) -> list[Path]:
    """Picture files of a folder under `root` by name, none of them a link that leaves `root`."""
    files = image_files(folder)
    if len(files) > MAX_PICTURES:
        raise InputError(f"{folder}: holds {len(files)} pictures, more than emoga accepts ({MAX_PICTURES})")
    return [inside(root, file.relative_to(root).as_posix(), str(folder)) for file in files]


def require_files(files: Iterable[tuple[Path, str]]) -> None:
    """Raise InputError naming the first file that is missing; each comes with the words for what it is."""
    missing = [(path, what) for path, what in files if not path.is_file()]
    if missing:
        path, what = missing[0]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{path}: missing ({what}{more}); restore it, or drop this frame or camera everywhere"
        )


def require_all(found: dict[str, dict[int, Path]], where: str) -> list[int]:
    """The frame numbers of pictures by camera and number, sorted, when every camera has all of them.

    Raises InputError naming the first that is missing.
    """
    numbers = sorted({number for pictures in found.values() for number in pictures})
    for number in numbers:
        for name, pictures in found.items():
            if number not in pictures:
                raise InputError(
                    f"{where}: frame {number} of camera {name} is missing; restore it, or drop frame {number} "
                    f"or camera {name} everywhere"
                )
    return numbers
