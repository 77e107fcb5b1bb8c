"""`avatar.ply`: a head that every splat viewer shows, with everything needed to drive it behind.

    element vertex N   the 3DGS properties, in world space at the bind pose (x y z nx ny nz f_dc_0..2 f_rest_*
                       opacity scale_0..2 rot_0..3: log scales, logit opacities, wxyz, SH channel by channel),
                       then int binding, int row, uchar label
    element emoga B    uchar byte: the B bytes of the avatar's own `avatar.h5`

Other programs may move, delete, reorder or recolour the vertices. A vertex whose world geometry equals, bit
for bit, the one recomputed from the stored local values of its `row` takes those; only the others are carried
back through the rig. So what nobody touched comes back exactly.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch

from emoga.avatar.avatar import Avatar, Gaussians
from emoga.avatar.checks import check_avatar, check_binding
from emoga.avatar.hdf5 import SH_COUNTS, avatar_image, read_avatar
from emoga.avatar.ply_records import format_ply, parse_ply
from emoga.avatar.rig import WorldRows, bind_pose, rows_from_world, rows_to_world
from emoga.errors import InputError
from emoga.hdf5 import open_hdf5_image

COMMENTS = (
    "emoga avatar: standard 3DGS vertices at the bind pose",
    "the second element holds an HDF5 file with the rig's local values",
)
REQUIRED = (
    "x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip
# A logit this far out is an opacity of one in float32; some programs write infinity for it.
OPAQUE_LOGIT = 30.0
# Beyond these, metres and log metres, local values overflow.
FARTHEST, MOST_LOG_SCALE = 1e9, 80.0


def splat_records(world: WorldRows, extra: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """World values as records of the standard 3DGS properties, with further integer columns behind."""
    count, rest = len(world.means), world.sh.shape[1] - 1
    # 3DGS stores the coefficients of red, then of green, then of blue.
    by_channel = world.sh[:, 1:].transpose(0, 2, 1).reshape(count, 3 * rest)
    columns = {
        **_columns(("x", "y", "z"), world.means),
        **_columns(("nx", "ny", "nz"), np.zeros((count, 3), np.float32)),
        **_columns(_numbered("f_dc", 3), world.sh[:, 0]),
        **_columns(_numbered("f_rest", 3 * rest), by_channel),
        "opacity": world.logit_opacities,
        **_columns(_numbered("scale", 3), world.log_scales),
        **_columns(_numbered("rot", 4), world.quats),
        **(extra or {}),
    }
    records = np.empty(count, np.dtype([(name, column.dtype) for name, column in columns.items()]))
    for name, column in columns.items():
        records[name] = column
    return records


def read_splat_records(records: np.ndarray, source: str) -> WorldRows:
    """The 3DGS properties of vertex records; checked for presence, number and finite values."""
    names = records.dtype.names
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(f"{source}: vertices lack {', '.join(missing[:4])}; it is not a 3DGS splat file")
    if len(records) == 0:
        raise InputError(f"{source}: holds no splats")
    rest = sum(name.startswith("f_rest_") for name in names)
    if rest % 3 or rest // 3 + 1 not in SH_COUNTS or f"f_rest_{rest - 1}" not in (*names, "f_rest_-1"):
        raise InputError(f"{source}: {rest} f_rest properties; 0, 9, 24 or 45 are possible")
    base = _gather(records, _numbered("f_dc", 3))[:, None]
    by_channel = _gather(records, _numbered("f_rest", rest)).reshape(len(records), 3, rest // 3)
    opacities = records["opacity"].astype(np.float32)
    world = WorldRows(
        means=_gather(records, ("x", "y", "z")),
        quats=_gather(records, _numbered("rot", 4)),
        log_scales=_gather(records, _numbered("scale", 3)),
        logit_opacities=np.nan_to_num(opacities, nan=np.nan, posinf=OPAQUE_LOGIT, neginf=-OPAQUE_LOGIT),
        sh=np.concatenate([base, by_channel.transpose(0, 2, 1)], axis=1),
    )
    for item in fields(world):
        if not np.isfinite(getattr(world, item.name)).all():
            raise InputError(f"{source}: {item.name} of some splats are NaN or infinite")
    if np.abs(world.means).max() > FARTHEST or np.abs(world.log_scales).max() > MOST_LOG_SCALE:
        raise InputError(f"{source}: some splats are impossibly far away, large or small")
    if not (np.abs(world.quats).max(1) > 0).all():
        raise InputError(f"{source}: some splats have a rotation of length zero")
    return world


def ply_image(avatar: Avatar) -> bytes:
    """The bytes of `avatar.ply`; equal avatars give equal bytes."""
    gaussians = avatar.gaussians
    world = rows_to_world(gaussians, bind_pose(avatar))
    extra = {
        "binding": gaussians.binding.cpu().numpy().astype("<i4"),
        "row": np.arange(len(gaussians), dtype="<i4"),
        "label": gaussians.labels.cpu().numpy().astype("u1"),
    }
    rest = np.frombuffer(avatar_image(avatar), [("byte", "u1")])
    return format_ply({"vertex": splat_records(world, extra), "emoga": rest}, COMMENTS)


def parse_avatar_ply(data: bytes, source: str, like: Avatar | None = None) -> Avatar:
    """The avatar in the bytes of a PLY file; `like` supplies what the second element holds where it is gone.

    Raises InputError for anything damaged, foreign, or made with another head.
    """
    elements = parse_ply(data, source)
    vertices = _vertices(elements, source)
    world = read_splat_records(vertices, source)
    original = _original(elements, source, like)
    return original.with_gaussians(_bring_home(vertices, world, original, source))


def parse_splat_ply(data: bytes, source: str) -> tuple[int, Avatar | None]:
    """How many splats the bytes of a PLY hold, and the avatar in its second element, if that is there."""
    elements = parse_ply(data, source)
    read_splat_records(_vertices(elements, source), source)
    return len(elements["vertex"]), _embedded(elements, source)


def _vertices(elements: dict[str, np.ndarray], source: str) -> np.ndarray:
    if "vertex" not in elements:
        raise InputError(f"{source}: has no vertices; it is not a splat file")
    return elements["vertex"]


def _original(elements: dict[str, np.ndarray], source: str, like: Avatar | None) -> Avatar:
    embedded = _embedded(elements, source)
    if embedded is not None:
        return embedded
    if like is None:
        raise InputError(
            f"{source}: carries splats but no rig (another program dropped it); "
            "name the avatar it came from with --like ORIGINAL"
        )
    return like


def _embedded(elements: dict[str, np.ndarray], source: str) -> Avatar | None:
    records = elements.get("emoga")
    if records is None or not len(records):
        return None
    if records.dtype != np.dtype([("byte", "u1")]):
        raise InputError(f"{source}: its element 'emoga' is not made of bytes; it is damaged")
    with open_hdf5_image(records.tobytes(), source, "avatar") as file:
        return read_avatar(file)


def _bring_home(vertices: np.ndarray, world: WorldRows, original: Avatar, source: str) -> Gaussians:
    """Local Gaussians of the vertices: the stored ones where nothing moved, else carried back by the rig."""
    known = original.gaussians
    head = check_avatar(original, source)
    frames = bind_pose(original, head)
    before = rows_to_world(known, frames)
    rows = _rows(vertices, world, before, source)
    binding = _integers(vertices, "binding", source)
    binding = known.binding[rows] if binding is None else torch.from_numpy(binding)
    check_binding(binding, head, source)
    labels = _integers(vertices, "label", source)
    labels = known.labels[rows] if labels is None else torch.from_numpy((labels & 255).astype(np.uint8))
    untouched = (binding == known.binding[rows]).numpy() & _same_geometry(world, before, rows.numpy())
    result = known.select(rows)
    result.sh, result.logit_opacities = torch.from_numpy(world.sh), torch.from_numpy(world.logit_opacities)
    result.binding, result.labels = binding, labels
    moved = torch.from_numpy(np.flatnonzero(~untouched))
    if len(moved):
        taken = WorldRows(*(getattr(world, item.name)[moved.numpy()] for item in fields(world)))
        carried = rows_from_world(taken, binding[moved], labels[moved], frames)
        for name in ("means", "quats", "log_scales"):
            getattr(result, name)[moved] = getattr(carried, name)
    return result


def _rows(vertices: np.ndarray, world: WorldRows, before: WorldRows, source: str) -> torch.Tensor:
    """Which stored Gaussian each vertex came from; the nearest one where the program dropped the number."""
    rows = _integers(vertices, "row", source)
    if rows is None:
        from scipy.spatial import cKDTree  # takes a tenth of a second to import, and few files need it

        _, rows = cKDTree(before.means).query(world.means)
        rows = np.asarray(rows, np.int64)
    if rows.min() < 0 or rows.max() >= len(before.means):
        raise InputError(
            f"{source}: a splat says it came from row {int(rows.max())} of {len(before.means)}; "
            "the file belongs to another avatar"
        )
    return torch.from_numpy(rows)


def _integers(vertices: np.ndarray, name: str, source: str) -> np.ndarray | None:
    """A column of whole numbers as int64 [N]; programs may have stored it as floats. None when absent."""
    if name not in vertices.dtype.names:
        return None
    column = vertices[name]
    whole = column.astype(np.int64) if column.dtype.kind in "iu" else np.nan_to_num(column).astype(np.int64)
    if not (whole == column).all():
        raise InputError(f"{source}: property {name!r} holds values that are not whole numbers")
    return whole


def _same_geometry(world: WorldRows, before: WorldRows, rows: np.ndarray) -> np.ndarray:
    """Which vertices have, bit for bit, the geometry of the Gaussian they came from; [N] bool."""
    same = np.ones(len(rows), bool)
    for name in ("means", "quats", "log_scales"):
        new, old = getattr(world, name), getattr(before, name)
        same &= (new.view(np.uint32) == old[rows].view(np.uint32)).all(1)
    return same


def _columns(names: tuple[str, ...], values: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[:, index].astype("<f4") for index, name in enumerate(names)}


def _gather(records: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    columns = [records[name].astype(np.float32) for name in names]
    return np.stack(columns, 1) if columns else np.zeros((len(records), 0), np.float32)


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}_{index}" for index in range(count))
