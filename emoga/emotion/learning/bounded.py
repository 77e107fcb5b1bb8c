"""Least squares for expression units: near what is meant or sparse, of like size on both sides, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from emoga.emotion.learning.task import Priors

SETTLED = 0.7  # millimetres: units that surely move this far or more are not held back any further
ALIKE = 1.5  # millimetres by which the two sides of a face may differ
STRONGEST = 1.6  # strength at which what is meant may be played


@dataclass(frozen=True, eq=False)
class Meant:
    """What words stand for: expressions [U,M] of units, and known [U], whether a unit's emotion is among them."""

    expressions: np.ndarray
    known: np.ndarray

    @staticmethod
    def of(meant: Sequence[np.ndarray]) -> Meant:
        """From the expression [u] of each emotion, all zero where its words say nothing of units."""
        columns = [part[:, None] if np.any(part) else np.zeros((len(part), 0)) for part in meant]
        known = [np.full(len(part), part.shape[1] > 0) for part in columns]
        return Meant(scipy.linalg.block_diag(*columns), np.concatenate(known))


def sides(names: Sequence[str], units: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of places among `units` that are left and right of one thing."""
    place = {names[unit]: at for at, unit in enumerate(units.tolist())}
    return [
        (at, place[f"{name[:-4]}Right"])
        for name, at in place.items()
        if name.endswith("Left") and f"{name[:-4]}Right" in place
    ]


def bounded(
    normal: np.ndarray, right: np.ndarray, start: np.ndarray, low: np.ndarray, high: np.ndarray, motion: np.ndarray,
    priors: Priors | None, alike: Sequence[tuple[int, int]], meant: Meant,
) -> np.ndarray:  # fmt: skip
    """Least of x^T H x / 2 - g x + cost of motion in mm that is not meant, within bounds, by coordinate descent.

    x is what is meant, at strengths that are found too, and the rest, which alone costs. The cost of a millimetre fades
    for what surely moves: what is not there is held at what is meant, else at zero, and what is there is not shrunk.
    """
    count, expressions = len(right), meant.expressions
    hessian = normal + np.eye(count) * (1e-5 * np.trace(normal) / count + 1e-9)
    start = np.clip(start, low, high)
    if priors is None:
        return _descend(hessian, right, np.zeros((count, 0)), np.zeros(count), start, low, high)
    heavy = (motion**2)[:, None] * expressions
    strengths = np.clip((start @ heavy) / (expressions * heavy).sum(0), 0, STRONGEST)
    wide = np.concatenate([np.eye(count), expressions], 1)
    hessian, right = wide.T @ hessian @ wide, wide.T @ right
    for a, b in alike:
        pair = np.zeros(len(right))
        pair[a], pair[b] = motion[a], -motion[b]
        hessian += np.outer(pair, pair) / ALIKE**2
    z = np.concatenate([start - expressions @ strengths, strengths])
    cost, stiff = np.zeros(len(z)), np.full(len(z), 1 / priors.intensity**2)
    for _ in range(3):
        moved = np.abs(z[:count]) * motion
        cost[:count] = priors.sparsity * motion * SETTLED / (SETTLED + moved)
        variance = np.where(meant.known, priors.near**2 + moved**2, priors.spread**2)
        stiff[:count] = motion**2 / variance
        z = _descend(hessian + np.diag(stiff), right, expressions, cost, z, low, high)
    return np.clip(wide @ z, low, high)


def _descend(hessian, right, expressions, cost, start, low, high) -> np.ndarray:
    """Least of z^T H z / 2 - g z + cost |z| for z = (rest, strengths), rest + expressions @ strengths within bounds."""
    z, count = start.copy(), len(low)
    slope = hessian @ z
    least, most = np.zeros(len(z)), np.full(len(z), STRONGEST)
    for _ in range(300):
        largest, expected = 0.0, expressions @ z[count:]
        least[:count], most[:count] = low - expected, high - expected
        for i in range(len(z)):
            pull = right[i] - slope[i] + hessian[i, i] * z[i]
            free = np.sign(pull) * max(abs(pull) - cost[i], 0) / hessian[i, i]
            new = min(max(free, least[i]), most[i])
            if new != z[i]:
                slope += hessian[:, i] * (new - z[i])
                largest = max(largest, abs(new - z[i]))
                z[i] = new
        if largest < 1e-5:
            break
    return z
