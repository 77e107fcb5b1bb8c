"""Head identity and head parameters inside emoga's HDF5 files."""

from __future__ import annotations

from dataclasses import fields

import h5py
import numpy as np
import torch

from emoga.errors import InputError
from emoga.hdf5 import read_array, read_text, write_array, write_text
from emoga.head.params import HeadParams

MAX_FRAMES = 1_000_000


def write_head_identity(group: h5py.Group, name: str, version: str, checksum: str) -> None:
    """Name, version and checksum of the head model a file was made with."""
    for part, text in (("name", name), ("version", version), ("checksum", checksum)):
        write_text(group, f"head_{part}", text)


def read_head_identity(group: h5py.Group) -> tuple[str, str, str]:
    """What `write_head_identity` wrote."""
    return tuple(read_text(group, f"head_{part}", limit=200) for part in ("name", "version", "checksum"))


def write_params(group: h5py.Group, params: HeadParams) -> None:
    """Store head parameters as float32 arrays named after their fields."""
    for item in fields(HeadParams):
        value = getattr(params, item.name)
        if value is not None:
            write_array(group, item.name, value.detach().cpu().numpy().astype(np.float32))


def read_params(file: h5py.Group, name: str) -> HeadParams:
    """Read head parameters, all per-frame arrays of one length."""
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        raise InputError(f"{file.file.filename}: lacks the group {name!r}")
    expr = read_array(group, "expr", (None, None), max_elements=MAX_FRAMES * 64)
    count = expr.shape[0]
    arrays = {"expr": expr, "shape": read_array(group, "shape", (None,))}
    for field_name, width in (("rotation", 3), ("neck", 3), ("jaw", 3), ("eyes", 6), ("translation", 3)):
        arrays[field_name] = read_array(group, field_name, (count, width))
    tensors = {key: torch.from_numpy(value.astype(np.float32)) for key, value in arrays.items()}
    offset = None
    if "static_offset" in group:
        offset = torch.from_numpy(read_array(group, "static_offset", (None, 3)).astype(np.float32))
    return HeadParams(static_offset=offset, **tensors)
