"""The edits an emotion was learnt from, by (view, frame) of a track: arrays, or a folder of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from emoga.capture import Track
from emoga.errors import InputError
from emoga.images import picture_size, read_image_uint8
from emoga.optimize.metrics import binary_mask

Cell = tuple[int, int]


class EditArrays(Protocol):
    """P edits as optimisation takes them; views, frames [P] into the track, masks where the editor might change."""

    views: np.ndarray
    frames: np.ndarray
    edited: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class Edits:
    """What was edited, by (view, frame) of a track: arrays, or files that are read when looked at."""

    pictures: dict[Cell, np.ndarray | Path]
    masks: dict[Cell, np.ndarray | Path]

    @property
    def cells(self) -> list[Cell]:
        """Every (view, frame), frame by frame."""
        return sorted(self.pictures, key=lambda cell: (cell[1], cell[0]))

    def picture(self, cell: Cell) -> np.ndarray:
        """uint8 [H,W,3]."""
        found = self.pictures[cell]
        return read_image_uint8(found) if isinstance(found, Path) else found

    def mask(self, cell: Cell) -> np.ndarray | None:
        """bool [H,W]: where the editor might change the picture; None where nobody knows."""
        found = self.masks.get(cell)
        found = read_image_uint8(found, "L") if isinstance(found, Path) else found
        return None if found is None else binary_mask(found)


def read_edits(source: EditArrays | str | Path, track: Track) -> Edits:
    """Edits from arrays, or from a folder of `<camera>/<frame:06d>.png`, masks in `masks/` of the same form.

    Frames in names are those of the track's media. Raises InputError when nothing fits or sizes differ.
    """
    if not isinstance(source, str | Path):
        cells = list(zip(map(int, source.views), map(int, source.frames), strict=True))
        return Edits(
            dict(zip(cells, source.edited, strict=True)), dict(zip(cells, source.masks, strict=True))
        )
    folder = Path(source)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected edits as <camera>/<frame:06d>.png")
    found: dict[str, dict[Cell, np.ndarray | Path]] = {"": {}, "masks": {}}
    for view, camera in enumerate(track.cameras):
        for frame, number in enumerate(track.frames):
            for part, files in found.items():
                path = folder / part / camera.name / f"{int(number):06d}.png"
                if path.is_file():
                    _check_size(path, camera.width, camera.height)
                    files[view, frame] = path
    if not found[""]:
        first = f"{track.cameras[0].name}/{int(track.frames[0]):06d}.png"
        raise InputError(f"{folder}: holds no edit of this track, such as {first}")
    return Edits(found[""], found["masks"])


def _check_size(path: Path, width: int, height: int) -> None:
    found = picture_size(path)
    if found != (width, height):
        raise InputError(
            f"{path}: is {found[0]}x{found[1]}, the captured picture {width}x{height}; edits keep the size"
        )
