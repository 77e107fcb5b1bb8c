"""A dataset that was tracked already: its FLAME parameters as a track, with masks, and nothing solved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import emoga
from emoga.capture import Landmarks, Track, open_capture
from emoga.errors import InputError
from emoga.head import Head
from emoga.motion.readers_flame import read_flame_files, read_static_offset
from emoga.progress import Reporter
from emoga.tracking.inputs import Clip, choose_split, frame_range
from emoga.tracking.silhouettes import make_masks


def take_over(
    source: str | Path,
    head: Head,
    hold_out: Sequence[str],
    start: int | None,
    end: int | None,
    convention: str | None,
    report: Reporter,
) -> Track:
    """The track that a VHAP folder's flame_param/ stands for, on the user's FLAME head.

    Raises InputError without such parameters, for other heads, and for arrays that do not fit.
    """
    capture = open_capture(source, convention=convention)
    if capture.cameras is None or not capture.parameters:
        raise InputError(f"{source}: brings no flame_param for its frames; track it without --as-given")
    if not head.name.startswith("flame"):
        raise InputError(
            f"{source}: its parameters are FLAME's and mean nothing to the {head.name} head; pass --head flame2020 "
            "or flame2023, whichever it was made with, or track it without --as-given"
        )
    frames = frame_range(capture, start, end)
    files = [capture.parameters[int(frame)] for frame in frames]
    params = read_flame_files(files, head, read_static_offset(files[0], head))
    if params.frames != len(frames):
        raise InputError(f"{files[0]}: holds more than one frame; expected a file per frame")
    nothing = Landmarks(
        np.zeros((len(capture.cameras), len(frames), 478, 2), np.float32),
        np.zeros((len(capture.cameras), len(frames)), bool),
        "mediapipe478",
    )
    held_out = choose_split(capture, frames, hold_out, report)
    clip = Clip(capture, frames, nothing, held_out, None)
    with torch.no_grad():
        vertices = head.vertices(params.to(dtype=torch.float64))
        masks, head_masks = make_masks(clip, head, capture.cameras, vertices, report)
    return Track(
        head.name, head.version, head.checksum, params.to(dtype=torch.float32), capture.cameras,
        [pictures.path for pictures in capture.pictures], frames, capture.fps, masks, head_masks,
        held_out=held_out, provenance={"version": emoga.__version__, "parameters": "as given"},
    )  # fmt: skip
