"""Synchronised videos of cameras that nobody calibrated: a folder of them, or of a picture folder per camera.

left.mp4, right.mp4     or left/*.png and right/*.png, also under images/
landmarks/left.npz      see emoga.capture.landmarks                      (optional)
masks/left/*            or masks/left.mp4: foreground in white           (optional)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emoga.capture.calibration import MAX_SIDE
from emoga.capture.listing import MAX_VIEWS, camera_name
from emoga.capture.media import Pictures
from emoga.capture.rig import find_media, open_media
from emoga.errors import InputError
from emoga.images import image_files
from emoga.video import VIDEO_SUFFIXES

KIND = "folder of synchronised cameras without calibration"
OVERLAY = ".overlay.mp4"  # of a track that was written there
COMPANIONS = ("masks", "head_masks", "landmarks", "landmarks_exact", "images")


@dataclass
class SynchronisedView:
    """One camera: its name, pictures, and masks (pictures of mode "L") or None."""

    name: str
    pictures: Pictures
    masks: Pictures | None = None


def synchronised_views(path: Path, fps: float) -> list[SynchronisedView]:
    """The two cameras or more of a folder by name, none when it is no such folder.

    Raises InputError for cameras that differ in size or length.
    """
    if not path.is_dir() or image_files(path):
        return []
    for folder in (path, path / "images"):
        media = _media(folder) if folder.is_dir() else {}
        if len(media) > 1:
            return _agreeing(path, [_view(path, name, file, fps) for name, file in sorted(media.items())])
    return []


def _media(folder: Path) -> dict[str, Path]:
    """Videos and folders of pictures by camera name."""
    found: dict[str, Path] = {}
    for item in sorted(folder.iterdir()):
        if item.name.startswith(".") or item.name in COMPANIONS or item.name.endswith(OVERLAY):
            continue
        if item.is_dir() and not image_files(item):
            continue
        if item.is_dir() or item.suffix.lower() in VIDEO_SUFFIXES:
            name = camera_name(item.name if item.is_dir() else item.stem, str(folder))
            if name in found:
                raise InputError(
                    f"{folder}: both {found[name].name} and {item.name} are camera {name}; keep one"
                )
            found[name] = item
    if len(found) > MAX_VIEWS:
        raise InputError(f"{folder}: {len(found)} cameras; emoga takes up to {MAX_VIEWS}")
    return found


def _view(path: Path, name: str, media: Path, fps: float) -> SynchronisedView:
    masks = find_media(path, ("masks",), name)
    return SynchronisedView(
        name, open_media(path, media, fps, "RGB"), masks and open_media(path, masks, fps, "L")
    )


def _agreeing(path: Path, views: list[SynchronisedView]) -> list[SynchronisedView]:
    first = views[0]
    for view in views:
        pictures, expected = view.pictures, first.pictures
        size = (pictures.width, pictures.height)
        if max(size) > MAX_SIDE:
            raise InputError(f"{path}: pictures larger than {MAX_SIDE} pixels are not supported")
        if size != (expected.width, expected.height):
            raise InputError(
                f"{path}: {view.name} is {size[0]}x{size[1]}, {first.name} {expected.width}x{expected.height}; "
                "cameras of one take must have one size; name one video to track it alone"
            )
        if len(pictures) != len(expected):
            raise InputError(
                f"{path}: {view.name} has {len(pictures)} frames, {first.name} {len(expected)}; cut them to the same "
                "frames, or name one video to track it alone"
            )
        _check_masks(path, view)
    return views


def _check_masks(path: Path, view: SynchronisedView) -> None:
    masks, pictures = view.masks, view.pictures
    if masks is None:
        return
    if (len(masks), masks.width, masks.height) != (len(pictures), pictures.width, pictures.height):
        raise InputError(
            f"{path}: masks of {view.name} are {len(masks)} of {masks.width}x{masks.height}, its pictures "
            f"{len(pictures)} of {pictures.width}x{pictures.height}"
        )
