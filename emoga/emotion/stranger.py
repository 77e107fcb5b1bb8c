"""The face an editor has in mind: how its pictures are shaped unlike the person, in every view, frame and emotion.

A smooth displacement of the skin at rest, of no more than a millimetre or so: a Gaussian random field, written as a
sum of few bumps whose coefficients are independent and of size one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from emoga.emotion.surface import Surface

BUMPS = 70
LENGTH = 0.030  # metres over which a face differs alike
SIZE = 0.0010  # metres by which it differs, along each axis


@dataclass(frozen=True, eq=False)
class Bumps:
    """Displacements [.., M] at unit coefficients, metres: of a mesh's vertices [V,M] and a surface's points [N,M]."""

    vertices: np.ndarray
    points: np.ndarray

    @staticmethod
    def on(surface: Surface, rest: np.ndarray) -> Bumps:
        """Bumps spread over the skin of a rest mesh [V,3], metres."""
        centres = surface.rest[_spread(surface.rest, BUMPS)]
        covariance = _alike(centres, centres) + 1e-6 * np.eye(len(centres))
        factor = np.linalg.cholesky(covariance)
        vertices = scipy.linalg.solve_triangular(factor, _alike(centres, rest), lower=True).T
        vertices = (SIZE * vertices).astype(np.float32)
        return Bumps(vertices, surface.on_mesh(vertices).astype(np.float32))


def _alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / LENGTH**2)


def _spread(points: np.ndarray, count: int) -> list[int]:
    """Indices of points [N,3] each far from those before it."""
    chosen = [int(np.argmax(points[:, 2]))]
    apart = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        apart = np.minimum(apart, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(apart.argmax()))
    return chosen
