"""FLAME as a Head: converted once from the user's own file to arrays without code, then loaded by name."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError, MissingComponent
from emoga.files import atomic_output, data_dir
from emoga.head.embedding import LandmarkEmbedding
from emoga.head.flame_file import EXPRESSIONS, NAMES, SHAPES, read_flame
from emoga.head.flame_parts import (
    Supplied,
    anchors,
    embed_landmarks,
    face_regions,
    make_teeth,
    texture_layout,
    vertex_regions,
)
from emoga.head.flame_presets import carried_presets
from emoga.head.flame_surface import Surface
from emoga.head.lids import Lids
from emoga.head.model import Head
from emoga.head.params import BONES, JOINTS
from emoga.head.regions import named_regions
from emoga.head.root import Root
from emoga.npz import read_npz

CONVERSION = "1"  # with which teeth and origin; part of the head's version and checksum
SCHEMES = {"ibug68": 68, "mediapipe478": 478}
ARRAYS = (
    "name", "version", "checksum", "origin", "template", "faces", "shape_basis", "expr_basis", "pose_basis",
    "root_regressor", "joint_regressor", "skin_weights", "uv", "uv_faces", "region_names", "vertex_regions",
    "face_regions", "preset_names", "preset_offsets",
    *(f"{scheme}_{part}" for scheme in SCHEMES for part in ("faces", "bary")),
)  # fmt: skip
MAX_ELEMENTS = 2**24
PAGE = "https://flame.is.tue.mpg.de"


def flame_path(name: str) -> Path:
    """Where the converted head of a name lies."""
    return data_dir() / "heads" / name / "head.npz"


def convert_flame(source: str | Path, name: str, supplied: Supplied, like: Head) -> Path:
    """Read a FLAME file, make it a head with teeth, regions and landmarks, and keep it under `name`.

    like: the open head, whose surface tells where what lies. Raises InputError for an unusable file.
    """
    if name not in NAMES:
        raise InputError(f"unknown FLAME head {name!r}; known: {', '.join(NAMES)}")
    arrays = _converted(read_flame(source), name, supplied, like)
    path = flame_path(name)
    with atomic_output(path, overwrite=True) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return path


def _converted(
    official: dict[str, np.ndarray], name: str, supplied: Supplied, like: Head
) -> dict[str, np.ndarray]:
    """The arrays of ARRAYS. Metres about the middle between the eyes; axes are FLAME's, which are ours."""
    vertices, faces = official["v_template"].astype(np.float64), official["f"].astype(np.int64)
    regressor, weights = official["J_regressor"].astype(np.float64), official["weights"]
    origin = np.round((regressor[3:] @ vertices).mean(0), 6)
    placed = vertices - origin
    surface = Surface(placed, faces, regressor[3:] @ vertices - origin, (weights[:, 3:] > 0.5).any(1))
    teeth = make_teeth(like, surface)
    basis = np.moveaxis(official["shapedirs"].astype(np.float32), 2, 0)
    labels = vertex_regions(like, surface, supplied)
    known = anchors(like, surface, supplied)
    presets = carried_presets(like, surface, basis[SHAPES:], labels, known)
    labels = np.concatenate([labels, np.full(len(teeth.vertices), like.region_names.index("teeth"))])
    all_faces = np.vstack([faces, teeth.faces + len(vertices)])
    bound = np.zeros((len(teeth.vertices), len(BONES)), np.float32)
    bound[np.arange(len(bound)), np.where(teeth.lower, BONES.index("jaw"), BONES.index("neck"))] = 1
    following = np.repeat(basis[:SHAPES, teeth.near].mean(1)[:, None], len(bound), 1)
    still = np.zeros((EXPRESSIONS, len(bound), 3), np.float32)
    correctives = np.moveaxis(official["posedirs"].astype(np.float32), 2, 0)
    whole = np.pad(regressor, ((0, 0), (0, len(bound)))).astype(np.float32)
    uv, uv_faces = texture_layout(surface, teeth, supplied)
    return {
        "name": np.array(name), "version": np.array(f"{name.removeprefix('flame')}.{CONVERSION}"),
        "checksum": np.array(_checksum(official, teeth.vertices)), "origin": origin,
        "template": np.vstack([placed, teeth.vertices]).astype(np.float32),
        "faces": all_faces.astype(np.uint16),
        "shape_basis": np.concatenate([basis[:SHAPES], following], 1),
        "expr_basis": np.concatenate([basis[SHAPES:], still], 1),
        "pose_basis": np.concatenate([correctives, still[:36]], 1),
        "root_regressor": whole[0], "joint_regressor": whole[1:],
        "skin_weights": np.vstack([weights.astype(np.float32), bound]),
        "uv": uv.astype(np.float32), "uv_faces": uv_faces.astype(np.int32),
        "region_names": np.array(like.region_names), "vertex_regions": labels.astype(np.uint8),
        "preset_names": np.array(list(like.presets)), "preset_offsets": presets,
        "face_regions": face_regions(all_faces, labels), **embed_landmarks(like, surface, supplied),
    }  # fmt: skip


def _checksum(official: dict[str, np.ndarray], teeth: np.ndarray) -> str:
    """Digest of what makes the form and motion of the head: FLAME's arrays, our teeth and this conversion."""
    digest = hashlib.sha256(CONVERSION.encode())
    for name in sorted(official):
        kind = "<f8" if official[name].dtype.kind == "f" else "<i8"
        digest.update(np.ascontiguousarray(official[name], kind))
    digest.update(np.round(teeth * 1e5).astype("<i8"))
    return digest.hexdigest()


def load_flame(name: str) -> Head:
    """A converted head. Raises MissingComponent saying what to obtain and which command to run."""
    path = flame_path(name)
    if not path.is_file():
        raise MissingComponent(
            f"the head {name} is not here; obtain its model file at {PAGE} (registration and licence are theirs) "
            f"and run: emoga assets add FILE --as {name}"
        )
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=3)
def _loaded(path: Path, written: int) -> Head:
    return _head(_read(path))


def _read(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(
        path, ARRAYS, what="a converted FLAME head; add FLAME's file again", max_elements=MAX_ELEMENTS
    )
    count, triangles = len(arrays["template"]), len(arrays["faces"])
    expected = {
        "template": (count, 3), "faces": (triangles, 3), "uv_faces": (triangles, 3), "origin": (3,),
        "shape_basis": (SHAPES, count, 3), "expr_basis": (EXPRESSIONS, count, 3), "pose_basis": (36, count, 3),
        "root_regressor": (count,), "joint_regressor": (len(JOINTS), count), "skin_weights": (count, len(BONES)),
        "vertex_regions": (count,), "face_regions": (triangles,), "uv": (len(arrays["uv"]), 2),
        "preset_offsets": (len(arrays["preset_names"]), EXPRESSIONS),
        **{f"{s}_faces": (n,) for s, n in SCHEMES.items()}, **{f"{s}_bary": (n, 3) for s, n in SCHEMES.items()},
    }  # fmt: skip
    limits = {
        "faces": count, "uv_faces": len(arrays["uv"]), "vertex_regions": len(arrays["region_names"]),
        "face_regions": len(arrays["region_names"]), **{f"{scheme}_faces": triangles for scheme in SCHEMES},
    }  # fmt: skip
    sound = all(arrays[name].shape == shape for name, shape in expected.items())
    sound = sound and all(
        arrays[name].dtype.kind in "iu" and arrays[name].min() >= 0 and arrays[name].max() < limit
        for name, limit in limits.items()
    )
    sound = sound and all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")
    if not sound:
        raise InputError(f"{path}: damaged; add the FLAME file again with `emoga assets add`")
    return arrays


def _head(a: dict[str, np.ndarray]) -> Head:
    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(a[name].astype(np.float32 if a[name].dtype.kind == "f" else np.int64))

    regressor, origin = a["joint_regressor"].astype(np.float64), a["origin"].astype(np.float64)
    names = tuple(str(name) for name in a["region_names"])
    faces = tensor("faces")
    return Head(
        name=str(a["name"]),
        version=str(a["version"]),
        checksum=str(a["checksum"]),
        template=tensor("template"),
        faces=faces,
        shape_basis=tensor("shape_basis"),
        shape_names=tuple(f"shape{i:03d}" for i in range(SHAPES)),
        semantic={},
        expr_basis=tensor("expr_basis"),
        expr_names=tuple(f"expr_{i:03d}" for i in range(EXPRESSIONS)),
        joint_regressor=tensor("joint_regressor"),
        # A regressor whose weights do not quite add up to 1 depends on where the origin is.
        joint_offset=torch.from_numpy((regressor.sum(1, keepdims=True) - 1) * origin).float(),
        skin_weights=tensor("skin_weights"),
        jaw_turn=torch.zeros(3),
        gaze_angles=torch.full((4,), 0.5),
        lids=Lids.none(),
        uv=tensor("uv"),
        uv_faces=tensor("uv_faces"),
        regions=named_regions(names, tensor("vertex_regions")),
        face_regions=tensor("face_regions").to(torch.uint8),
        region_names=names,
        landmarks={
            scheme: LandmarkEmbedding(
                tensor(f"{scheme}_faces"), tensor(f"{scheme}_bary"), faces[tensor(f"{scheme}_faces")]
            )
            for scheme in SCHEMES
        },
        presets={
            str(preset): {f"expr_{i:03d}": float(weight) for i, weight in enumerate(weights) if weight}
            for preset, weights in zip(a["preset_names"], a["preset_offsets"], strict=True)
        },
        pose_basis=tensor("pose_basis"),
        root=Root(*(torch.from_numpy(a[n].astype(np.float64)) for n in ("origin", "root_regressor"))),
    )
