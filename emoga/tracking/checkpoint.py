"""Checkpoints of a track in progress: the exact state after each finished stage, in one small HDF5 file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.hdf5 import new_hdf5, open_hdf5, read_array, read_text, write_array, write_text
from emoga.head import HeadParams
from emoga.optimize.solving_state import State


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of an output lies; removed when the track is done."""
    return output.with_name(f"{output.stem}.checkpoint.h5")


def fingerprint(settings: dict[str, Any], arrays: list[np.ndarray]) -> str:
    """A digest of everything a run depends on: resuming with anything else is refused."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, mark: str, stage: int, state: State, extra: dict[str, torch.Tensor]) -> None:
    """Write the state after `stage` finished stages, in full precision."""
    with atomic_output(path, overwrite=True) as temporary, new_hdf5(temporary, "track-checkpoint") as file:
        write_text(file, "fingerprint", mark)
        file.attrs["stage"] = stage
        for item in fields(HeadParams):
            value = getattr(state.params, item.name)
            if value is not None:
                write_array(file, f"params_{item.name}", value.numpy())
        write_array(file, "warp", state.warp.numpy())
        write_array(file, "offsets", state.offsets.numpy())
        write_array(file, "log_focal", state.log_focal.numpy()[None])
        for name, value in extra.items():
            write_array(file, f"extra_{name}", value.numpy())


def load_checkpoint(path: Path, mark: str) -> tuple[int, State, dict[str, torch.Tensor]] | None:
    """Finished stages, state and extras, or None without a checkpoint.

    Raises InputError when the checkpoint was made with other inputs or settings.
    """
    if not path.exists():
        return None
    with open_hdf5(path, "track-checkpoint") as file:
        if read_text(file, "fingerprint") != mark:
            raise InputError(
                f"{path}: was made with other inputs or settings; delete it or run without --resume"
            )
        values = {name: torch.from_numpy(read_array(file, name)) for name in file}
        stage = int(file.attrs["stage"])
    params = {item.name: values.get(f"params_{item.name}") for item in fields(HeadParams)}
    state = State(HeadParams(**params), values["warp"], values["offsets"], values["log_focal"][0])
    extra = {name[6:]: value for name, value in values.items() if name.startswith("extra_")}
    return stage, state, extra
