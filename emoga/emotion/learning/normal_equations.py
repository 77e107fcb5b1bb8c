"""The normal equations of a registration: offsets of several emotions and one editor's face, what is drawn on the skin
left aside.

Sums over pictures are kept by point and along the axes of rest: few numbers, whatever the number of units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from emoga.emotion.learning.pyramid import Compared

# Contrast that an editor draws on the skin, whatever the emotion, and for one of them only.
DRAWN, DRAWN_FOR_ONE = 1.0, 0.15


@dataclass(eq=False)
class Sums:
    """Sums over pictures for N points; the number of strengths multiplied in is told by the names' ends.

    axes0, axes1, axes2 [N,3,3]: products of slopes along the axes; left0, left1 [N,3]: of slopes and what is left;
    slopes0, slopes1 [N,3,3] by channel; left [N,3] by channel; total [N] of weights.
    """

    axes0: np.ndarray
    axes1: np.ndarray
    axes2: np.ndarray
    left0: np.ndarray
    left1: np.ndarray
    slopes0: np.ndarray
    slopes1: np.ndarray
    left: np.ndarray
    total: np.ndarray

    @staticmethod
    def nothing(count: int) -> Sums:
        """Of no picture."""
        return Sums(
            *(
                np.zeros((count, *shape), np.float32)
                for shape in [(3, 3)] * 3 + [(3,)] * 2 + [(3, 3)] * 2 + [(3,), ()]
            )
        )

    def add(self, one: Compared, weights: np.ndarray, strength: float) -> None:
        """Take in one picture, its points weighed by weights [n]."""
        at, s = one.rows, np.float32(strength)
        heavy = one.slopes * weights[:, None, None]
        turned = heavy.transpose(0, 2, 1)
        axes, left = turned @ one.slopes, (turned @ one.left[..., None])[..., 0]
        self.axes0[at] += axes
        self.axes1[at] += s * axes
        self.axes2[at] += s * s * axes
        self.left0[at] += left
        self.left1[at] += s * left
        self.slopes0[at] += heavy
        self.slopes1[at] += s * heavy
        self.left[at] += weights[:, None] * one.left
        self.total[at] += weights


@dataclass(frozen=True, eq=False)
class Joined:
    """One emotion's sums: normal [U,U] and right [U] of its units; cross [N,3,U] of axes with units; drawn
    [N,3,U] by channel; and its Sums over all frames."""

    normal: np.ndarray
    right: np.ndarray
    cross: np.ndarray
    drawn: np.ndarray
    sums: Sums


def joined(by_frame: Sequence[Sums], moves: np.ndarray) -> Joined:
    """Frames put together, in each of which U units move the points along moves [T,N,3,U]."""
    units = moves.shape[-1]
    normal, right = np.zeros((units, units)), np.zeros(units)
    cross, drawn = np.zeros(moves.shape[1:], np.float32), np.zeros(moves.shape[1:], np.float32)
    for sums, move in zip(by_frame, moves, strict=True):
        # By torch, which the caller keeps on one thread: a library's own threads would get in each other's way.
        flat = torch.from_numpy(move.reshape(-1, units))
        normal += (torch.from_numpy((sums.axes2 @ move).reshape(-1, units)).T @ flat).numpy()
        right += (flat.T @ torch.from_numpy(sums.left1.reshape(-1))).numpy()
        cross += sums.axes1 @ move
        drawn += sums.slopes1 @ move
    whole = Sums(*(np.sum([getattr(sums, part.name) for sums in by_frame], 0) for part in fields(Sums)))
    return Joined(normal, right, cross, drawn, whole)


def normal_equations(
    parts: Sequence[Joined], strange: np.ndarray, variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix and right side over all emotions' units and the coefficients [F] of displacements [N,3,F]."""
    starts = np.cumsum([0, *(len(part.right) for part in parts)])
    cut, count = int(starts[-1]), strange.shape[-1]
    basis = torch.from_numpy(strange.reshape(-1, count))
    normal, right = np.zeros((cut + count, cut + count)), np.zeros(cut + count)
    for e, part in enumerate(parts):
        own = slice(int(starts[e]), int(starts[e + 1]))
        normal[own, own], right[own] = part.normal, part.right
        normal[cut:, own] = (basis.T @ torch.from_numpy(part.cross.reshape(len(basis), -1))).numpy()
        normal[own, cut:] = normal[cut:, own].T
        turned = torch.from_numpy((part.sums.axes0 @ strange).reshape(len(basis), -1))
        normal[cut:, cut:] += (basis.T @ turned).numpy()
        right[cut:] += (basis.T @ torch.from_numpy(part.sums.left0.reshape(-1))).numpy()
    normal, right = normal / variance, right / variance
    _leave_drawn_aside(normal, right, parts, starts, strange, variance)
    return normal, right


def _leave_drawn_aside(
    normal, right, parts: Sequence[Joined], starts, strange: np.ndarray, variance: float
) -> None:
    """Take out of the equations what contrasts that stay on the skin, in every picture alike, may explain as well."""
    cut, wide = int(starts[-1]), []
    for e, part in enumerate(parts):
        own = np.r_[starts[e] : starts[e + 1], cut : len(right)]  # the others' units tell nothing here
        drawn = part.drawn.reshape(3 * len(strange), -1)
        shaped = (part.sums.slopes0 @ strange).reshape(len(drawn), -1).astype(np.float32)
        wide.append((own, np.concatenate([drawn, shaped], 1), part.sums.left.reshape(-1)))
    known = _drawn([part.sums.total / variance for part in parts])
    for e, (own, rows, _) in enumerate(wide):
        for f, (its, others, left) in enumerate(wide):
            share = np.repeat(known[:, e, f], 3).astype(np.float32)[:, None] / np.float32(variance**2)
            turned = torch.from_numpy(rows * share).T
            normal[np.ix_(own, its)] -= (turned @ torch.from_numpy(others)).numpy()
            right[own] -= (turned @ torch.from_numpy(left)).numpy()


def _drawn(totals: Sequence[np.ndarray]) -> np.ndarray:
    """Covariance [N,K,K] of what is drawn on the skin in K emotions, given weights [N] of what was seen of each."""
    own = np.eye(len(totals))
    prior = np.full(own.shape, DRAWN**2) + DRAWN_FOR_ONE**2 * own
    return np.linalg.inv(np.linalg.inv(prior)[None] + np.stack(totals, -1)[..., None] * own)
