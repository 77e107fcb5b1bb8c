"""Load a head by name or from its file; only the open head ships with the package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError
from emoga.files import sha256_of
from emoga.head.embedding import LandmarkEmbedding
from emoga.head.flame import load_flame
from emoga.head.flame_file import NAMES as FLAME_NAMES
from emoga.head.lids import Lids
from emoga.head.model import Head
from emoga.head.params import BONES, JOINTS
from emoga.head.presets import PRESETS
from emoga.head.regions import named_regions
from emoga.npz import read_npz

DATA = Path(__file__).parent / "data"
OPEN_HEAD = DATA / "open_head.npz"
OPEN_LANDMARKS = DATA / "open_landmarks.npz"
STUDIO_IDENTITIES = DATA / "studio_identities.npz"
KNOWN = ("open", *FLAME_NAMES)
LID_ARRAYS = (
    "upper", "lower", "meeting", "closing_ids", "closing", "sliding", "sliding_eye", "lashes", "lash_bind",
    "lash_weights", "pocket",
)  # fmt: skip
ARRAYS = (
    "name", "version", "template", "faces", "uv", "uv_faces", "shape_basis", "shape_scale", "semantic_names",
    "semantic", "region_names", "vertex_regions", "face_regions", "expr_names", "expr_basis", "expr_scale",
    "joint_regressor", "joint_offset", "skin_weights", "jaw_turn", "gaze_angles",
    *(f"lids_{name}" for name in LID_ARRAYS),
)  # fmt: skip
MAX_ELEMENTS = 20_000_000
SCHEMES = {"ibug68": 68, "mediapipe478": 478}


def load_head(name: str = "open") -> Head:
    """A head model by name: the open one, or FLAME as `emoga assets add` converted it.

    Raises InputError listing the known ones, MissingComponent saying how to get a FLAME head.
    """
    if name not in KNOWN:
        raise InputError(f"unknown head {name!r}; known heads: {', '.join(KNOWN)}")
    return _open_head() if name == "open" else load_flame(name)


@lru_cache(maxsize=1)
def _open_head() -> Head:
    head = read_head(OPEN_HEAD)
    return head.with_landmarks(read_landmarks(OPEN_LANDMARKS, head))


def read_head(path: str | Path) -> Head:
    """Read a head file (.npz, no pickles); InputError when it is not one or does not hold together."""
    path = Path(path)
    arrays = read_npz(path, ARRAYS, what="an emoga head file", max_elements=MAX_ELEMENTS)
    problem = _problem(arrays)
    if problem:
        raise InputError(f"{path}: not a usable head file, {problem}; reinstall emoga")
    return _head(arrays, sha256_of(path))


def _problem(a: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the shapes or indices of a head file, or None."""
    if a["template"].ndim != 2 or a["faces"].ndim != 2 or a["shape_basis"].ndim != 3:
        return "arrays have the wrong number of axes"
    vertices, triangles = a["template"].shape[0], a["faces"].shape[0]
    units, components = len(np.atleast_1d(a["expr_names"])), len(a["shape_basis"])
    expected = {
        "template": (vertices, 3), "faces": (triangles, 3), "uv_faces": (triangles, 3),
        "shape_basis": (components, vertices, 3), "shape_scale": (components,),
        "expr_basis": (units, vertices, 3), "expr_scale": (units,), "face_regions": (triangles,),
        "vertex_regions": (vertices,), "joint_regressor": (len(JOINTS), vertices),
        "joint_offset": (len(JOINTS), 3), "skin_weights": (vertices, len(BONES)), "jaw_turn": (3,),
        "gaze_angles": (4,), "semantic": (len(np.atleast_1d(a["semantic_names"])), components),
    }  # fmt: skip
    for name, shape in expected.items():
        if a[name].shape != shape:
            return f"{name} has shape {a[name].shape} instead of {shape}"
    for name, values in a.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return f"{name} holds numbers that are not finite"
        if values.dtype.kind not in "fiuU":
            return f"{name} has the unusable type {values.dtype}"
    return _bad_index(a, vertices)


def _bad_index(a: dict[str, np.ndarray], vertices: int) -> str | None:
    rows = len(a["lids_sliding"])
    limits = {
        "faces": vertices, "uv_faces": len(a["uv"]), "face_regions": len(a["region_names"]),
        "vertex_regions": len(a["region_names"]), "lids_sliding_eye": 2, "lids_lash_bind": rows,
        **{f"lids_{n}": vertices for n in ("upper", "lower", "closing_ids", "sliding", "lashes", "pocket")},
    }  # fmt: skip
    for name, limit in limits.items():
        if a[name].dtype.kind not in "iu" or a[name].size == 0 or a[name].min() < 0 or a[name].max() >= limit:
            return f"{name} points outside 0..{limit - 1}"
    return None


def read_landmarks(path: str | Path, head: Head) -> dict[str, LandmarkEmbedding]:
    """Read the landmark embeddings made for a head; InputError when they do not belong to it."""
    wanted = tuple(f"{scheme}_{part}" for scheme in SCHEMES for part in ("faces", "bary"))
    arrays = read_npz(path, ("topology", *wanted), what="landmark embeddings", max_elements=MAX_ELEMENTS)
    if str(arrays["topology"]) != head.topology:
        raise InputError(f"{path}: made for another head than {head.name} {head.version}; reinstall emoga")
    found = {}
    for scheme, count in SCHEMES.items():
        index, bary = arrays[f"{scheme}_faces"], arrays[f"{scheme}_bary"]
        usable = index.shape == (count,) and bary.shape == (count, 3) and index.dtype.kind in "iu"
        if not usable or index.max() >= len(head.faces) or not np.isfinite(bary).all():
            raise InputError(f"{path}: {scheme} does not hold {count} points on the head; reinstall emoga")
        faces = torch.from_numpy(index.astype(np.int64))
        bary = torch.from_numpy(bary.astype(np.float32))
        found[scheme] = LandmarkEmbedding(faces, bary, head.faces[faces])
    return found


def _head(a: dict[str, np.ndarray], checksum: str) -> Head:
    def tensor(name: str) -> torch.Tensor:
        values = a[name]
        return torch.from_numpy(values.astype(np.float32 if values.dtype.kind == "f" else np.int64))

    def basis(name: str, scale: str) -> torch.Tensor:
        return torch.from_numpy(a[name].astype(np.float32) * a[scale][:, None, None])

    names = tuple(str(n) for n in a["region_names"])
    return Head(
        name=str(a["name"].ravel()[0]),
        version=str(a["version"].ravel()[0]),
        checksum=checksum,
        template=tensor("template"),
        faces=tensor("faces"),
        shape_basis=basis("shape_basis", "shape_scale"),
        shape_names=tuple(f"shape{i:02d}" for i in range(len(a["shape_basis"]))),
        semantic=dict(zip((str(n) for n in a["semantic_names"]), tensor("semantic"), strict=True)),
        expr_basis=basis("expr_basis", "expr_scale"),
        expr_names=tuple(str(n) for n in a["expr_names"]),
        joint_regressor=tensor("joint_regressor"),
        joint_offset=tensor("joint_offset"),
        skin_weights=tensor("skin_weights"),
        jaw_turn=tensor("jaw_turn"),
        gaze_angles=tensor("gaze_angles"),
        lids=Lids(*(tensor(f"lids_{name}") for name in LID_ARRAYS)),
        uv=tensor("uv"),
        uv_faces=tensor("uv_faces"),
        regions=named_regions(names, tensor("vertex_regions")),
        face_regions=tensor("face_regions").to(torch.uint8),
        region_names=names,
        landmarks={},
        presets=PRESETS,
    )
