"""A finer mesh as a linear map of the coarse one: Loop subdivision that keeps the coarse vertices in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse


@dataclass(frozen=True)
class Subdivision:
    """The first V fine vertices are the coarse ones; fine face i stems from coarse face parent[i]."""

    operator: sparse.csr_matrix
    pull: sparse.csr_matrix
    faces: np.ndarray
    parent: np.ndarray
    sharpen: int

    def apply(self, vertices: np.ndarray) -> np.ndarray:
        """Coarse positions [V,3] to fine ones, through the coarse ones up to a few hundredths of a millimetre.

        Loop's scheme pulls every vertex inwards; some rounds of the opposite push beforehand undo that, so
        truth on the head's own vertices stays truth.
        """
        pushed = vertices
        for _ in range(self.sharpen):
            pushed = vertices + pushed - self.pull @ pushed
        return self.operator @ pushed

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Per-vertex weights [V] or [V,D] to the fine mesh, staying within their range."""
        return self.operator @ values


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique edges [E,2] and, per face, the indices [F,3] of edges ab, bc, ca."""
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    unique, inverse = np.unique(np.sort(pairs, 1), axis=0, return_inverse=True)
    return unique, inverse.reshape(-1, 3)


def split_faces(faces: np.ndarray, vertex_count: int, edge_of: np.ndarray) -> np.ndarray:
    """Each face into four; the new vertices are numbered after the old ones in edge order."""
    a, b, c = faces.T
    ab, bc, ca = (edge_of + vertex_count).T
    children = [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]
    return np.stack([np.stack(child, -1) for child in children], 1).reshape(-1, 3)


def _loop_step(faces: np.ndarray, vertex_count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    edges, edge_of = _edges(faces)
    count = np.bincount(edge_of.ravel(), minlength=len(edges))
    inner = count == 2
    opposite = np.roll(faces, -2, axis=1)
    edge_ids = np.arange(len(edges))
    rows, columns, weights = [], [], []

    def put(row: np.ndarray, column: np.ndarray, weight: np.ndarray | float) -> None:
        rows.append(row)
        columns.append(column)
        weights.append(np.broadcast_to(weight, row.shape))

    end_weight = np.where(inner, 3 / 8, 1 / 2)
    for end in range(2):
        put(vertex_count + edge_ids, edges[:, end], end_weight)
    keep = inner[edge_of.ravel()]
    put(vertex_count + edge_of.ravel()[keep], opposite.ravel()[keep], 1 / 8)

    rim = ~inner
    on_rim = np.zeros(vertex_count, bool)
    on_rim[edges[rim].ravel()] = True
    valence = np.bincount(edges.ravel(), minlength=vertex_count)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    rim_valence = np.bincount(edges[rim].ravel(), minlength=vertex_count)
    own = np.where(on_rim, 1 - rim_valence / 8, 1 - valence * beta)
    put(np.arange(vertex_count), np.arange(vertex_count), own)
    for end in range(2):
        here, there = edges[:, end], edges[:, 1 - end]
        use = ~on_rim[here]
        put(here[use], there[use], beta[here[use]])
        put(here[rim], there[rim], 1 / 8)
    matrix = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(vertex_count + len(edges), vertex_count),
    ).tocsr()
    return matrix, split_faces(faces, vertex_count, edge_of)


def loop_subdivision(faces: np.ndarray, vertex_count: int, levels: int = 2, sharpen: int = 4) -> Subdivision:
    """Loop's scheme, `levels` deep, on faces [F,3] of `vertex_count` vertices."""
    operator = sparse.identity(vertex_count, format="csr")
    fine, count = faces, vertex_count
    parent = np.arange(len(faces))
    for _ in range(levels):
        step, fine = _loop_step(fine, count)
        operator = step @ operator
        count = step.shape[0]
        parent = np.repeat(parent, 4)
    return Subdivision(operator.tocsr(), operator[:vertex_count].tocsr(), fine, parent, sharpen)


def split_uv(uv: np.ndarray, uv_faces: np.ndarray, levels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates [U,2] and their faces, split in step with `loop_subdivision`."""
    for _ in range(levels):
        edges, edge_of = _edges(uv_faces)
        uv_faces = split_faces(uv_faces, len(uv), edge_of)
        uv = np.concatenate([uv, uv[edges].mean(1)])
    return uv, uv_faces
