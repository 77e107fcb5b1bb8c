"""How a network wants its pictures: size, channels, values and labels, from a JSON file beside the network."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from emoga.errors import InputError

MAX_JSON_BYTES = 2**16
MAX_SIDE = 2048
GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Preparation:
    """size: pixels of the square, None for what the network declares. values = (picture in 0..1 - mean) / std.

    channels: "rgb", "bgr" or "grey"; layout: "nchw" or "nhwc"; zoom: of a face crop, 1 as tight as ArcFace's,
    less shows more around the face; labels: what the outputs of a recogniser stand for, in order.
    """

    size: int | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    zoom: float = 1.0
    labels: tuple[str, ...] = ()

    def tensor(self, pictures: np.ndarray, size: int) -> np.ndarray:
        """Pictures [P,H,W,3] uint8 as float32 [P,C,size,size], or [P,size,size,C] where the layout says so."""
        fitted = np.stack([_resized(picture, size) for picture in pictures])
        values = (fitted.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)
        if self.channels == "bgr":
            values = values[..., ::-1]
        elif self.channels == "grey":
            values = (values @ GREY)[..., None]
        return np.ascontiguousarray(values if self.layout == "nhwc" else values.transpose(0, 3, 1, 2))


def read_preparation(network: Path, default: Preparation) -> Preparation:
    """What `<network stem>.json` says, and `default` where it says nothing or is not there.

    Raises InputError for unknown keys and values of another kind.
    """
    path = network.with_suffix(".json")
    if not path.is_file():
        return default
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{path}: larger than {MAX_JSON_BYTES} bytes, which no preparation is; refused")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable JSON ({error!s:.100})") from error
    known = [item.name for item in fields(Preparation)]
    for key in given:
        if key not in known:
            raise InputError(f"{path}: unknown key {key[:40]!r}; known: {', '.join(known)}")
    return replace(default, **{key: _checked(path, key, value) for key, value in given.items()})


def _checked(path: Path, key: str, value: Any) -> Any:
    if key == "size" and isinstance(value, int) and 1 <= value <= MAX_SIDE:
        return value
    if key in ("mean", "std") and _numbers(value, 3) and (key == "mean" or all(value)):
        return tuple(map(float, value))
    if (key == "channels" and value in ("rgb", "bgr", "grey")) or (
        key == "layout" and value in ("nchw", "nhwc")
    ):
        return value
    if key == "zoom" and _numbers([value], 1) and 0.1 <= value <= 4:
        return float(value)
    if key == "labels" and isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise InputError(f"{path}: {key} cannot be {value!r:.60}")


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e6 for x in value)
    )


def _resized(picture: np.ndarray, size: int) -> np.ndarray:
    """The picture as a square, padded with white and never squeezed."""
    height, width = picture.shape[:2]
    side = max(height, width)
    if height != width:
        square = np.full((side, side, 3), 255, np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = picture
        picture = square
    if side == size:
        return picture
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
