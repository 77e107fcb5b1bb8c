"""Where the lips touch: sealing them at rest, and a mouth's inside that follows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from tools.open_head.assemble import Assembly, neighbours, rings_from
from tools.open_head.lids import closing_weights, edge_loop, interpolation

# Source ids of two neighbours on the loop where the lips touch, and of the throat's end behind it.
LIP_START = (523, 7264, 676)
SEAL_REACH = 0.006  # metres over which sealing fades out
FOLLOWING_EDGES = 14  # how deep inside the mouth vertices follow the lips
# Units that pull the corners so far that the mouth's inside, as modelled, comes out through the skin.
CORNER_PULLERS = ("mouthSmile", "mouthStretch", "mouthDimple", "mouthFrown")
CORNER_EDGES, CORNER_SHARE = 4, 0.75  # loops in front of the contact line, and where a corner begins


@dataclass(frozen=True)
class Lips:
    """The contact line: loop ids, its halves, edges away from it [V] (negative inside), and the seal."""

    loop: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    edges: np.ndarray
    seal: sp.csr_matrix  # [V,V]: rest heights -> change of height that makes the contact lines meet


def lip_edges(layout: Assembly, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Loop ids where the lips touch, and edges away from it [V], negative inside the mouth."""
    graph = neighbours(layout.quads, count)
    first, second, throat = (int(np.searchsorted(layout.skin_source, v)) for v in LIP_START)
    loop = np.array(edge_loop(layout, graph, first, second))
    away = dijkstra(graph, indices=loop, unweighted=True, min_only=True)
    keep = ~np.isin(np.arange(count), loop)
    number = np.cumsum(keep) - 1
    behind = np.zeros(count, bool)
    behind[np.flatnonzero(keep)] = np.isfinite(rings_from(int(number[throat]), graph[keep][:, keep]))
    return loop, np.where(behind, -away, away)


def build_lips(layout: Assembly, rest: np.ndarray) -> Lips:
    """Find the contact line and how to seal it."""
    count = len(rest)
    loop, edges = lip_edges(layout, count)
    loop = np.roll(loop, -int(np.argmin(rest[loop, 0])))
    corner = int(np.argmax(rest[loop, 0]))
    halves = sorted((loop[1:corner], loop[corner + 1 :][::-1]), key=lambda ids: len(ids))
    upper, lower = sorted(halves, key=lambda ids: -rest[ids, 2].min())
    if rest[upper, 1].mean() < rest[lower, 1].mean():
        upper, lower = lower, upper
    rows, columns, values = [], [], []
    skin = layout.parts["skin"]
    for own, other in ((upper, lower), (lower, upper)):
        ids, spread = closing_weights(rest, skin, own, other, SEAL_REACH)
        # Half the gap of each point of the own line to the other line, at the same x.
        gap = (
            0.5 * spread @ np.concatenate([interpolation(rest[other, 0], rest[own, 0]), -np.eye(len(own))], 1)
        )
        for row, vertex in enumerate(ids):
            rows += [vertex] * gap.shape[1]
            columns += [*other, *own]
            values += gap[row].tolist()
    seal = sp.csr_matrix((values, (rows, columns)), (count, count))
    return Lips(loop, upper, lower, edges, 0.5 * (seal + _mirrored(seal, layout.mirror)))


def _mirrored(matrix: sp.csr_matrix, mirror: np.ndarray) -> sp.csr_matrix:
    return matrix[mirror][:, mirror]


def seal_lips(vertices: np.ndarray, lips: Lips) -> np.ndarray:
    """Vertices [V,3] whose lips touch along the contact line, at rest."""
    sealed = vertices.copy()
    sealed[:, 1] += lips.seal @ vertices[:, 1]
    return sealed


def fill_mouth(deltas: np.ndarray, rest: np.ndarray, names: list[str], layout: Assembly, lips: Lips) -> None:
    """Let the mouth's inside and corners follow the lips smoothly under corner-pulling units, in place."""
    across = np.abs(rest[:, 0])
    corner = (lips.edges <= CORNER_EDGES) & (across > CORNER_SHARE * across[lips.loop].max())
    inner = (lips.edges < 0) & (lips.edges > -FOLLOWING_EDGES)
    free = np.flatnonzero(inner | (corner & (lips.edges > -FOLLOWING_EDGES)))
    graph = neighbours(layout.quads, len(rest))
    laplacian = sp.diags(np.asarray(graph.sum(1))[:, 0]) - graph
    fixed = np.setdiff1d(np.arange(len(rest)), free)
    deep = lips.edges[fixed] <= -FOLLOWING_EDGES
    solve = splu(laplacian[free][:, free].tocsc())
    for name, delta in zip(names, deltas, strict=True):
        if name.startswith(CORNER_PULLERS):
            delta[fixed[deep]] = 0
            delta[free] = solve.solve(-(laplacian[free][:, fixed] @ delta[fixed]))
