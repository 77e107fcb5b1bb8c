"""Where things are on a face: soft fields over the template, drawn from landmarks and regions of the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Polygon
from scipy.spatial import cKDTree

from emoga.head import Head

LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
EYES = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
)
BROWS_UPPER = ((336, 296, 334, 293, 300), (107, 66, 105, 63, 70))  # inner to outer end: left, right
BROWS_LOWER = ((285, 295, 282, 283, 276), (55, 65, 52, 53, 46))
LOWER_LIDS = ((362, 382, 381, 380, 374, 373, 390, 249, 263), (133, 155, 154, 153, 145, 144, 163, 7, 33))
CHEEKS, CORNERS, WINGS = (280, 50), (291, 61), (358, 129)
NOSE_TIP, FOREHEAD, GLABELLA, CHIN, BRIDGE = 4, 10, 9, 152, 6


def smoothstep(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """0 before `start`, 1 after `end` (which may be smaller), smooth between."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Anatomy:
    """Landmarks [478,3] and ear vertices of the template; methods map template points [N,3] to weights [N]."""

    marks: np.ndarray
    ears: np.ndarray
    scalp_top: float

    @staticmethod
    def of(head: Head) -> Anatomy:
        """Read the places off a head's template."""
        template = head.template.double()
        marks = head.landmarks["mediapipe478"].points(template).numpy()
        return Anatomy(marks, template[head.regions["ears"]].numpy(), float(template[:, 1].max()))

    def signed_lips(self, points: np.ndarray) -> np.ndarray:
        """Distance to the vermilion border in the frontal plane, positive on the lips; far away on the back."""
        outline = closed_curve(self.marks[list(LIPS_OUTER)])
        distance = signed_distance(points[:, :2], outline[:, :2])
        behind = np.clip(outline[:, 2].min() - 0.012 - points[:, 2], 0, None)
        return distance - behind

    def signed_eye(self, points: np.ndarray, side: int) -> np.ndarray:
        """Distance to the lid opening in the frontal plane, positive inside; 0 is the left eye."""
        outline = closed_curve(self.marks[list(EYES[side])])
        return signed_distance(points[:, :2], outline[:, :2])

    def brow(self, points: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Along [N] 0 inner to 1 outer end, and across [N] -1 lower to 1 upper edge of a brow."""
        upper, lower = (self.marks[list(ids[side])] for ids in (BROWS_UPPER, BROWS_LOWER))
        middle = curve_through(0.5 * (upper + lower), 60)
        half = curve_through(0.5 * (upper - lower), 60)
        distance, nearest = cKDTree(middle[:, :2]).query(points[:, :2])
        across = (points[:, :2] - middle[nearest, :2]) * half[nearest, :2]
        size = np.linalg.norm(half[nearest, :2], axis=1)
        end = np.where((nearest == 0) | (nearest == 59), distance / size, 0)
        return nearest / 59, across.sum(1) / size**2 + np.sign(across.sum(1)) * np.maximum(end - 1, 0) * 5

    def near(self, points: np.ndarray, mark: int, size: float) -> np.ndarray:
        """A soft ball of `size` metres about one landmark."""
        away = np.linalg.norm(points - self.marks[mark], axis=1)
        return np.exp(-((away / size) ** 2))

    def near_ears(self, points: np.ndarray, size: float) -> np.ndarray:
        """Soft weight within `size` metres of the ears."""
        return np.exp(-((cKDTree(self.ears).query(points)[0] / size) ** 2))

    def hair_density(self, points: np.ndarray, recede: float, ragged: np.ndarray) -> np.ndarray:
        """Growth 0..1 of scalp hair; `recede` lifts the line at the temples, `ragged` [N] shifts it (metres)."""
        brow = self.marks[GLABELLA, 1]
        front = brow + 0.74 * (self.scalp_top - brow)
        # The line falls from the forehead over the temples to the sideburns and round the ears to the nape.
        side = np.abs(points[:, 0])
        ahead = points[:, 2]
        ear = np.abs(self.ears[:, 0]).mean()
        ear_front, ear_back = self.ears[:, 2].max(), self.ears[:, 2].min()
        ear_top, ear_low = self.ears[:, 1].max(), self.ears[:, 1].min()
        nose = self.marks[BRIDGE, 2]
        depth = np.clip((nose - ahead) / (nose - ear_front), 0, None)
        temple = np.interp(
            depth,
            [0.0, 0.30, 0.50, 0.63, 0.74, 0.84, 0.95, 1.1],
            [front, front, front + 0.06 * recede, front - 0.006 + 0.05 * recede, front - 0.026 + 0.02 * recede,
             ear_top + 0.030, ear_top, ear_top - 0.008],
        )  # fmt: skip
        sideburn = (np.abs(ahead - ear_front - 0.004) < 0.011) & (side > 0.6 * ear)
        temple = np.where(sideburn, np.minimum(temple, ear_top - 0.018), temple)
        back = np.interp(
            ahead, [ear_back - 0.055, ear_back - 0.02, ear_back, ear_front],
            [ear_low - 0.035, ear_low - 0.022, ear_low + 0.006, ear_top - 0.010],
        )  # fmt: skip
        line = np.where(ahead > ear_front - 0.004, temple, np.minimum(back, temple))
        # Distance to the line as seen from the side, for it is steep at the temples.
        order = np.argsort(ahead)
        outline = np.stack([ahead[order], line[order]], -1)[:: max(len(points) // 4000, 1)]
        away = cKDTree(_dense(outline)).query(np.stack([ahead, points[:, 1]], -1))[0]
        density = smoothstep(-0.004, 0.011, np.where(points[:, 1] > line, away, -away) + ragged)
        return density * (1 - np.minimum(1, 1.3 * self.near_ears(points, 0.005)))


def _dense(line: np.ndarray, spacing: float = 5e-4) -> np.ndarray:
    """Points at most `spacing` apart along a polyline [P,2]."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(steps)])
    fine = np.arange(0, at[-1], spacing)
    return np.stack([np.interp(fine, at, column) for column in line.T], -1)


def closed_curve(points: np.ndarray, per_segment: int = 8) -> np.ndarray:
    """A smooth closed curve [P*per_segment,3] through points [P,3] (Catmull-Rom)."""
    return _catmull(np.concatenate([points[-1:], points, points[:2]]), per_segment)


def curve_through(points: np.ndarray, samples: int) -> np.ndarray:
    """A smooth open curve [samples,3] through points [P,3], even in parameter."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    dense = np.concatenate([_catmull(padded, 24), points[-1:]])
    return np.stack(
        [np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, len(dense)), c) for c in dense.T], -1
    )


def _catmull(padded: np.ndarray, per_segment: int) -> np.ndarray:
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    p0, p1, p2, p3 = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return curve.reshape(-1, padded.shape[1])


def signed_distance(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Distance [N] of points [N,2] to a closed polygon [P,2], positive inside."""
    dense = closed_curve(np.concatenate([polygon, np.zeros((len(polygon), 1))], -1), 4)[:, :2]
    distance = cKDTree(dense).query(points)[0]
    inside = Polygon(polygon).contains_points(points)
    return np.where(inside, distance, -distance)


def distance_to_curve(points: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] to a densely sampled curve [P,3] and the parameter 0..1 [N] of the nearest sample."""
    distance, nearest = cKDTree(curve).query(points)
    return distance, nearest / max(len(curve) - 1, 1)
