"""Lips that touch: mouths left a little open by their expression are brought together."""

from __future__ import annotations

import numpy as np

from emoga.studio.lips import LipContact

AJAR = 0.006  # metres between the lips up to which they may be brought together
CLOSED_SHARE = 0.6  # of the mouths that are as little open as that
ROUNDS = 10


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


def _apart(posed: np.ndarray, lips: LipContact) -> np.ndarray:
    """From each point [P,3] of the lower lip to the one it faces."""
    upper, lower = (np.einsum("pk,pkd->pd", where[1], posed[where[0]]) for where in (lips.upper, lips.lower))
    return upper - lower
