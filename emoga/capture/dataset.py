"""What a reader of someone else's folder hands over: views with pictures, cameras and masks of T frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoga.camera import Camera
from emoga.capture.calibration import MAX_SIDE, check_axes_meet
from emoga.capture.held_out import HeldOut
from emoga.capture.listing import MAX_VIEWS, different
from emoga.capture.media import Pictures
from emoga.errors import InputError


@dataclass
class DatasetView:
    """One camera: its pictures, and masks (pictures of mode "L") or None."""

    camera: Camera
    pictures: Pictures
    masks: Pictures | None = None


@dataclass
class Dataset:
    """A folder of C synchronised cameras over T frames.

    kind: its layout in words; convention: what its matrices were read as; held_out: its own split, if any;
    parameters: the file with the head parameters of each frame, or empty.
    """

    path: Path
    kind: str
    convention: str
    views: Sequence[DatasetView]
    fps: float
    held_out: HeldOut = field(default_factory=HeldOut)
    info: dict[str, Any] = field(default_factory=dict)
    parameters: Sequence[Path] = ()

    @property
    def frame_count(self) -> int:
        """T."""
        return len(self.views[0].pictures)


def checked(dataset: Dataset, trusted: bool) -> Dataset:
    """The dataset, when its views agree with each other; `trusted`: the user has stated the convention.

    Raises InputError for views of different sizes or lengths, and for cameras that look away from the head.
    """
    where, views = str(dataset.path), dataset.views
    if not 1 <= len(views) <= MAX_VIEWS:
        raise InputError(f"{where}: {len(views)} cameras; emoga takes 1 to {MAX_VIEWS}")
    different((view.camera.name for view in views), where)
    first = views[0]
    for view in views:
        name, pictures = view.camera.name, view.pictures
        size = (pictures.width, pictures.height)
        if size != (view.camera.width, view.camera.height):
            raise InputError(
                f"{where}: pictures of camera {name} are {size[0]}x{size[1]}, its calibration is for "
                f"{view.camera.width}x{view.camera.height}; use the pictures that were calibrated"
            )
        if max(size) > MAX_SIDE:
            raise InputError(f"{where}: pictures larger than {MAX_SIDE} pixels are not supported")
        if size != (first.pictures.width, first.pictures.height):
            raise InputError(
                f"{where}: camera {name} is {size[0]}x{size[1]}, camera {first.camera.name} "
                f"{first.pictures.width}x{first.pictures.height}; all cameras must have one size"
            )
        if len(pictures) != len(first.pictures):
            raise InputError(
                f"{where}: camera {name} has {len(pictures)} frames, camera {first.camera.name} "
                f"{len(first.pictures)}; cut them to the same frames"
            )
        if view.masks is not None:
            _check_masks(where, name, view.masks, pictures)
    if not trusted:
        check_axes_meet([view.camera for view in views], dataset.convention, where)
    return dataset


def _check_masks(where: str, name: str, masks: Pictures, pictures: Pictures) -> None:
    if len(masks) != len(pictures):
        raise InputError(f"{where}: camera {name} has {len(masks)} masks for {len(pictures)} pictures")
    if (masks.width, masks.height) != (pictures.width, pictures.height):
        raise InputError(
            f"{where}: masks of camera {name} are {masks.width}x{masks.height}, its pictures "
            f"{pictures.width}x{pictures.height}"
        )
