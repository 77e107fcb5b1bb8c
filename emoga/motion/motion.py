"""Motion: the per-frame part of a track, with frame rate and head name. `motion.h5`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoga.capture.track import Track
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.hdf5 import new_hdf5, open_hdf5
from emoga.head import HeadParams
from emoga.head.storage import read_head_identity, read_params, write_head_identity, write_params


@dataclass
class Motion:
    """Per-frame head parameters over T frames; `params.shape` is the driver's shape and only informs."""

    head_name: str
    head_version: str
    head_checksum: str
    params: HeadParams
    fps: float

    @property
    def frame_count(self) -> int:
        """T."""
        return self.params.expr.shape[0]


def motion_of_track(track: Track) -> Motion:
    """The motion a track holds."""
    return Motion(track.head_name, track.head_version, track.head_checksum, track.params, track.fps)


def save_motion(motion: Motion, path: str | Path, overwrite: bool = False) -> None:
    """Write `motion.h5` atomically."""
    with atomic_output(path, overwrite) as temporary, new_hdf5(temporary, "motion") as file:
        write_head_identity(file, motion.head_name, motion.head_version, motion.head_checksum)
        write_params(file.create_group("params"), motion.params)
        file.attrs["fps"] = float(motion.fps)


def load_motion(path: str | Path) -> Motion:
    """Read `motion.h5`. Raises InputError when it is damaged or something else."""
    with open_hdf5(path, "motion") as file:
        fps = float(np.float64(file.attrs["fps"]))
        if not 0 < fps < 10_000:
            raise InputError(f"{path}: frame rate {fps} is impossible")
        params = read_params(file, "params")
        if params.expr.shape[0] == 0:
            raise InputError(f"{path}: holds no frames")
        return Motion(*read_head_identity(file), params, fps)
