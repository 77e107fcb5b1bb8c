"""Files shaped like FLAME's, made from the open head: a pickle as Python 2 with chumpy and scipy wrote it.

The surface is a coarse skin with two eyeballs and FLAME's counts, cast around the open head, so that it has a
face to find; nothing of FLAME itself is in it.
"""

from __future__ import annotations

import pickle
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.spatial
import torch

from emoga.head import load_head
from emoga.head.flame_surface import Surface, closest_on

SKIN_COLUMNS, SKIN_RINGS, SPLIT = 60, 65, 30
EYE_COLUMNS, EYE_RINGS = 32, 17
MOVED = np.array([0.004, -0.031, 0.012])  # FLAME's origin is not between the eyes
SCALE = 1.05


def _fan(columns: int, rings: int, closed: bool) -> list[tuple[int, int, int]]:
    """Triangles of a pole, `rings` rings of `columns` vertices, and a second pole when closed."""
    faces = [(0, 1 + c, 1 + (c + 1) % columns) for c in range(columns)]
    for ring in range(rings - 1):
        a, b = 1 + ring * columns, 1 + (ring + 1) * columns
        for c in range(columns):
            d = (c + 1) % columns
            faces += [(a + c, b + c, b + d), (a + c, b + d, a + d)]
    if closed:
        last, end = 1 + (rings - 1) * columns, 1 + rings * columns
        faces += [(last + c, end, last + (c + 1) % columns) for c in range(columns)]
    return faces


def _skin() -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Vertices [3931,3] around the open head and 7800 triangles."""
    head = load_head()
    shown = ~(head.regions["eyeballs"] | head.regions["teeth"] | head.regions["tongue"])
    for name in ("lashes", "mouth_interior", "shoulders", "boundary"):
        shown &= ~head.regions[name]
    surface = head.template[shown].double().numpy()
    centre = np.array([0.0, -0.02, -0.06])
    # Rings from the crown down to the foot of the neck.
    axis = np.array([0.0, 1.0, 0.0])
    across = np.array([1.0, 0.0, 0.0])
    ahead = np.cross(across, axis)
    faces = _fan(SKIN_COLUMNS, SKIN_RINGS, closed=False)
    ways = [axis]
    for ring in range(1, SKIN_RINGS + 1):
        angle = 2.7 * ring / SKIN_RINGS
        for turn in np.arange(SKIN_COLUMNS) / SKIN_COLUMNS * 2 * np.pi:
            side = np.cos(turn) * across + np.sin(turn) * ahead
            ways.append(np.cos(angle) * axis + np.sin(angle) * side)
    arms = surface - centre
    far = np.linalg.norm(arms, axis=1)
    gap, near = scipy.spatial.cKDTree(arms / far[:, None]).query(np.array(ways), k=6)
    weight = 1 / (gap + 0.005) ** 2
    vertices = np.array(ways) * ((weight * far[near]).sum(1) / weight.sum(1))[:, None] + centre
    for face in range(2000, 2000 + SPLIT):
        a, b, c = faces[face]
        vertices = np.vstack([vertices, vertices[[a, b, c]].mean(0)])
        new = len(vertices) - 1
        faces[face] = (a, b, new)
        faces += [(b, c, new), (c, a, new)]
    return vertices, _outward(vertices, faces, centre)


def _outward(vertices, faces, centre):
    corners = vertices[np.array(faces)]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inside = ((corners.mean(1) - centre) * normals).sum() < 0
    return [face[::-1] if inside else face for face in faces]


def _eyeball(centre: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    points = [[0, 0, 1]]
    for ring in range(1, EYE_RINGS + 1):
        angle = np.pi * ring / (EYE_RINGS + 1)
        turn = np.arange(EYE_COLUMNS) / EYE_COLUMNS * 2 * np.pi
        points += [[np.sin(angle) * np.cos(t), np.sin(angle) * np.sin(t), np.cos(angle)] for t in turn]
    points += [[0, 0, -1]]
    vertices = 0.0125 * np.array(points, float) + centre
    return vertices, _outward(vertices, _fan(EYE_COLUMNS, EYE_RINGS, closed=True), centre)


@lru_cache(maxsize=1)
def flame_shaped() -> dict[str, np.ndarray]:
    """Arrays with FLAME's names and counts, float64 as in its files, shared by all tests: do not change them."""
    head, rng = load_head(), np.random.default_rng(3)
    skin, skin_faces = _skin()
    eyes = [_eyeball(joint.double().numpy()) for joint in head.joints[2:]]
    vertices = np.vstack([skin, eyes[0][0], eyes[1][0]])
    faces = skin_faces + [
        tuple(i + len(skin) + side * len(eyes[0][0]) for i in face)
        for side in (0, 1)
        for face in eyes[side][1]
    ]
    weights = np.zeros((len(vertices), 5))
    _, near = scipy.spatial.cKDTree(head.template.double().numpy()).query(skin, k=4)
    weights[: len(skin)] = head.skin_weights.double().numpy()[near].mean(1)
    weights[: len(skin), 3:] = 0
    weights[: len(skin), 0] += 1e-3
    weights /= weights.sum(1, keepdims=True).clip(1e-9)
    weights[len(skin) : len(skin) + 546, 3], weights[len(skin) + 546 :, 4] = 1, 1
    bases = np.zeros((len(vertices), 3, 400))
    bases[: len(skin), :, :50] = head.shape_basis[:50].double().numpy()[:, near].mean(2).transpose(1, 2, 0)
    eyeballs = slice(len(skin), None)
    bases[eyeballs, :, :50] = 0
    units = head.identify(torch.zeros(len(head.shape_names))).expr_basis.double().numpy()
    bases[: len(skin), :, 300:352] = units[:, near].mean(2).transpose(1, 2, 0)
    bases[: len(skin), :, 352:] = 2e-4 * _waves(skin, rng, 48)
    placed = SCALE * vertices + MOVED
    regressor = np.zeros((5, len(vertices)))
    joints = np.vstack([[0, -0.16, -0.06], head.joints.double().numpy()])
    for row, joint in enumerate(joints):
        pool = (
            np.arange(len(skin))
            if row < 3
            else np.arange(len(skin) + (row - 3) * 546, len(skin) + (row - 2) * 546)
        )
        chosen = pool[np.argsort(np.linalg.norm(vertices[pool] - joint, axis=1))[:24]] if row < 3 else pool
        regressor[row, chosen] = 1 / len(chosen)
    posedirs = np.zeros((len(vertices), 3, 36))
    posedirs[: len(skin)] = 1e-3 * _waves(skin, rng, 36)
    return {
        "v_template": placed, "f": np.array(faces, np.uint32), "shapedirs": SCALE * bases,
        "posedirs": posedirs, "J_regressor": regressor, "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
    }  # fmt: skip


def _waves(points: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth displacements [V,3,count] of unit size."""
    ways = rng.normal(size=(3, 3 * count)) * 15
    return np.sin(points @ ways + rng.uniform(0, 6, 3 * count)).reshape(len(points), 3, count)


class OldPickle:
    """Writes protocol 2 as Python 2 did: texts are bytes strings, arrays hold their bytes in one."""

    def __init__(self) -> None:
        self.out = [b"\x80\x02"]

    def text(self, value: bytes) -> None:
        self.out += [b"T", struct.pack("<I", len(value)), value]

    def name(self, module: str, name: str) -> None:
        self.out.append(f"c{module}\n{name}\n".encode())

    def array(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        self.name("numpy.core.multiarray", "_reconstruct")
        self.name("numpy", "ndarray")
        self.out += [b"K\x00\x85U\x01b\x87R(K\x01("]
        self.out += [b"J" + struct.pack("<i", n) for n in values.shape]
        self.out.append(b"t")
        self.name("numpy", "dtype")
        kind = f"{values.dtype.kind}{values.dtype.itemsize}".encode()
        self.out += [b"U", bytes([len(kind)]), kind, b"K\x00K\x01\x87R"]
        self.out += [b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"]
        self.text(values.tobytes())
        self.out.append(b"tb")

    def chumpy(self, values: np.ndarray) -> None:
        self.name("chumpy.ch", "Ch")
        self.out.append(b")\x81}(")
        self.text(b"x")
        self.array(values)
        self.text(b"_dirty_vars")
        self.name("__builtin__", "set")
        self.out.append(b"]\x85R")
        self.out.append(b"ub")

    def sparse(self, values: np.ndarray) -> None:
        matrix = scipy.sparse.csc_matrix(values)
        self.name("scipy.sparse.csc", "csc_matrix")
        self.out.append(b")\x81}(")
        self.text(b"_shape")
        self.out += [b"J" + struct.pack("<i", n) for n in matrix.shape] + [b"\x86"]
        for key in ("data", "indices", "indptr"):
            self.text(key.encode())
            self.array(getattr(matrix, key))
        self.out.append(b"ub")

    def bytes(self) -> bytes:
        return b"".join([*self.out, b"."])


def write_flame(path: Path, **changed: np.ndarray) -> Path:
    """A pickle shaped like FLAME's; `changed` arrays replace its own, None leaves one out."""
    writer = OldPickle()
    writer.out.append(b"}(")
    for name, values in {**flame_shaped(), **changed}.items():
        if values is None:
            continue
        writer.text(name.encode())
        if name == "J_regressor":
            writer.sparse(values)
        elif name in ("v_template", "shapedirs", "posedirs", "weights"):
            writer.chumpy(values)
        else:
            writer.array(values)
    writer.text(b"bs_style")
    writer.text(b"lbs")
    writer.out.append(b"u")
    path.write_bytes(writer.bytes())
    return path


def landmark_arrays() -> dict[str, np.ndarray]:
    """Where the open head's ibug68 points lie on the skin: triangles and weights, as in FLAME's own file."""
    data, head = flame_shaped(), load_head()
    faces = data["f"].astype(np.int64)
    surface = Surface(data["v_template"], faces, np.zeros((2, 3)), data["weights"][:, 3:].any(1))
    points = SCALE * head.landmarks["ibug68"].points(head.template.double()).numpy() + MOVED
    found, bary = closest_on(surface, surface.skin_faces, points)
    return {"full_lmk_faces_idx": found[None], "full_lmk_bary_coords": bary[None]}


def write_landmarks(path: Path) -> Path:
    """A landmark_embedding.npy: an object array around one dictionary."""
    holder = np.array(landmark_arrays(), dtype=object)
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(holder, stream, protocol=3)
    return path
