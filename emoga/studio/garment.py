"""A plain crew-neck shirt around the collar, lofted at rest and kept clear of the skin."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from emoga.studio.noise import gradient_noise

CENTRE_Z = -0.098
# half width, half depth in front and behind, height in front, at the sides, behind; metres from the eyes
ROWS = np.array(
    [
        [0.078, 0.056, 0.056, -0.168, -0.137, -0.128],
        [0.088, 0.062, 0.064, -0.178, -0.145, -0.139],
        [0.122, 0.070, 0.074, -0.196, -0.160, -0.163],
        [0.163, 0.080, 0.085, -0.217, -0.180, -0.193],
        [0.196, 0.093, 0.096, -0.243, -0.211, -0.226],
        [0.213, 0.104, 0.103, -0.285, -0.263, -0.272],
        [0.217, 0.112, 0.108, -0.350, -0.350, -0.350],
        [0.217, 0.112, 0.108, -0.450, -0.450, -0.450],
    ]
)
CLEARANCE = 0.0055
COLLAR_RADIUS = 0.0032


def hidden_by_shirt(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether rest points [N,3] lie so far under the shirt that they are never seen."""
    angle = np.arctan2(points[:, 2] - CENTRE_Z, points[:, 0])
    return (points[:, 1] < _height(rows[:1], angle)[0] - 0.003) & (points[:, 1] < -0.095)


def _height(rows: np.ndarray, angle: np.ndarray) -> np.ndarray:
    ahead = np.clip(np.sin(angle), 0, 1) ** 1.6
    behind = np.clip(-np.sin(angle), 0, 1) ** 1.6
    front, side, back = (rows[:, k : k + 1] for k in (3, 4, 5))
    return side + (front - side) * ahead + (back - side) * behind


def fit_rows(skin: np.ndarray) -> np.ndarray:
    """ROWS moved up or down so that the collar lies where this neck (points [N,3]) widens into the shoulders."""
    heights = np.arange(-0.085, -0.18, -0.002)
    side = np.abs(skin[:, 2] - CENTRE_Z) < 0.06
    widths = np.array(
        [np.abs(skin[side & (np.abs(skin[:, 1] - y) < 0.004), 0]).max(initial=0.0) for y in heights]
    )
    wide = np.flatnonzero(widths > ROWS[0, 0])
    shift = np.clip(heights[wide[0]] - ROWS[0, 4], -0.03, 0.03) if len(wide) else 0.0
    rows = ROWS.copy()
    rows[:, 3:] += shift
    return rows


def _envelope(rows: np.ndarray, angle: np.ndarray, skin: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Radii [R,S] that clear all skin at or above each row's height, for the azimuths [S]."""
    height = _height(rows, angle)
    away = np.hypot(skin[:, 0], skin[:, 2] - CENTRE_Z)
    azimuth = np.arctan2(skin[:, 2] - CENTRE_Z, skin[:, 0])
    near_neckline = skin[:, 1] < _height(rows[:1], azimuth)[0] + 0.004
    radii = np.zeros_like(height)
    for column, phi in enumerate(angle):
        near = np.abs((azimuth - phi + np.pi) % (2 * np.pi) - np.pi) < 0.07
        mine = np.flatnonzero(near & near_neckline)
        above = skin[mine, 1][None] > height[:, column, None] - 0.003
        radii[:, column] = np.where(above, away[mine][None] + CLEARANCE, 0).max(1, initial=0.0)
    return radii


def make_shirt(
    rows: np.ndarray,
    skin: np.ndarray,
    skin_normals: np.ndarray,
    seed: int,
    spokes: int = 160,
    rings: int = 70,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [V,3], faces [F,3], uv [V,2] of a shirt over `rows` that clears `skin` [N,3] by some millimetres."""
    at = np.linspace(0, len(rows) - 1, rings)
    rows = np.stack([np.interp(at, np.arange(len(rows)), column) for column in rows.T], -1)
    rows = np.stack([np.convolve(np.pad(c, 4, mode="edge"), np.ones(9) / 9, "valid") for c in rows.T], -1)
    angle = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    depth = np.where(np.sin(angle)[None] > 0, rows[:, 1:2], rows[:, 2:3])
    ellipse = 1 / np.sqrt((np.cos(angle)[None] / rows[:, :1]) ** 2 + (np.sin(angle)[None] / depth) ** 2)
    radius = np.maximum(ellipse, _envelope(rows, angle, skin, skin_normals))
    radius = np.maximum.accumulate(radius, 0)
    for _ in range(20):
        radius = 0.5 * radius + 0.25 * (np.roll(radius, 1, 1) + np.roll(radius, -1, 1))
        radius[1:-1] = 0.5 * radius[1:-1] + 0.25 * (radius[:-2] + radius[2:])
    grid = np.stack([radius * np.cos(angle), _height(rows, angle), CENTRE_Z + radius * np.sin(angle)], -1)
    flat = _push_out(grid.reshape(-1, 3), skin, skin_normals)
    folds = gradient_noise(flat * [1.0, 0.45, 1.0], 0.045, seed + 3, 2)
    grid = flat.reshape(rings, spokes, 3)
    outward = np.stack([np.cos(angle), np.full(spokes, 0.35), np.sin(angle)], -1)
    fade = np.clip((np.arange(rings) - 6) / 20, 0, 1)[:, None]
    grid = grid + (0.0045 * fade * np.abs(folds).reshape(rings, spokes))[..., None] * outward
    for _ in range(2):
        grid[1:-1] = 0.5 * grid[1:-1] + 0.25 * (grid[:-2] + grid[2:])
        grid = 0.5 * grid + 0.25 * (np.roll(grid, 1, 1) + np.roll(grid, -1, 1))
    grid = _push_out(grid.reshape(-1, 3), skin, skin_normals).reshape(grid.shape)
    grid = np.concatenate([_collar(grid[0], outward), grid])
    u, v = np.meshgrid(np.linspace(0, 1, spokes), np.linspace(1, 0, len(grid)))
    i, j = np.meshgrid(np.arange(len(grid) - 1), np.arange(spokes), indexing="ij")
    a, b = i * spokes + j, i * spokes + (j + 1) % spokes
    c, d = a + spokes, b + spokes
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return grid.reshape(-1, 3), faces, np.stack([u, v], -1).reshape(-1, 2)


def _collar(edge: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Rows [R,S,3] that roll the edge into a band, from its inside over the top down to the cloth."""
    rows = []
    for turn in np.linspace(-0.5 * np.pi, 0.95 * np.pi, 9):
        shift = outward * [1, 0, 1] * (-np.cos(turn) * 0.7) * COLLAR_RADIUS
        rows.append(edge + shift + np.array([0, COLLAR_RADIUS * (1.2 + 1.6 * np.sin(turn)), 0]))
    return np.stack(rows)


def _push_out(points: np.ndarray, skin: np.ndarray, normals: np.ndarray) -> np.ndarray:
    tree = cKDTree(skin)
    for _ in range(3):
        distance, near = tree.query(points)
        depth = ((points - skin[near]) * normals[near]).sum(1)
        push = np.where(distance < 0.05, np.maximum(CLEARANCE - depth, 0), 0)
        points = points + push[:, None] * normals[near]
    return points
