"""Option values written as short texts: sizes, colours, cameras of a track."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emoga.errors import InputError

if TYPE_CHECKING:
    from emoga.camera import Camera

COLOURS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "grey": (0.5, 0.5, 0.5)}


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`640x480` or `512` as (width, height). Raises InputError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip())
    if match is None:
        raise InputError(f"--size {text}: write 512 or 640x480")
    width = int(match[1])
    return width, int(match[2] or width)


def parse_colour(text: str | None) -> tuple[float, float, float] | None:
    """`white`, `black`, `grey` or `#rrggbb` as sRGB in 0..1; None for `none` and no text."""
    if text is None or text == "none":
        return None
    if text in COLOURS:
        return COLOURS[text]
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    if match is None:
        raise InputError(f"--background {text}: write {', '.join(COLOURS)}, none or #rrggbb")
    return tuple(int(part, 16) / 255 for part in match.groups())


def parse_camera(text: str | None) -> Camera | None:
    """`track.h5` or `track.h5:3`: a camera of a track. Raises InputError when it has no such camera."""
    if text is None:
        return None
    from emoga.capture import load_track

    path, colon, number = text.rpartition(":")
    if not (colon and number.isdigit()):
        path, number = text, "0"
    cameras = load_track(path).cameras
    if int(number) >= len(cameras):
        raise InputError(f"--camera {text}: the track has cameras 0 to {len(cameras) - 1}")
    return cameras[int(number)]


def parse_indices(option: str, text: str | None) -> list[int] | None:
    """`0,3,8` or `0-11,20` as numbers, each once and in order. Raises InputError for anything else."""
    if text is None:
        return None
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,7})(?:-(\d{1,7}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InputError(f"{option} {text}: write 0,3,8 or 0-11,20")
        chosen |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(chosen)
