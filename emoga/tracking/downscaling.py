"""Pictures too large for this machine's memory are tracked smaller, which costs little: the head is cropped anyway."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from emoga.capture import Landmarks
from emoga.capture.media import ScaledPictures
from emoga.errors import InputError
from emoga.progress import Note, Reporter
from emoga.tracking.inputs import Clip

BASE_MB = 700
BYTES_PER_PIXEL = 2.5  # of every picture: its masks, and what is in work
SHARE = 0.7  # of the free memory that a track may take
LEAST_SIDE = 480  # pixels of the longer side, below which nothing is made smaller
MEGA = 2**20


def memory_needed_mb(pictures: int, pixels: int) -> float:
    """Estimate for tracking some pictures of so many pixels each."""
    return BASE_MB + BYTES_PER_PIXEL * pictures * pixels / MEGA


def free_memory_mb() -> float | None:
    """Memory that can be had now, in MB; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MEGA / 2
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def fit_to_memory(clip: Clip, free_mb: float | None, report: Reporter) -> Clip:
    """The clip with smaller pictures, where the memory asks for it and cameras are unknown.

    Raises InputError when even the smallest pictures do not fit, or when the pictures belong to known cameras.
    """
    first = clip.capture.pictures[0]
    pictures, pixels = len(clip.capture.pictures) * len(clip.frames), first.width * first.height
    needed = memory_needed_mb(pictures, pixels)
    if free_mb is None or needed <= SHARE * free_mb:
        return clip
    room = max(SHARE * free_mb - BASE_MB, 0) / (needed - BASE_MB)
    longer = int(max(first.width, first.height) * room**0.5)
    words = (
        f"{clip.capture.path}: {pictures} pictures of {first.width}x{first.height} take about {needed / 1024:.1f} GB, "
        f"{free_mb / 1024:.1f} GB are free"
    )
    if longer < LEAST_SIDE or clip.calibrated:
        raise InputError(f"{words}; track part of them with --start and --end, or make them smaller")
    scale = longer / max(first.width, first.height)
    size = (round(first.width * scale), round(first.height * scale))
    report(Note(f"{words}: tracked at {size[0]}x{size[1]}", warning=True))
    scaled = [ScaledPictures(source, *size) for source in clip.capture.pictures]
    marks = clip.landmarks
    factor = [size[0] / first.width, size[1] / first.height]
    landmarks = Landmarks((marks.points * factor).astype(marks.points.dtype), marks.valid, marks.scheme)
    return replace(clip, capture=replace(clip.capture, pictures=scaled), landmarks=landmarks)
