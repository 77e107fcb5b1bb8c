"""Lips that touch: mouths left a little open by their expression are brought together, and gaps that lips hide end."""

from __future__ import annotations

import numpy as np

from emoga.studio.lips import INNER_LOWER, INNER_UPPER, LipContact

AJAR = 0.006  # metres between the lips up to which they may be brought together
CLOSED_SHARE = 0.6  # of the mouths that are as little open as that
ROUNDS = 10
HIDDEN = 0.0007  # metres by which what hides a gap is nearer than the gap
ALONG = 33  # places along each line from lip to lip


def close_mouths(vertices: np.ndarray, lips: LipContact, rng: np.random.Generator) -> np.ndarray:
    """Vertices [T,V,3] with the lips of some nearly closed mouths touching all along; others are left alone.

    A detector must learn that closed is closed: units alone leave a millimetre between most lips.
    """
    result = vertices.copy()
    for posed in result:
        if np.linalg.norm(_apart(posed, lips), axis=1).mean() > AJAR or rng.random() > CLOSED_SHARE:
            continue
        for _ in range(ROUNDS):
            apart = _apart(posed, lips)
            posed[lips.ids] += 0.5 * (lips.spread[1] - lips.spread[0]) @ apart
    return result


def seen_rims(pixels: np.ndarray, seen: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels [478,2] with facing inner rims of the lips where the gap between them ends to the eye.

    seen [478,3] in camera axes, depth [S,S] of what is drawn. Lips are thick: rims deep between them lie millimetres
    apart while the lips touch in front, which nobody can tell from lips that are shut.
    """
    result = pixels.copy()
    share = np.linspace(0, 1, ALONG)
    for a, b in zip(INNER_UPPER[1:-1], INNER_LOWER[1:-1], strict=True):
        line = pixels[a] + share[:, None] * (pixels[b] - pixels[a])
        x, y = np.clip(line.astype(int), 0, len(depth) - 1).T
        hidden = (depth[y, x] > 0) & (depth[y, x] < seen[a, 2] + share * (seen[b, 2] - seen[a, 2]) - HIDDEN)
        ends = np.flatnonzero(~hidden)[[0, -1]] if not hidden.all() else [ALONG // 2, ALONG // 2]
        result[[a, b]] = line[ends]
    return result


def _apart(posed: np.ndarray, lips: LipContact) -> np.ndarray:
    """From each point [P,3] of the lower lip to the one it faces."""
    upper, lower = (np.einsum("pk,pkd->pd", where[1], posed[where[0]]) for where in (lips.upper, lips.lower))
    return upper - lower
