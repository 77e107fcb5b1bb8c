"""Motion as a plain NumPy archive: one array per head parameter.

    expr [T,E]          required; columns as in the head, or as listed in `names`
    names [E]           optional text: the unit of each column of expr
    rotation, neck, jaw, translation [T,3], eyes [T,6], fps []   optional
A GaussianAvatars `flame_param.npz` is recognised by its `neck_pose` and read as FLAME parameters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError
from emoga.head import Head, HeadParams
from emoga.motion.motion import Motion
from emoga.motion.readers_flame import is_flame_archive, read_flame_params
from emoga.npz import read_npz

WHAT = "a NumPy motion (.npz with expr [T,E])"
WIDTHS = {"rotation": 3, "neck": 3, "jaw": 3, "translation": 3, "eyes": 6}
DEFAULT_FPS = 25.0
MAX_ELEMENTS = 64 * 2**20


def read_numpy_motion(path: str | Path, head: Head, fps: float | None = None) -> Motion:
    """Motion for `head` from an .npz archive. Raises InputError when shapes or values do not fit."""
    path = Path(path)
    if is_flame_archive(path):
        return read_flame_params(path, head, fps)
    arrays = read_npz(path, ("expr",), ("names", "fps", "shape", *WIDTHS), WHAT, MAX_ELEMENTS)
    expr = _columns(path, _floats(path, "expr", arrays["expr"], None), arrays.get("names"), head)
    params = HeadParams.zeros(head, len(expr))
    params.expr = expr
    for name, width in WIDTHS.items():
        if name in arrays:
            setattr(params, name, _floats(path, name, arrays[name], (len(expr), width)))
    if "shape" in arrays:
        params.shape = _floats(path, "shape", arrays["shape"], tuple(params.shape.shape))
    return Motion(head.name, head.version, head.checksum, params, fps or _fps(path, arrays.get("fps")))


def _floats(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...] | None) -> torch.Tensor:
    if array.dtype.kind not in "fiu" or (shape is not None and array.shape != shape):
        wanted = "x".join(map(str, shape)) if shape else "TxE"
        raise InputError(f"{path}: {name} is {array.dtype} {array.shape}, expected numbers {wanted}")
    if shape is None and (array.ndim != 2 or not array.shape[0]):
        raise InputError(f"{path}: {name} is {array.shape}, expected one row per frame")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {name} contains NaN or infinite values")
    return torch.from_numpy(array.astype(np.float32))


def _columns(path: Path, expr: torch.Tensor, names: np.ndarray | None, head: Head) -> torch.Tensor:
    """expr [T,E] in the head's order of units."""
    if names is None:
        if expr.shape[1] != len(head.expr_names):
            raise InputError(
                f"{path}: expr has {expr.shape[1]} columns, the {head.name} head {len(head.expr_names)} "
                "expression units; add `names` to say which is which"
            )
        return expr
    if names.dtype.kind != "U" or names.shape != (expr.shape[1],):
        raise InputError(f"{path}: names must be one text per column of expr")
    ordered = torch.zeros(expr.shape[0], len(head.expr_names))
    for column, name in enumerate(names.tolist()):
        if name not in head.expr_names:
            raise InputError(f"{path}: {name[:40]!r} is not a unit of the {head.name} head")
        ordered[:, head.expr_names.index(name)] = expr[:, column]
    return ordered


def _fps(path: Path, fps: np.ndarray | None) -> float:
    if fps is None:
        return DEFAULT_FPS
    if fps.size != 1 or fps.dtype.kind not in "fiu" or not 0 < float(fps.reshape(())) < 10_000:
        raise InputError(f"{path}: fps must be one number above 0")
    return float(fps.reshape(()))
