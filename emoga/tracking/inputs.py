"""What is to be tracked: pictures, cameras if known, landmarks, masks given, and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emoga.camera import Camera
from emoga.capture import Capture, HeldOut, Landmarks, load_landmarks, open_capture, parse_hold_out
from emoga.capture.detector import detect_landmarks
from emoga.capture.media import Pictures, ScaledPictures, scaled
from emoga.errors import InputError
from emoga.images import from_uint8, image_files, read_image_uint8
from emoga.progress import Note, Reporter


@dataclass
class Clip:
    """Pictures and evidence of T tracked frames from C views.

    frames [T]: indices in the media; landmarks of the tracked frames; calibrated: cameras are known;
    mask_files: per view the sorted files of a mask folder, or None; recovered: where the cameras of several views
    were found by emoga, the uncertainty of the logarithm of each focal length.
    """

    capture: Capture
    frames: np.ndarray
    landmarks: Landmarks
    held_out: HeldOut
    mask_files: list[list[Path]] | None
    recovered: list[float] | None = None

    @property
    def cameras(self) -> list[Camera] | None:
        """The known cameras, None for a single uncalibrated video."""
        return self.capture.cameras

    @property
    def calibrated(self) -> bool:
        """Whether cameras are known."""
        return self.capture.cameras is not None

    @property
    def views(self) -> list[int]:
        """Views whose pictures and landmarks may be used."""
        return self.held_out.training_views(len(self.capture.pictures))

    @property
    def downscaled(self) -> bool:
        """Whether pictures are smaller than their media."""
        return isinstance(self.capture.pictures[0], ScaledPictures)

    @property
    def training_frames(self) -> list[int]:
        """Tracked frames that shape, texture, focal length and light may come from."""
        return self.held_out.training_frames(len(self.frames))

    @property
    def training_faces(self) -> list[int]:
        """Those of them in which some camera sees a face: the others tell nothing about what a head looks like."""
        seen = self.landmarks.valid[self.views].any(0)
        return [frame for frame in self.training_frames if seen[frame]]

    def image(self, view: int, frame: int) -> np.ndarray:
        """float32 [H,W,3] of tracked frame `frame`."""
        return self.capture.image(view, int(self.frames[frame]))

    def mask(self, view: int, frame: int) -> np.ndarray | None:
        """Given foreground alpha uint8 [H,W], or None."""
        index = int(self.frames[frame])
        source = self.capture.pictures[view]
        if self.mask_files is None:
            return self._sized(self.capture.mask(view, index), source)
        file = self.mask_files[view][index]
        mask = self._sized(read_image_uint8(file, "L"), source)
        if mask.shape != (source.height, source.width):
            raise InputError(
                f"{file}: is {mask.shape[1]}x{mask.shape[0]}, its picture {source.width}x{source.height}"
            )
        return mask

    def _sized(self, mask: np.ndarray | None, source: Pictures) -> np.ndarray | None:
        """A mask as large as the pictures that were made smaller."""
        if (
            mask is None
            or not self.downscaled
            or mask.shape[0] * source.width != mask.shape[1] * source.height
        ):
            return mask
        return scaled(mask, source.width, source.height)

    def given_head_mask(self, view: int, frame: int) -> np.ndarray | None:
        """Given head mask uint8 [H,W], or None."""
        return self.capture.head_mask(view, int(self.frames[frame]))


def open_clip(
    source: str | Path,
    landmarks: str | Path | None,
    landmark_model: str | Path | None,
    masks: str | Path | None,
    hold_out: Sequence[str],
    start: int | None,
    end: int | None,
    convention: str | None,
    report: Reporter,
) -> Clip:
    """Open everything and check that it fits together. Raises InputError or MissingComponent."""
    capture = open_capture(source, convention=convention)
    frames = frame_range(capture, start, end)
    held_out = choose_split(capture, frames, hold_out, report)
    found = _landmarks(capture, frames, landmarks, landmark_model, report)
    views = held_out.training_views(len(capture.pictures))
    if not found.valid[views].any():
        raise InputError(f"{source}: no frame has a face; nothing can be tracked")
    training = held_out.training_frames(len(frames))
    if not found.valid[views][:, training].any():
        raise InputError(f"{source}: no training frame has a face; hold out other frames")
    if capture.unknown and held_out.views:
        raise InputError(
            f"{source}: no camera without calibration can be held out, nothing else tells where it stands; hold out "
            "frames, or leave its pictures away"
        )
    files = None if masks is None else _mask_files(Path(masks), capture)
    return Clip(capture, frames, found, held_out, files)


def choose_split(capture: Capture, frames: np.ndarray, hold_out: Sequence[str], report: Reporter) -> HeldOut:
    """What `hold_out` says, else the dataset's own split as far as it leaves chosen frames to train on."""
    if hold_out or capture.held_out == HeldOut():
        return parse_hold_out(hold_out, len(capture.pictures), len(frames))
    kept = capture.held_out
    held = HeldOut(kept.views, tuple(int(i) for i in np.flatnonzero(np.isin(frames, kept.frames))))
    if len(held.frames) == len(frames):
        held = HeldOut(kept.views)
    report(
        Note(
            f"{capture.path}: holds out what its own split does, {len(held.views)} cameras and "
            f"{len(held.frames)} frames; --hold-out says otherwise"
        )
    )
    return held


def frame_range(capture: Capture, start: int | None, end: int | None) -> np.ndarray:
    """Indices [T] of the frames from `start` up to `end`. Raises InputError."""
    first, last = start or 0, capture.frame_count if end is None else end
    if not 0 <= first < last <= capture.frame_count:
        raise InputError(
            f"{capture.path}: --start {first} --end {last} is no part of its {capture.frame_count} frames"
        )
    return np.arange(first, last, dtype=np.int64)


def _landmarks(
    capture: Capture,
    frames: np.ndarray,
    given: str | Path | None,
    model: str | Path | None,
    report: Reporter,
) -> Landmarks:
    if given is None:
        own = capture.landmarks()
        if own is not None:
            return replace(own.frames(frames), source="the capture's landmarks")
        return detect_landmarks(capture.pictures, frames, model, report)
    given, parts = Path(given), []
    for name, source in zip(capture.names, capture.pictures, strict=True):
        file = given / f"{name}.npz" if given.is_dir() else given
        parts.append(load_landmarks(file, capture.frame_count, source.width, source.height))
    if len(parts) > 1 and not given.is_dir():
        raise InputError(
            f"{given}: one file cannot serve {len(parts)} cameras; give a folder of <camera>.npz"
        )
    if len({part.scheme for part in parts}) > 1:
        raise InputError(f"{given}: the landmark files differ in their scheme")
    points = np.concatenate([part.points for part in parts])
    valid = np.concatenate([part.valid for part in parts])
    return Landmarks(points, valid, parts[0].scheme, source=given.name).frames(frames)


def _mask_files(folder: Path, capture: Capture) -> list[list[Path]]:
    """Mask pictures of every view: a folder of them, or a folder per camera."""
    result = []
    for name in capture.names:
        place = folder / name if (folder / name).is_dir() else folder
        if not place.is_dir():
            raise InputError(f"{place}: no such folder, expected mask pictures")
        files = image_files(place)
        if len(files) != capture.frame_count:
            raise InputError(f"{place}: has {len(files)} masks, the pictures are {capture.frame_count}")
        result.append(files)
    return result


def luminance(image: np.ndarray) -> np.ndarray:
    """Brightness [H,W] of an sRGB picture [H,W,3], weighted as the eye does."""
    return from_uint8(image) @ np.array([0.299, 0.587, 0.114], np.float32)
