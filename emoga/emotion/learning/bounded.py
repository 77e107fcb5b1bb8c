"""Least squares for expression units: sparse, of like size on both sides, within bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoga.emotion.learning.task import Priors

SETTLED = 0.7  # millimetres: units that surely move this far or more are not held back any further
ALIKE = 1.5  # millimetres by which the two sides of a face may differ


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
    priors: Priors | None, alike: Sequence[tuple[int, int]],
) -> np.ndarray:  # fmt: skip
    """Least of x^T H x / 2 - g x + cost of x's motion in mm, within bounds, by coordinate descent.

    The cost of a millimetre fades for what surely moves: what is not there is held at zero, the rest not shrunk.
    """
    hessian = normal + np.eye(len(right)) * (1e-5 * np.trace(normal) / len(right) + 1e-9)
    x = np.clip(start, low, high)
    if priors is None:
        return _descend(hessian, right, np.zeros(len(right)), x, low, high)
    hessian = hessian + np.diag((motion / priors.spread) ** 2)
    for a, b in alike:
        pair = np.zeros(len(right))
        pair[a], pair[b] = motion[a], -motion[b]
        hessian += np.outer(pair, pair) / ALIKE**2
    for _ in range(3):
        cost = priors.sparsity * motion * SETTLED / (SETTLED + np.abs(x) * motion)
        x = _descend(hessian, right, cost, x, low, high)
    return x


def _descend(hessian, right, cost, start, low, high) -> np.ndarray:
    x = start.copy()
    slope = hessian @ x
    for _ in range(300):
        largest = 0.0
        for i in range(len(x)):
            pull = right[i] - slope[i] + hessian[i, i] * x[i]
            free = np.sign(pull) * max(abs(pull) - cost[i], 0) / hessian[i, i]
            new = min(max(free, low[i]), high[i])
            if new != x[i]:
                slope += hessian[:, i] * (new - x[i])
                largest = max(largest, abs(new - x[i]))
                x[i] = new
        if largest < 1e-5:
            break
    return x
