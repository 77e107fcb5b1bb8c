"""Lip contact: lips that would pass through each other are pushed apart to touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emoga.head import Head

INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
SOFTNESS = 0.0045  # metres over which a push fades into the lips
REACH = 0.012
LOWER_DROP = 0.36  # of the chin's: what an opening jaw lowers more belongs to the lower lip
ROUNDS = 12
TOUCHING = 5e-6  # metres of overlap that count as contact


@dataclass(frozen=True)
class LipContact:
    """Facing points of the inner lips and how a push at them spreads over the vertices around the mouth.

    upper, lower: corner ids [P,3] with weights [P,3]; spread [2,N,P] over vertex ids [N].
    """

    ids: np.ndarray
    upper: tuple[np.ndarray, np.ndarray]
    lower: tuple[np.ndarray, np.ndarray]
    spread: np.ndarray

    @staticmethod
    def of(head: Head) -> LipContact:
        """Find the facing lip points of a head from its landmarks."""
        template = head.template.double().numpy()
        embedding = head.landmarks["mediapipe478"]
        corners, bary = embedding.corners.numpy(), embedding.bary.double().numpy()
        pairs = [(corners[list(ids)[1:-1]], bary[list(ids)[1:-1]]) for ids in (INNER_UPPER, INNER_LOWER)]
        points = [np.einsum("pk,pkd->pd", weight, template[corner]) for corner, weight in pairs]
        lips = (
            head.regions["lips"].numpy()
            | head.regions["mouth_interior"].numpy()
            | head.regions["face"].numpy()
        )
        rigid = head.regions["teeth"].numpy() | head.regions["tongue"].numpy()
        near = cKDTree(np.concatenate(points)).query(template)[0] < REACH
        ids = np.flatnonzero(lips & near & ~rigid)
        # A vertex belongs to the lip whose side of the closed mouth line it lies on at rest with the jaw open.
        opened = head.expr_basis[head.unit("jawOpen")].double().numpy() + _jaw_drop(head, template)
        is_lower = opened[ids, 1] < LOWER_DROP * opened[:, 1].min()
        spread = np.zeros((2, len(ids), len(points[0])))
        for side, mine in enumerate((~is_lower, is_lower)):
            away = np.linalg.norm(template[ids][:, None] - points[side][None], axis=-1)
            weight = np.exp(-((away / SOFTNESS) ** 2)) * mine[:, None]
            # Bumps centred on the points overlap: solve for heights that move each point by what it asks for.
            response = _sampling(*pairs[side], ids) @ weight
            spread[side] = weight @ np.linalg.inv(response + 0.1 * np.eye(len(response)))
        return LipContact(ids, pairs[0], pairs[1], spread)

    def separate(self, vertices: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Vertices [T,V,3] with interpenetrating lips pushed apart, half each, along the local up direction."""
        result = vertices.copy()
        for posed in result:
            up = _up_direction(posed, self.ids, rest)
            for _ in range(ROUNDS):
                gap = (self._points(posed, self.upper) - self._points(posed, self.lower)) @ up
                push = 0.5 * np.maximum(-gap, 0)
                if push.max() < TOUCHING:
                    break
                posed[self.ids] += (self.spread[0] @ push)[:, None] * up - (self.spread[1] @ push)[
                    :, None
                ] * up
        return result

    @staticmethod
    def _points(vertices: np.ndarray, where: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.einsum("pk,pkd->pd", where[1], vertices[where[0]])


def _sampling(corners: np.ndarray, bary: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Matrix [P,N] from values at the vertices `ids` to values at embedded points."""
    matrix = np.zeros((len(corners), len(ids)))
    for row, (corner, weight) in enumerate(zip(corners, bary, strict=True)):
        for vertex, share in zip(corner, weight, strict=True):
            matrix[row, ids == vertex] += share
    return matrix


def _jaw_drop(head: Head, template: np.ndarray) -> np.ndarray:
    """Displacement [V,3] of the jaw joint's turn at jawOpen 1, linearised."""
    pivot = head.joints[1].double().numpy()
    weight = head.skin_weights[:, 2].double().numpy()
    return weight[:, None] * np.cross(head.jaw_turn.double().numpy(), template - pivot)


def _up_direction(posed: np.ndarray, ids: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Where the head's own +y points [3], from the motion of the upper half of the head."""
    top = rest[:, 1] > 0.02
    a, b = rest[top] - rest[top].mean(0), posed[top] - posed[top].mean(0)
    u, _, vh = np.linalg.svd(b.T @ a)
    u[:, 2] *= np.sign(np.linalg.det(u @ vh))
    return (u @ vh)[:, 1]
