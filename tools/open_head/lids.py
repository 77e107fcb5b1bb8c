"""Lid rims, how they close, what slides on the eyeball, and the lid vertices lashes ride on."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, dijkstra

from tools.open_head.assemble import Assembly, neighbours, rings_from

# Source ids: two neighbours on the upper rim of the left lid, and the bottom of the pocket behind it.
RIM_START = (7748, 7747, 11915)
POCKET_EDGES = 7  # how far behind the rim the pocket moves with a blink
CLOSING_REACH = 0.011  # metres over which a rim correction fades out
LID_EDGES = 8  # how many edges from the rim a vertex may slide on the eyeball


def edge_loop(layout: Assembly, graph, first: int, second: int) -> list[int]:
    """The closed edge loop that goes straight on through four-edged vertices from `first` to `second`."""
    around: dict[int, set[int]] = {}
    for number, quad in enumerate(layout.quads):
        for vertex in quad:
            around.setdefault(vertex, set()).add(number)
    loop = [first, second]
    while True:
        back, here = loop[-2:]
        beside = {v for quad in around[here] & around[back] for v in layout.quads[quad]}
        onward = [v for v in graph[here].indices if v not in beside]
        if len(onward) != 1:
            raise ValueError(f"edge loop from {first} stops at {here}: the mesh has changed")
        if onward[0] == first:
            return loop
        loop.append(onward[0])


def rim(layout: Assembly, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Upper [P] and lower [Q] rim of the left lids, corner to corner, and edges away from the rim [V].

    Vertices of the pocket behind the rim count negative.
    """
    graph = neighbours(layout.quads, len(rest))
    first, second, pocket = (int(np.searchsorted(layout.skin_source, v)) for v in RIM_START)
    loop = np.array(edge_loop(layout, graph, first, second))
    loop = np.roll(loop, -int(np.argmin(rest[loop, 0])))
    outer = int(np.argmax(rest[loop, 0]))
    halves = [loop[1:outer], loop[outer + 1 :][::-1]]
    halves.sort(key=lambda ids: -rest[ids, 1].mean())
    away = dijkstra(graph, indices=loop, unweighted=True, min_only=True)
    free = sp.diags((~np.isin(np.arange(len(rest)), loop)).astype(float))
    behind = np.isfinite(rings_from(pocket, free @ graph @ free))
    return halves[0], halves[1], np.where(behind, -away, away)


def _closest_on_polyline(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [n] to a polyline [P,3] and weights [n,P] of its vertices at the closest point."""
    a, b = line[:-1], line[1:]
    t = np.einsum("nsk,sk->ns", points[:, None] - a, b - a) / np.maximum(((b - a) ** 2).sum(-1), 1e-12)
    t = np.clip(t, 0, 1)
    distance = np.linalg.norm(points[:, None] - (a + t[..., None] * (b - a)), axis=-1)
    best = distance.argmin(1)
    rows, weights = np.arange(len(points)), np.zeros((len(points), len(line)))
    weights[rows, best] = 1 - t[rows, best]
    weights[rows, best + 1] += t[rows, best]
    return distance[rows, best], weights


def closing_weights(
    rest: np.ndarray, skin: np.ndarray, own: np.ndarray, other: np.ndarray, reach: float = CLOSING_REACH
) -> tuple[np.ndarray, np.ndarray]:
    """Skin ids [N] on the side of rim `own`, and weights [N,P] that spread the rim's correction over them."""
    distance, weights = _closest_on_polyline(rest[skin], rest[own])
    away, _ = _closest_on_polyline(rest[skin], rest[other])
    near = np.clip(1 - distance / reach, 0, 1)
    fade = near * near * (3 - 2 * near)
    chosen = (fade > 0) & (distance < away) | np.isin(skin, own)
    return skin[chosen], weights[chosen] * fade[chosen, None]


def lash_roots(
    layout: Assembly, rest: np.ndarray, sliding: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `sliding` [L,2] between which each lash vertex is rooted on its rim, and weights [L,2]."""
    lashes = layout.parts["lashes"]
    inside = layout.faces[np.isin(layout.faces, lashes).all(1)] - lashes[0]
    edges = np.concatenate([inside[:, [0, 1]], inside[:, [1, 2]]]).T
    graph = sp.coo_matrix((np.ones(edges.shape[1]), tuple(edges)), (len(lashes), len(lashes)))
    strips = connected_components(graph, directed=False)[1]
    bind, weights = np.zeros((len(lashes), 2), int), np.zeros((len(lashes), 2))
    for strip in np.unique(strips):
        rows = np.flatnonzero(strips == strip)
        points = rest[lashes[rows]]
        rims = [upper, lower] if points[:, 0].mean() > 0 else [layout.mirror[upper], layout.mirror[lower]]
        # A strip belongs to the rim its nearest edge touches.
        near = [_closest_on_polyline(points, rest[ids])[0] for ids in rims]
        own = rims[int(np.mean(near[0]) > np.mean(near[1]))]
        _, spread = _closest_on_polyline(points, rest[own])
        pair = np.sort(np.argsort(-spread, axis=1, kind="stable")[:, :2], axis=1)
        row_of = {vertex: row for row, vertex in enumerate(sliding)}
        bind[rows] = np.array([row_of[v] for v in own])[pair]
        weights[rows] = np.take_along_axis(spread, pair, 1)
    return bind, weights


def build_lids(layout: Assembly, rest: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays of emoga.head.model.Lids, keys 'lids_*', plus the lower side's closing for the build."""
    upper, lower, edges = rim(layout, rest)
    skin = layout.parts["skin"]
    skin = skin[rest[skin, 0] > 0.002]
    ids, closing = closing_weights(rest, skin, upper, lower)
    lower_ids, lower_closing = closing_weights(rest, skin, lower, upper)
    left = np.flatnonzero((edges >= 0) & (edges <= LID_EDGES) & (rest[:, 2] > 0))
    sliding = np.concatenate([left, layout.mirror[left]])
    bind, weights = lash_roots(layout, rest, sliding, upper, lower)
    pocket = np.flatnonzero((edges < 0) & (edges >= -POCKET_EDGES) & (rest[:, 2] > 0))
    both = {"pocket": pocket, "upper": upper, "lower": lower, "closing_ids": ids, "lower_ids": lower_ids}
    return {
        **{key: np.stack([value, layout.mirror[value]]) for key, value in both.items()},
        "meeting": interpolation(rest[lower, 0], rest[upper, 0]),
        "closing": closing,
        "lower_closing": lower_closing,
        "sliding": sliding,
        "sliding_eye": np.repeat([0, 1], len(left)),
        "lashes": layout.parts["lashes"],
        "lash_bind": bind,
        "lash_weights": weights,
        "edges": edges,
    }


def interpolation(knots: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weights [n,Q] of linear interpolation at `at` [n] between ascending `knots` [Q]."""
    order = np.argsort(knots)
    columns = [np.interp(at, knots[order], row) for row in np.eye(len(knots))]
    weights = np.zeros((len(at), len(knots)))
    weights[:, order] = np.stack(columns, 1)
    return weights
