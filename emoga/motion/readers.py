"""Read motion from whatever holds it: our own files, ARKit CSV, FLAME parameter folders, NumPy archives."""

from __future__ import annotations

from pathlib import Path

import h5py

from emoga.capture.track import load_track
from emoga.errors import InputError
from emoga.hdf5 import kind_of
from emoga.head import load_head
from emoga.motion.motion import Motion, load_motion, motion_of_track
from emoga.motion.readers_arkit import read_arkit_csv
from emoga.motion.readers_flame import read_flame_params
from emoga.motion.readers_numpy import read_numpy_motion

EXPECTED = (
    "a motion.h5, a track.h5, an ARKit or Live Link Face .csv, a .npz, or a folder with flame_param/*.npz"
)


def read_motion(path: str | Path, head: str = "open", fps: float | None = None) -> Motion:
    """Motion from a file or folder, told apart by what it is.

    head: the head model the motion is for, where the file does not say; fps: frames per second, where the
    file does not say or says it wrongly. Raises InputError naming the path, what is wrong and what to do.
    """
    path = Path(path)
    if fps is not None and not 0 < fps < 10_000:
        raise InputError(f"--fps {fps}: must be above 0 and below 10000")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder, expected {EXPECTED}")
    motion = _read(path, head, fps)
    if fps is not None:
        motion.fps = float(fps)
    return motion


def _read(path: Path, head: str, fps: float | None) -> Motion:
    suffix = path.suffix.lower()
    if path.is_dir():
        return read_flame_params(path, load_head(head), fps)
    if suffix == ".csv":
        return read_arkit_csv(path, load_head(head), fps)
    if suffix == ".npz":
        return read_numpy_motion(path, load_head(head), fps)
    if suffix in (".h5", ".hdf5"):
        if _kind(path) == "track":
            return motion_of_track(load_track(path))
        return load_motion(path)
    raise InputError(f"{path}: not a motion; expected {EXPECTED}")


def _kind(path: Path) -> str:
    try:
        with h5py.File(path, "r") as file:
            return kind_of(file)
    except (OSError, RuntimeError, ValueError):
        return ""
