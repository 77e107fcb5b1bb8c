"""2D landmarks over time: the `.npz` format detectors and the studio write, read with every check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.npz import read_npz

POINT_COUNTS = {"mediapipe478": 478, "ibug68": 68}
MAX_FRAMES = 1_000_000
FOREHEAD, CHIN = 10, 152


@dataclass
class Landmarks:
    """points [C,T,L,2] pixels (centres at +0.5), valid [C,T] whether a face was found, scheme names the points.

    Points of invalid frames are zero and mean nothing. spread [C,T,L] is how far off the detector thinks that it
    may be, in pixels, where it says so; source names the detector, "" when nothing is known of it.
    """

    points: np.ndarray
    valid: np.ndarray
    scheme: str
    spread: np.ndarray | None = None
    source: str = ""

    def frames(self, indices: np.ndarray) -> Landmarks:
        """The landmarks of some frames."""
        spread = None if self.spread is None else self.spread[:, indices]
        return Landmarks(self.points[:, indices], self.valid[:, indices], self.scheme, spread, self.source)

    def face_height(self) -> float:
        """Distance in pixels between `mediapipe478` points 10 and 152, median over valid frames."""
        if self.scheme != "mediapipe478":
            raise ValueError(f"face height is defined on mediapipe478, not on {self.scheme}")
        span = np.linalg.norm(self.points[..., FOREHEAD, :] - self.points[..., CHIN, :], axis=-1)
        return float(np.median(span[self.valid]))


def load_landmarks(path: str | Path, frame_count: int, width: int, height: int) -> Landmarks:
    """Read one camera's landmark file made for `frame_count` pictures of `width` x `height`; C is 1.

    Keys: points [T,L,2], valid [T], width, height, scheme. Raises InputError, naming the file, when the file
    is no such archive, when its length or size differ from the pictures', or when valid points are not finite.
    """
    arrays = read_npz(
        path,
        ("points", "valid", "width", "height", "scheme"),
        what="a landmark file (.npz)",
        max_elements=MAX_FRAMES * 478 * 2,
    )
    points, valid, scheme = arrays["points"], arrays["valid"], str(arrays["scheme"])
    if scheme not in POINT_COUNTS:
        raise InputError(
            f"{path}: landmark scheme {scheme[:40]!r} is unknown; known: {', '.join(POINT_COUNTS)}"
        )
    if points.ndim != 3 or points.shape[1:] != (POINT_COUNTS[scheme], 2) or points.dtype.kind != "f":
        raise InputError(
            f"{path}: points {points.shape} {points.dtype} are not [T,{POINT_COUNTS[scheme]},2] floats"
        )
    if points.shape[0] != frame_count:
        raise InputError(
            f"{path}: has {points.shape[0]} frames, the pictures have {frame_count}; they must match"
        )
    if valid.shape != (frame_count,) or valid.dtype.kind not in "bu":
        raise InputError(
            f"{path}: 'valid' must be one truth value per frame, found {valid.shape} {valid.dtype}"
        )
    valid = valid.astype(bool)
    if (int(arrays["width"]), int(arrays["height"])) != (width, height):
        raise InputError(
            f"{path}: made for {int(arrays['width'])}x{int(arrays['height'])} pictures, these are {width}x{height}"
        )
    bad = valid & ~np.isfinite(points).all(axis=(1, 2))
    if bad.any():
        raise InputError(
            f"{path}: frame {int(bad.argmax())} is marked valid but its points contain NaN or infinity"
        )
    if not valid.any():
        raise InputError(f"{path}: no frame has a face; nothing can be tracked")
    points = np.where(valid[:, None, None], points, 0).astype(np.float32)
    return Landmarks(points[None], valid[None], scheme)


def save_landmarks(
    path: str | Path,
    points: np.ndarray,
    valid: np.ndarray,
    width: int,
    height: int,
    fps: float,
    scheme: str = "mediapipe478",
    source: str = "",
    overwrite: bool = False,
) -> None:
    """Write one camera's points [T,L,2] pixels and valid [T] in the format `load_landmarks` reads."""
    with atomic_output(path, overwrite) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(
            stream,
            points=np.asarray(points, np.float32),
            valid=np.asarray(valid, bool),
            width=np.int64(width),
            height=np.int64(height),
            fps=np.float64(fps),
            scheme=np.array(scheme),
            source=np.array(source),
        )
