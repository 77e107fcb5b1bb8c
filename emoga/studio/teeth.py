"""Teeth and gums along the dental arches of a head."""

from __future__ import annotations

import numpy as np

# Crown widths in millimetres from the midline outwards (anatomy averages, central incisor to second molar).
UPPER_WIDTHS = (8.6, 6.7, 7.7, 7.0, 6.8, 10.0, 9.5)
LOWER_WIDTHS = (5.4, 5.9, 6.8, 7.0, 7.1, 11.0, 10.5)
UPPER_HEIGHTS = (10.5, 9.2, 10.2, 8.6, 8.0, 7.6, 7.2)
LOWER_HEIGHTS = (8.8, 9.0, 10.0, 8.6, 8.0, 7.5, 7.2)
DEPTHS = (3.6, 3.4, 5.4, 7.2, 7.6, 9.5, 9.5)


def arch_curve(points: np.ndarray, samples: int = 400) -> np.ndarray:
    """Outer horizontal outline [S,3] (left half first to last = subject's right to left) of tooth vertices."""
    half_width = np.abs(points[:, 0]).max()
    front, back = points[:, 2].max(), points[:, 2].min()
    depth = front - back
    t = np.linspace(-1, 1, samples)
    # A parabola-like arch, flatter in front than an ellipse.
    x = half_width * np.sin(t * np.pi / 2)
    z = front - depth * np.abs(np.sin(t * np.pi / 2)) ** 2.3 * 0.55 - depth * 0.45 * np.abs(t) ** 3
    return np.stack([x, np.full_like(x, points[:, 1].mean()), z], -1)


def make_arch(
    points: np.ndarray, upper: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teeth of one arch at rest: vertices [V,3], faces [F,3], and per vertex the tooth's shade [V] about 1."""
    curve = arch_curve(points)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    middle = length[-1] / 2
    widths = np.array(UPPER_WIDTHS if upper else LOWER_WIDTHS) * 1e-3
    heights = np.array(UPPER_HEIGHTS if upper else LOWER_HEIGHTS) * 1e-3
    widths = widths * min(1.12, 0.97 * middle / widths.sum())
    # Upper crowns hang from the gum line, lower ones stand on it; the biting edge is the head's own.
    edge = points[:, 1].min() + 0.0005 if upper else points[:, 1].max() - 0.0005
    vertices, faces, shades = [], [], []
    count = 0
    for side in (-1, 1):
        start = 0.0
        for width, height, depth in zip(widths, heights, DEPTHS, strict=True):
            at = middle + side * (start + width / 2)
            centre = np.array([np.interp(at, length, curve[:, k]) for k in range(3)])
            ahead = np.array([np.interp(at + 1e-3, length, curve[:, k]) for k in range(3)])
            behind = np.array([np.interp(at - 1e-3, length, curve[:, k]) for k in range(3)])
            along = (ahead - behind) / np.linalg.norm(ahead - behind)
            local, tooth_faces = _tooth(width * 1.01, height, depth * 1e-3, upper)
            out = np.cross(along, [0.0, 1.0, 0.0])
            out = (
                -out
                if out @ (centre - [0, centre[1], centre[2] - 0.03]) < 0 and abs(centre[0]) > 1e-3
                else out
            )
            out = out if out[2] > -0.9 else -out
            turn = rng.normal(0, 0.035)
            along, out = along + turn * out, out - turn * along
            jitter = rng.normal(0, 0.00018, 3)
            base = np.array([centre[0], edge, centre[2]]) + jitter - out * depth * 0.5e-3
            vertices.append(base + local[:, :1] * along + local[:, 1:2] * [0, 1, 0] + local[:, 2:] * out)
            faces.append(tooth_faces + count)
            shades.append(np.full(len(local), 1 + rng.normal(0, 0.025)))
            count += len(local)
            start += width
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(shades)


def _tooth(width: float, height: float, depth: float, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """A rounded box, x across, y up from the biting edge (down for lower teeth), z outwards; narrower at the gum."""
    rows, spokes = 14, 20
    v = np.linspace(0, 1, rows)
    phi = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    power = 0.45
    cos, sin = np.cos(phi), np.sin(phi)
    section = np.stack([np.sign(cos) * np.abs(cos) ** power, np.sign(sin) * np.abs(sin) ** power], -1)
    rise = np.clip(v / 0.18, 0, 1)
    round_edge = np.sqrt(1 - (1 - rise) ** 2)
    across = (0.5 * width) * (0.80 + 0.20 * round_edge) * (1 - 0.16 * v**2) * np.where(v == 0, 0.05, 1)
    # Incisors thin out to a blade at the edge and swell above it.
    thick = (
        0.5
        * depth
        * (0.30 + 0.70 * np.sin(np.clip(v * 1.15, 0, 1) * np.pi / 2))
        * np.maximum(round_edge, 0.05)
    )
    x = section[None, :, 0] * across[:, None]
    z = section[None, :, 1] * thick[:, None] - 0.06 * depth * (1 - v[:, None]) * 2
    y = np.repeat((v * height)[:, None], spokes, 1) * (1 if upper else -1)
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(spokes), indexing="ij")
    a, b = i * spokes + j, i * spokes + (j + 1) % spokes
    faces = np.concatenate(
        [
            np.stack([a, b, a + spokes], -1).reshape(-1, 3),
            np.stack([b, b + spokes, a + spokes], -1).reshape(-1, 3),
        ]
    )
    return vertices, faces[:, ::-1] if upper else faces


def make_gum(points: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """A scalloped ridge over the roots: vertices [V,3], faces [F,3]."""
    curve = arch_curve(points, 240)
    heights = UPPER_HEIGHTS if upper else LOWER_HEIGHTS
    sign = 1.0 if upper else -1.0
    edge = points[:, 1].min() if upper else points[:, 1].max()
    centre = np.array([0.0, 0.0, curve[:, 2].min()])
    inward = centre - curve
    inward[:, 1] = 0
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    spokes = 16
    phi = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    height, thick = 0.009, 0.0042
    middle = edge + sign * (np.mean(heights[:3]) * 1e-3 * 0.80 + height / 2)
    ring = curve[:, None] + inward[:, None] * (0.0036 - thick * np.cos(phi)[None, :, None])
    ring[..., 1] = middle + height / 2 * np.sin(phi)[None] * 1.0
    a = np.arange(len(curve) - 1)[:, None] * spokes + np.arange(spokes)[None]
    b = np.arange(len(curve) - 1)[:, None] * spokes + (np.arange(spokes)[None] + 1) % spokes
    faces = np.concatenate(
        [
            np.stack([a, b, a + spokes], -1).reshape(-1, 3),
            np.stack([b, b + spokes, a + spokes], -1).reshape(-1, 3),
        ]
    )
    return ring.reshape(-1, 3), faces
