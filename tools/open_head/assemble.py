"""Choose the head's vertices and triangles, add finer eyeballs, and express all as one matrix of the source."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from tools.open_head.source import PARTS, Source

BODY = 13380
COLLAR_HALF_WIDTH = 0.14
COLLAR_BELOW_EYES = 0.205
EYE_SCALE = 0.92  # MakeHuman's eyeballs are a quarter larger than life and reach through the lids
MERIDIANS = 24
# Rings of an eyeball, degrees from the pupil's centre; the iris ends on a ring (24.5 degrees, 5.9 mm).
RINGS = np.array([8.0, 16.0, 24.5, 27.0, 32.5, 39.0, 47.5, 58.0, 71.0, 86.0, 105.0, 130.0])
IRIS_RING = 2
# Where each UV island goes in the atlas: x, y, width, height. The rest is empty.
ATLAS = {
    "face": (0.0, 0.0, 0.52, 1.0), "collar": (0.54, 0.8, 0.45, 0.2), "mouth": (0.54, 0.6, 0.25, 0.19),
    "left_eye": (0.54, 0.3, 0.22, 0.22), "right_eye": (0.77, 0.3, 0.22, 0.22), "tongue": (0.8, 0.6, 0.08, 0.19),
    "lashes": (0.89, 0.53, 0.1, 0.26), "lower_teeth": (0.54, 0.16, 0.3, 0.12), "upper_teeth": (0.54, 0.02, 0.3, 0.12),
    "socket_a": (0.86, 0.02, 0.06, 0.26), "socket_b": (0.93, 0.02, 0.06, 0.26),
}  # fmt: skip


@dataclass
class Assembly:
    """The head's layout. `matrix` [V,N] makes head vertices from source vertices (see `apply`)."""

    matrix: sp.csr_matrix
    faces: np.ndarray  # [F,3]
    uv: np.ndarray  # [U,2]
    uv_faces: np.ndarray  # [F,3]
    parts: dict[str, np.ndarray]  # part name -> vertex ids
    mirror: np.ndarray  # [V] id of the mirrored vertex
    skin_source: np.ndarray  # source ids of the skin vertices, which come first
    eye_ids: tuple[np.ndarray, np.ndarray]  # source eyeball vertices, left and right
    eye_normals: dict[str, np.ndarray]  # unit directions of those, per side
    quads: list[list[int]]  # the skin's polygons in head ids

    def apply(self, source_vertices: np.ndarray) -> np.ndarray:
        """Head vertices [V,3], origin between the eyes, from source vertices [N,3]."""
        centred = source_vertices - self.origin(source_vertices)
        vertices = self.matrix @ centred
        unit = sphere()[0]
        for side, ids in zip(("left_eye", "right_eye"), self.eye_ids, strict=True):
            coarse = centred[ids]
            # Mean outward motion along the coarse ball's own normals: the fine ball stays a sphere.
            radius = ((coarse - coarse.mean(0)) * self.eye_normals[side]).sum(1).mean()
            vertices[self.parts[side]] = coarse.mean(0) + EYE_SCALE * radius * unit
        return vertices

    def origin(self, source_vertices: np.ndarray) -> np.ndarray:
        """The point between the eyeballs [3]."""
        return 0.5 * (source_vertices[self.eye_ids[0]].mean(0) + source_vertices[self.eye_ids[1]].mean(0))


def skin_selection(source: Source) -> np.ndarray:
    """Source ids of head, neck and collar: the body above a horizontal cut, between two upright ones."""
    eyes = np.concatenate([source.part_ids("left_eye"), source.part_ids("right_eye")])
    relative = source.vertices[:BODY] - source.vertices[eyes].mean(0)
    inside = (relative[:, 1] > -COLLAR_BELOW_EYES) & (np.abs(relative[:, 0]) < COLLAR_HALF_WIDTH)
    used = [p for p in source.faces["body"] if all(inside[v] for v, _ in p)]
    hanging = Counter(v for p in used for v, _ in p)
    # A corner that hangs on one polygon makes a ragged rim.
    used = _without_tabs([p for p in used if all(hanging[v] > 1 for v, _ in p)])
    return np.array(sorted({v for p in used for v, _ in p}))


def _edges(polygon: list) -> list[tuple[int, int]]:
    ids = [v for v, _ in polygon]
    return [tuple(sorted(pair)) for pair in zip(ids, ids[1:] + ids[:1], strict=True)]


def _without_tabs(polygons: list) -> list:
    """Drop, until none is left, polygons that hang on fewer than two others and make a ragged rim."""
    while True:
        shared = Counter(edge for polygon in polygons for edge in _edges(polygon))
        kept = [p for p in polygons if sum(shared[edge] > 1 for edge in _edges(p)) > 1]
        if len(kept) == len(polygons):
            return kept
        polygons = kept


def _triangulate(polygons: list, vertices: np.ndarray) -> tuple[list, list]:
    """Triangles and uv triangles; a quad is cut along its shorter diagonal (ties: mirror-safe by x)."""
    triangles, uv_triangles = [], []
    for polygon in polygons:
        ids, uvs = [v for v, _ in polygon], [t for _, t in polygon]
        if len(ids) == 4:
            first = np.linalg.norm(vertices[ids[0]] - vertices[ids[2]])
            second = np.linalg.norm(vertices[ids[1]] - vertices[ids[3]])
            cuts = [(0, 1, 2), (0, 2, 3)] if first <= second + 1e-9 else [(0, 1, 3), (1, 2, 3)]
        else:
            cuts = [(0, 1, 2)]
        triangles += [[ids[i] for i in cut] for cut in cuts]
        uv_triangles += [[uvs[i] for i in cut] for cut in cuts]
    return triangles, uv_triangles


def sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit eyeball looking along +z: vertices [n,3], faces [m,3], flat polar uv [n,2] in 0..1."""
    theta, phi = np.deg2rad(RINGS), 2 * np.pi * np.arange(MERIDIANS) / MERIDIANS
    ring = np.stack(
        [np.outer(np.sin(theta), np.cos(phi)), np.outer(np.sin(theta), np.sin(phi)),
         np.outer(np.cos(theta), np.ones(MERIDIANS))], -1,
    ).reshape(-1, 3)  # fmt: skip
    vertices = np.concatenate([[[0, 0, 1.0]], ring, [[0, 0, -1.0]]])
    faces = []
    for k in range(MERIDIANS):
        n = (k + 1) % MERIDIANS
        faces.append([0, 1 + k, 1 + n])
        for r in range(len(RINGS) - 1):
            a, b = 1 + r * MERIDIANS, 1 + (r + 1) * MERIDIANS
            faces += [[a + k, b + k, b + n], [a + k, b + n, a + n]]
        last = 1 + (len(RINGS) - 1) * MERIDIANS
        faces.append([last + k, len(vertices) - 1, last + n])
    angle = np.arccos(np.clip(vertices[:, 2], -1, 1)) / np.pi
    radius = np.linalg.norm(vertices[:, :2], axis=1, keepdims=True)
    uv = 0.5 + 0.5 * angle[:, None] * vertices[:, :2] / np.maximum(radius, 1e-9)
    return vertices, np.array(faces), uv


def _pack_uv(uv: np.ndarray, uv_faces: np.ndarray, islands: dict[str, np.ndarray]) -> np.ndarray:
    packed = np.zeros_like(uv)
    for name, ids in islands.items():
        x, y, width, height = ATLAS[name]
        low, high = uv[ids].min(0), uv[ids].max(0)
        scale = min(width / (high - low)[0], height / (high - low)[1]) * 0.98
        packed[ids] = np.array([x + 0.01 * width, y + 0.01 * height]) + (uv[ids] - low) * scale
    return packed


def _skin_islands(uv_faces: np.ndarray, count: int) -> list[np.ndarray]:
    edges = np.concatenate([uv_faces[:, [0, 1]], uv_faces[:, [1, 2]]])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    labels = connected_components(graph, directed=False)[1]
    used = np.unique(uv_faces)
    groups = [used[labels[used] == label] for label in np.unique(labels[used])]
    return sorted(groups, key=lambda g: (-len(g), g[0]))


def assemble(source: Source) -> Assembly:
    """Lay out skin, tongue, eyeballs, lashes and teeth."""
    count = len(source.vertices)
    skin = skin_selection(source)
    chosen = set(skin.tolist())
    polygons = [p for p in source.faces["body"] if all(v in chosen for v, _ in p)]
    groups = {"skin": polygons}
    for part in ("tongue", "lashes", "lower_teeth", "upper_teeth"):
        groups[part] = [p for g in PARTS[part] for p in source.faces[g]]
    number, parts, faces, uv_faces, normals = {}, {}, [], [], {}
    for part, items in groups.items():
        ids = sorted({v for p in items for v, _ in p})
        parts[part] = np.arange(len(number), len(number) + len(ids))
        number.update({v: len(number) + k for k, v in enumerate(ids)})
        triangles, uv_triangles = _triangulate(items, source.vertices)
        faces += [[number[v] for v in t] for t in triangles]
        uv_faces += uv_triangles
    order = np.array(list(number))
    uv, eye_ids = source.uv, (source.part_ids("left_eye"), source.part_ids("right_eye"))
    unit, ball_faces, ball_uv = sphere()
    islands = dict(zip(("face", "mouth", "collar", "socket_a", "socket_b"), _skin_islands(
        np.array([t for t in uv_faces[: sum(len(p) - 2 for p in polygons)]]), len(uv)), strict=True))  # fmt: skip
    for part in ("tongue", "lashes", "lower_teeth", "upper_teeth"):
        islands[part] = np.unique([t for p in groups[part] for _, t in p])
    total = len(order)
    for name, ids in zip(("left_eye", "right_eye"), eye_ids, strict=True):
        parts[name] = np.arange(total, total + len(unit))
        faces += (ball_faces + total).tolist()
        uv_faces += (ball_faces + len(uv)).tolist()
        islands[name] = np.arange(len(uv), len(uv) + len(unit))
        uv = np.concatenate([uv, ball_uv])
        coarse = source.vertices[ids] - source.vertices[ids].mean(0)
        normals[name] = coarse / np.linalg.norm(coarse, axis=1, keepdims=True)
        total += len(unit)
    used, compact = np.unique(np.array(uv_faces), return_inverse=True)
    pick = (np.ones(len(order)), (np.arange(len(order)), order))
    layout = Assembly(
        sp.csr_matrix(pick, (total, count)), np.array(faces),
        _pack_uv(uv, np.array(uv_faces), islands)[used], compact.reshape(-1, 3), parts,
        np.arange(total), order[parts["skin"]], eye_ids, normals, [[number[v] for v, _ in p] for p in polygons],
    )  # fmt: skip
    placed = layout.apply(source.vertices)
    layout.mirror = cKDTree(placed).query(placed * [-1, 1, 1])[1]
    return layout


def neighbours(quads: list[list[int]], count: int) -> sp.csr_matrix:
    """Adjacency [V,V] of the polygon edges (no diagonals)."""
    edges = np.array([(q[i], q[(i + 1) % len(q)]) for q in quads for i in range(len(q))])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
    return ((graph + graph.T) > 0).astype(float)


def rings_from(seed: int, graph: sp.csr_matrix) -> np.ndarray:
    """Number of edges [V] from `seed` to every vertex (inf if not connected)."""
    return dijkstra(graph, indices=seed, unweighted=True)
