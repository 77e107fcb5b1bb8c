"""Eyeballs: a sphere with a corneal bulge, and the painted sclera, iris and pupil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.studio.mitsuba_scene import vertex_normals
from emoga.studio.noise import gradient_noise

CORNEA_RISE, CORNEA_SHADED = 0.022, 0.065  # of the radius


@dataclass(frozen=True)
class Eyeball:
    """One eyeball in its own frame: centre at the origin, looking along +z, metres."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


def make_eyeball(radius: float, iris_radius: float, rings: int = 72, spokes: int = 64) -> Eyeball:
    """Sphere of `radius` whose cornea rises over a disc a little wider than the iris."""
    # Rings crowd towards the pupil, where the highlight shows every facet.
    polar = np.pi * np.linspace(0, 1, rings) ** 1.6
    around = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    edge = np.arcsin(min(iris_radius * 1.08 / radius, 0.95))
    inside = np.clip(1 - theta / edge, 0, 1)
    rise = (inside * (2 - inside)) ** 1.5

    def ball(bulge: float) -> np.ndarray:
        r = radius * (1 + bulge * rise)
        return np.stack(
            [r * np.sin(theta) * np.cos(phi), r * np.sin(theta) * np.sin(phi), r * np.cos(theta)], -1
        )

    vertices = ball(CORNEA_RISE).reshape(-1, 3)
    uv = 0.5 + 0.5 * (theta / np.pi)[..., None] * np.stack([np.cos(phi), np.sin(phi)], -1)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(spokes), indexing="ij")
    a, b = i * spokes + j, i * spokes + (j + 1) % spokes
    c, d = a + spokes, b + spokes
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    # Lids slide on the sphere, so the cornea may hardly rise; its shading bends light as a real one does.
    normals = vertex_normals(ball(CORNEA_SHADED).reshape(-1, 3), faces)
    return Eyeball(vertices, normals, faces, uv.reshape(-1, 2))


def paint_eye(
    iris_color: np.ndarray, iris_angle: float, pupil: float, redness: float, seed: int, size: int = 1536
) -> np.ndarray:
    """Linear colours [H,W,3] of an eyeball. iris_angle: polar angle of the limbus; pupil: fraction of the iris."""
    grid = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(grid, -grid)
    theta = np.hypot(x, y) * 2 * np.pi
    phi = np.arctan2(y, x)
    rho = theta / iris_angle
    direction = np.stack([np.cos(phi), np.sin(phi)], -1)
    color = _sclera(theta, direction, iris_angle, redness, seed)
    iris = _iris(rho, direction, iris_color, pupil, seed)
    limbus = _smooth(1.04, 0.96, rho)[..., None]
    return (color * (1 - limbus) + iris * limbus).astype(np.float32)


def _smooth(start: float, end: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _noise(points: np.ndarray, size: float, seed: int, octaves: int = 1) -> np.ndarray:
    return gradient_noise(points.reshape(-1, points.shape[-1]), size, seed, octaves).reshape(
        points.shape[:-1]
    )


def _sclera(theta: np.ndarray, direction: np.ndarray, limbus: float, redness: float, seed: int) -> np.ndarray:
    white = np.array([0.70, 0.635, 0.585])
    around = np.concatenate([direction * theta[..., None], np.zeros_like(theta)[..., None]], -1)
    cloud = _noise(around, 0.35, seed, 3)
    outward = np.clip((theta - limbus) / 0.9, 0, 1)
    color = white * (1 + 0.04 * cloud[..., None]) * (1 - outward[..., None] * np.array([0.08, 0.22, 0.26]))
    # Veins run outwards: ridges of noise stretched along the radius, bent by a second noise.
    bend = 0.25 * _noise(around, 0.25, seed + 5, 2)
    angle = np.arctan2(direction[..., 1], direction[..., 0]) + bend
    stretched = np.stack([np.cos(angle) * 1.3, np.sin(angle) * 1.3, theta * 0.5], -1)
    ridge = np.exp(-((_noise(stretched, 0.16, seed + 9, 2) / 0.05) ** 2))
    patchy = np.clip(0.5 + _noise(around, 0.5, seed + 11), 0, 1)
    vein = (redness * ridge * patchy * _smooth(0.05, 0.7, outward))[..., None]
    return color * (1 - vein * np.array([0.10, 0.55, 0.5]))


def _iris(
    rho: np.ndarray, direction: np.ndarray, iris_color: np.ndarray, pupil: float, seed: int
) -> np.ndarray:
    fibre_at = np.concatenate([direction * 2.4, (rho * 0.35)[..., None]], -1)
    fibre = _noise(fibre_at, 0.16, seed + 21, 3)
    crypt_at = np.concatenate([direction * 1.3, (rho * 1.1)[..., None]], -1)
    crypt = _noise(crypt_at, 0.3, seed + 22, 2)
    collarette = np.exp(-(((rho - pupil - 0.16) / 0.09) ** 2))
    bright = 1 + 0.5 * fibre + 0.3 * crypt + 0.45 * collarette
    warm = np.array([1.25, 0.95, 0.6])
    color = iris_color * np.clip(bright, 0.25, 2.2)[..., None]
    color = color * (1 + collarette[..., None] * (warm - 1) * 0.8)
    color = color * (1 - 0.72 * _smooth(0.74, 1.0, rho))[..., None]
    hole = _smooth(pupil + 0.03, pupil - 0.03, rho * (1 + 0.02 * fibre))[..., None]
    return color * (1 - hole) + 0.004 * hole
