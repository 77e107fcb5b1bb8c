"""Weights of picture networks that users bring along: where they lie, read without running anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from emoga.errors import InputError
from emoga.files import data_dir

MAX_BYTES = 2**30


def find_backbone(names: Sequence[str], weights: str | Path | None = None) -> Path | None:
    """The first file of these names in `weights`, $EMOGA_WEIGHTS, the assets or torch hub's cache, or None."""
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    folders = [weights, os.environ.get("EMOGA_WEIGHTS"), data_dir() / "weights", hub]
    candidates = [Path(folder) / name for folder in folders if folder for name in names]
    return next((path for path in candidates if path.is_file()), None)


def read_backbone(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The arrays of a torch file that `shapes` names, float32; what else the file holds is left.

    Raises InputError when the file is too large, is not such a file, or an array is missing or of another shape.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path}: {size} bytes is more than such weights take; put another file there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows as any of a dozen errors
        raise InputError(
            f"{path}: no readable weights ({type(error).__name__}); put another copy there"
        ) from error
    for name, shape in shapes.items():
        value = state.get(name) if isinstance(state, dict) else None
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != shape:
            found = list(value.shape) if isinstance(value, torch.Tensor) else "missing"
            raise InputError(
                f"{path}: {name} is {found}, not {list(shape)}; put the network's own file there"
            )
    return {name: state[name].float() for name in shapes}
