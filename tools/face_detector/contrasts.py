"""What makes the eyes and lips of many people hard to read: folds, dark sockets, lash lines, heavy brows, wet lips."""

from __future__ import annotations

import numpy as np

from emoga.studio.anatomy import Anatomy, smoothstep

FAR = -0.1  # metres outside an eye where none is near


def eye_fields(points: np.ndarray, anatomy: Anatomy, front: np.ndarray) -> dict[str, np.ndarray]:
    """Of points [N,3], those in `front` [N]: `eye` metres into the nearer lid opening, `upper` 1 above its corners."""
    eye, upper = np.full(len(points), FAR), np.zeros(len(points))
    for side, corners in ((0, (362, 263)), (1, (33, 133))):
        near = front & (np.sign(points[:, 0]) == (1 if side == 0 else -1))
        (x0, y0), (x1, y1) = anatomy.marks[list(corners), :2]
        line = y0 + (y1 - y0) * np.clip((points[:, 0] - x0) / (x1 - x0), 0, 1)
        eye = np.where(near, anatomy.signed_eye(points, side), eye)
        upper = np.where(near, smoothstep(-0.0006, 0.0006, points[:, 1] - line), upper)
    return {"eye": eye, "upper": upper}


def eye_contrasts(color: np.ndarray, fields: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Linear colours [N,3] with shaded sockets, a fold above the eye and lines of lashes."""
    eye, upper = fields["eye"], fields["upper"]
    if rng.random() < 0.5:
        near = smoothstep(-rng.uniform(0.008, 0.022), -0.001, eye)
        shade = near * (rng.uniform(0, 0.65) * upper + rng.uniform(0, 0.5) * (1 - upper))
        color = color * (1 - shade[:, None] * np.array([0.75, 1.0, 0.95]))
    if rng.random() < 0.65:
        away, width = rng.uniform(0.0015, 0.007), rng.uniform(0.0005, 0.0013)
        fold = upper * np.exp(-(((eye + away) / width) ** 2))
        lid = upper * smoothstep(-away, -away + 0.001, eye)
        color = color * (1 - (rng.uniform(0.1, 0.75) * fold + rng.uniform(-0.25, 0.3) * lid)[:, None])
    if rng.random() < 0.75:
        line = np.exp(-(((eye + 0.0003) / rng.uniform(0.0006, 0.0013)) ** 2))
        weight = line * rng.uniform(0.2, 1.0) * (upper + rng.uniform(0, 0.6) * (1 - upper))
        color = color * (1 - weight[:, None]) + rng.uniform(0.004, 0.04) * weight[:, None]
    return color


def heavy_brows(
    color: np.ndarray, brow: np.ndarray, hairs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Linear colours [N,3] with brows of density `brow` [N], nearly black; `hairs` [N] varies about 0."""
    weight = np.clip(1.3 * brow * (1 + rng.uniform(0.1, 0.5) * hairs) * rng.uniform(0.6, 1.0), 0, 1)[:, None]
    return color * (1 - weight) + rng.uniform(0.005, 0.04) * np.array([1.1, 0.95, 0.85]) * weight


def lip_contrasts(color: np.ndarray, fields: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Linear colours [N,3] with a light or dark band along a lip and a darker border: neither is an open mouth."""
    for sign in (-1, 1):
        if rng.random() < (0.5 if sign < 0 else 0.25):
            away = sign * fields["above_mouth"] - rng.uniform(0, 0.006)
            band = fields["lips"] * np.exp(-((away / rng.uniform(0.0008, 0.003)) ** 2))
            color = color * (1 + rng.uniform(-0.45, 1.0) * band[:, None] * np.array([1.0, 0.85, 0.85]))
    if rng.random() < 0.3:
        color = color * (1 - rng.uniform(0, 0.5) * fields["lip_border"][:, None] * np.array([0.8, 1.0, 1.0]))
    return color
