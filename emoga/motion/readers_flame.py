"""FLAME parameters as VHAP and GaussianAvatars store them: flame_param/*.npz, or one flame_param.npz.

Arrays: expr, rotation, neck_pose, jaw_pose, eyes_pose, translation with one row per frame held; shape and
static_offset once. They are for FLAME heads only: their expression components mean nothing to another head.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head, HeadParams
from emoga.motion.motion import Motion
from emoga.npz import read_npz

WHAT = "FLAME parameters (.npz with expr, rotation, neck_pose, jaw_pose, eyes_pose, translation)"
PER_FRAME = {
    "rotation": ("rotation", 3),
    "neck_pose": ("neck", 3),
    "jaw_pose": ("jaw", 3),
    "eyes_pose": ("eyes", 6),
    "translation": ("translation", 3),
}
DEFAULT_FPS = 25.0
MAX_ELEMENTS = 64 * 2**20
MAX_FILES = 200_000


def is_flame_archive(path: Path) -> bool:
    """Whether an .npz holds FLAME parameters, judged by the names of its arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "neck_pose.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def read_flame_params(path: str | Path, head: Head, fps: float | None = None) -> Motion:
    """Motion from one FLAME .npz, a folder of them, or a dataset folder that has flame_param/ in it.

    Raises InputError for heads other than FLAME, folders without such files and arrays that do not fit.
    """
    path = Path(path)
    files = _files(path)
    if not head.name.startswith("flame"):
        raise InputError(
            f"{path}: FLAME parameters cannot drive the {head.name} head; "
            "take an avatar whose track was made with --head flame2020 or flame2023"
        )
    params = read_flame_files(files, head)
    return Motion(head.name, head.version, head.checksum, params, fps or DEFAULT_FPS)


def flame_size(path: str | Path) -> tuple[int, int]:
    """Frames and expression components of FLAME parameters, whatever head there is; for paths and errors see above."""
    shapes = [_rows(file)["expr"].shape for file in _files(Path(path))]
    return sum(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def read_flame_files(
    files: Sequence[Path], head: Head, static_offset: torch.Tensor | None = None
) -> HeadParams:
    """The rows of several FLAME .npz one after the other, the shape that of the first, with `static_offset` [V,3].

    Raises InputError for arrays that do not fit the head.
    """
    parts = [_read_file(file, head) for file in files]
    arrays = {name: torch.cat([part[name] for part in parts]) for name in ("expr", *PER_FRAME)}
    params = HeadParams.zeros(head, arrays["expr"].shape[0])
    params.expr = arrays["expr"]
    for stored, (name, _) in PER_FRAME.items():
        setattr(params, name, arrays[stored])
    if "shape" in parts[0]:
        params.shape = _fitted(parts[0]["shape"].reshape(-1), len(params.shape))
    params.static_offset = static_offset
    params.translation = _to_our_origin(params, head)
    return params


def read_static_offset(file: Path, head: Head) -> torch.Tensor | None:
    """The static_offset [V,3] in metres that a FLAME .npz carries, or None.

    Teeth come after FLAME's own vertices and rest where a file was made without them. Raises InputError.
    """
    array = read_npz(file, (), ("static_offset",), WHAT, MAX_ELEMENTS).get("static_offset")
    if array is None:
        return None
    count = len(head.template)
    if array.dtype.kind != "f" or array.ndim not in (2, 3) or array.shape[-1] != 3 or array.size > 3 * count:
        raise InputError(f"{file}: static_offset is {array.shape}, the {head.name} head has {count} vertices")
    if not np.isfinite(array).all():
        raise InputError(f"{file}: static_offset holds NaN or infinity")
    offset = torch.zeros(count, 3)
    rows = torch.from_numpy(array.reshape(-1, 3).astype(np.float32))
    offset[: len(rows)] = rows
    return offset


def _to_our_origin(params: HeadParams, head: Head) -> torch.Tensor:
    """Translations [T,3] of a head that turns between its eyes, for those of FLAME's origin and first joint."""
    if head.root is None:
        return params.translation
    rest = head.identify(params.shape, params.static_offset).rest.double()
    turns = axis_angle_to_matrix(params.rotation.double())
    return head.root.translation_from(rest, turns, params.translation.double()).float()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "flame_param" if (path / "flame_param").is_dir() else path
    files = sorted(file for file in folder.iterdir() if file.suffix == ".npz")
    if not files and (path / "flame_param.npz").is_file():
        files = [path / "flame_param.npz"]
    if not files or len(files) > MAX_FILES:
        raise InputError(f"{path}: {len(files)} .npz files found; expected a folder with flame_param/*.npz")
    return files


def _read_file(file: Path, head: Head) -> dict[str, torch.Tensor]:
    rows = _rows(file)
    rows["expr"] = _fitted(rows["expr"], len(head.expr_names))
    return rows


def _rows(file: Path) -> dict[str, torch.Tensor]:
    arrays = read_npz(file, ("expr", *PER_FRAME), ("shape",), WHAT, MAX_ELEMENTS)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.ndim not in (1, 2) or not np.isfinite(array).all():
            raise InputError(f"{file}: {name} must be finite floats, one row per frame")
    rows = {name: torch.from_numpy(np.atleast_2d(array).astype(np.float32)) for name, array in arrays.items()}
    count = rows["expr"].shape[0]
    for name, (_, width) in PER_FRAME.items():
        if rows[name].shape != (count, width):
            raise InputError(f"{file}: {name} is {tuple(rows[name].shape)}, expected {count}x{width}")
    return rows


def _fitted(values: torch.Tensor, width: int) -> torch.Tensor:
    """Components beyond the head's are dropped, missing ones are zero: they are sorted by importance."""
    padded = torch.nn.functional.pad(values, (0, max(0, width - values.shape[-1])))
    return padded[..., :width]
