"""The face an editor has in mind: how its pictures are shaped unlike the person, in every view, frame and emotion.

A smooth displacement of the skin at rest, of a millimetre or so: a Gaussian random field, written as a
sum of few bumps whose coefficients are independent and of size one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from emoga.emotion.learning.surface import Surface

BUMPS = 70
LENGTH = 0.030  # metres over which a face differs alike
SIZE = 0.0005  # metres by which it differs, along each axis


@dataclass(frozen=True, eq=False)
class Strangeness:
    """Displacements at unit coefficients [F], metres: of a mesh's vertices [V,3,F] and a surface's points [N,3,F]."""

    vertices: np.ndarray
    points: np.ndarray

    @staticmethod
    def on(surface: Surface, rest: np.ndarray) -> Strangeness:
        """Bumps along each axis, spread over the skin of a rest mesh [V,3], metres."""
        bumps = _bumps(surface, rest)
        vertices = np.einsum("vm,ij->vimj", bumps, np.eye(3)).reshape(len(rest), 3, -1).astype(np.float32)
        flat = surface.on_mesh(vertices.reshape(len(vertices), -1))
        return Strangeness(vertices, flat.reshape(len(surface), 3, -1).astype(np.float32))

    @property
    def count(self) -> int:
        """F."""
        return self.vertices.shape[-1]


def _bumps(surface: Surface, rest: np.ndarray) -> np.ndarray:
    """[V,M] metres."""
    centres = surface.rest[_spread(surface.rest, BUMPS)]
    covariance = _alike(centres, centres) + 1e-6 * np.eye(len(centres))
    factor = np.linalg.cholesky(covariance)
    return SIZE * scipy.linalg.solve_triangular(factor, _alike(centres, rest), lower=True).T


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
