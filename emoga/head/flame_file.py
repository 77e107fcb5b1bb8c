"""FLAME's own files as their users obtain them: the model, its masks, its landmarks and its texture layout.

Formats only are read here; what the arrays mean is published in T. Li, T. Bolkart, M. J. Black, H. Li and
J. Romero, "Learning a model of facial shape and expression from 4D scans", ACM Trans. Graph. 36 (2017).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import require_file
from emoga.npz import read_npz
from emoga.pickles import read_pickle

NAMES = ("flame2020", "flame2023", "flame2023-open")
VERTICES, FACES, SHAPES, EXPRESSIONS = 5023, 9976, 300, 100
SHAPES_OF = {
    "v_template": (VERTICES, 3), "f": (FACES, 3), "shapedirs": (VERTICES, 3, SHAPES + EXPRESSIONS),
    "posedirs": (VERTICES, 3, 36), "J_regressor": (5, VERTICES), "kintree_table": (2, 5),
    "weights": (VERTICES, 5),
}  # fmt: skip
PARENTS = [0, 1, 1, 1]
# Names of the masks' regions -> ours.
MASKS = {
    "scalp": "scalp", "forehead": "forehead", "nose": "nose", "lips": "lips", "neck": "neck",
    "boundary": "boundary", "left_ear": "ears", "right_ear": "ears",
}  # fmt: skip
MAX_OBJ_BYTES = 16 * 2**20
WHAT = "a FLAME model (.pkl as downloaded, or an .npz with its arrays)"


def read_flame(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of SHAPES_OF, checked: shapes, types, ranges, that they hold together.

    Raises InputError naming what is wrong; of a pickle nothing is run.
    """
    path = require_file(path, WHAT)
    if path.suffix == ".npz":
        found: object = read_npz(path, tuple(SHAPES_OF), what=WHAT, max_elements=2**24)
    else:
        found = read_pickle(path, what=WHAT)
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no named arrays; expected {WHAT}")
    problem = _problem(found)
    if problem:
        raise InputError(f"{path}: not a usable FLAME model, {problem}; download it again")
    return {name: np.asarray(found[name]) for name in SHAPES_OF}


def _problem(arrays: dict) -> str | None:
    """What is wrong with the arrays, or None."""
    for name, shape in SHAPES_OF.items():
        values = arrays.get(name)
        if not isinstance(values, np.ndarray):
            return f"it lacks {name}"
        if values.shape != shape:
            return f"{name} is {'x'.join(map(str, values.shape))} instead of {'x'.join(map(str, shape))}"
        if values.dtype.kind not in ("iu" if name in ("f", "kintree_table") else "f"):
            return f"{name} has the type {values.dtype}"
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return f"{name} holds numbers that are not finite"
    if arrays["f"].min() < 0 or arrays["f"].max() >= VERTICES:
        return f"f points outside 0..{VERTICES - 1}"
    if [int(parent) for parent in arrays["kintree_table"][0][1:]] != PARENTS:
        return "kintree_table is not root, neck, jaw and two eyes"
    return _out_of_range(arrays)


def _out_of_range(arrays: dict[str, np.ndarray]) -> str | None:
    size = np.ptp(arrays["v_template"], axis=0).max()
    if not 0.1 < size < 1 or np.abs(arrays["v_template"]).max() > 1:
        return f"v_template spans {size:.3g}, a head in metres spans about 0.3"
    for name in ("shapedirs", "posedirs"):
        if np.abs(arrays[name]).max() > 1:
            return f"{name} moves vertices by more than a metre"
    weights = arrays["weights"]
    if weights.min() < -1e-3 or np.abs(weights.sum(1) - 1).max() > 1e-2:
        return "weights of some vertex do not add up to 1"
    if ((weights > 0.5).sum(0)[3:] < 10).any():
        return "weights bind no eyeballs"
    if np.abs(arrays["J_regressor"].sum(1) - 1).max() > 0.2:
        return "J_regressor of some joint does not add up to 1"
    return None


def read_masks(path: str | Path) -> dict[str, np.ndarray]:
    """Vertex ids by name of our regions, from FLAME_masks.pkl. Raises InputError for another file."""
    found = read_pickle(path, what="FLAME_masks.pkl")
    if not is_masks(found):
        raise InputError(f"{path}: holds no vertex ids of scalp, lips and nose; expected FLAME_masks.pkl")
    regions: dict[str, list[np.ndarray]] = {}
    for theirs, ours in MASKS.items():
        ids = np.ravel(np.asarray(found.get(theirs, np.zeros(0, np.int64))))
        if ids.dtype.kind not in "iu" or (ids.size and (ids.min() < 0 or ids.max() >= VERTICES)):
            raise InputError(f"{path}: {theirs} points outside 0..{VERTICES - 1}; download it again")
        regions.setdefault(ours, []).append(ids.astype(np.int64))
    return {name: np.concatenate(parts) for name, parts in regions.items()}


def is_masks(found: object) -> bool:
    """Whether what a pickle held looks like FLAME's masks."""
    return isinstance(found, dict) and {"scalp", "lips", "nose"} <= set(found)


def read_landmark_file(path: str | Path) -> dict[str, np.ndarray]:
    """Points of a landmark file: points [P], faces [P], bary [P,3]; `scheme` names what the points number.

    landmark_embedding.npy (68 points), flame_static_embedding.pkl (51, without the outline) or
    mediapipe_landmark_embedding.npz (some of 478). Raises InputError for another file.
    """
    path = require_file(path, "FLAME's landmark embedding (.npy, .npz or .pkl)")
    found = _landmark_arrays(path)
    if "full_lmk_faces_idx" in found:
        faces = np.ravel(np.asarray(found["full_lmk_faces_idx"]))[:68]
        bary = np.reshape(np.asarray(found.get("full_lmk_bary_coords", [])), (-1, 3))[:68]
        scheme, points = "ibug68", np.arange(68)
    elif "landmark_indices" in found:
        scheme, points = "mediapipe478", np.ravel(np.asarray(found["landmark_indices"]))
        faces, bary = np.ravel(found.get("lmk_face_idx", [])), np.asarray(found.get("lmk_b_coords", []))
    else:
        faces, bary = np.ravel(found.get("lmk_face_idx", [])), np.asarray(found.get("lmk_b_coords", []))
        scheme, points = "ibug68", np.arange(17, 68)
    count = 68 if scheme == "ibug68" else 478
    usable = faces.shape == points.shape and bary.shape == (len(points), 3) and bary.dtype.kind == "f"
    for values, limit in ((faces, FACES), (points, count)):
        usable = usable and values.dtype.kind in "iu" and values.size > 0
        usable = usable and values.min() >= 0 and values.max() < limit
    if not usable or not np.isfinite(bary).all() or np.abs(bary.sum(1) - 1).max() > 1e-2:
        raise InputError(f"{path}: holds no landmarks on FLAME's triangles; download it again")
    return {
        "scheme": np.array(scheme), "points": points.astype(np.int64), "faces": faces.astype(np.int64),
        "bary": bary.astype(np.float64),
    }  # fmt: skip


def _landmark_arrays(path: Path) -> dict:
    what = "FLAME's landmark embedding"
    if path.suffix == ".npz":
        return dict(read_npz(path, ("lmk_face_idx", "lmk_b_coords", "landmark_indices"), what=what))
    found: object = read_pickle(path, skip=_npy_header(path) if path.suffix == ".npy" else 0, what=what)
    # An array of no axes around one dictionary.
    found = found[0] if isinstance(found, list) and len(found) == 1 else found
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no named arrays; expected {what}")
    return found


def _npy_header(path: Path) -> int:
    """How many bytes precede the pickle in an .npy file of Python objects."""
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError("an unknown version")
            np.lib.format.read_array_header_1_0(stream)
            return stream.tell()
    except (ValueError, SyntaxError, OSError, EOFError) as error:
        raise InputError(f"{path}: damaged; expected an .npy file") from error


def read_uv(path: str | Path) -> dict[str, np.ndarray]:
    """Texture layout uv [U,2] and uv_faces [F,3] of head_template.obj. Raises InputError for another file."""
    path = require_file(path, "FLAME's head_template.obj")
    if path.stat().st_size > MAX_OBJ_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, more than FLAME's head_template.obj has")
    uv, corners = [], []
    try:
        for line in path.read_text(encoding="latin-1").splitlines():
            words = line.split()
            if words[:1] == ["vt"]:
                uv.append([float(word) for word in words[1:3]])
            elif words[:1] == ["f"]:
                corners.append([[int(part) for part in word.split("/")[:2]] for word in words[1:]])
        values, index = np.array(uv, np.float64), np.array(corners, np.int64) - 1
        usable = index.shape == (FACES, 3, 2) and values.ndim == 2 and np.isfinite(values).all()
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: damaged; expected FLAME's head_template.obj") from error
    if not usable or index.min() < 0 or index[..., 1].max() >= len(values):
        raise InputError(f"{path}: has not FLAME's {FACES} textured triangles; expected head_template.obj")
    return {"uv": values, "uv_faces": index[..., 1], "faces": index[..., 0]}
