"""Strands: scalp hair grown at rest and carried by the skull, brows and lashes carried by the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emoga.studio.noise import gradient_noise


@dataclass(frozen=True)
class HairStyle:
    """How scalp hair grows; lengths in metres."""

    strands: int
    length: float
    spread: float  # relative variation of length
    comb: tuple[float, float, float]  # preferred direction at rest, x flips at the parting
    stand: float  # how far it stands off the scalp, 0 flat to 1 straight out
    curl: float  # radius of curls
    wave: float  # bend by low-frequency noise
    parting: float | None  # x of the parting, or None
    radius: float = 1.5e-4


STYLES = {
    "short": HairStyle(15000, 0.022, 0.25, (0.0, -0.25, 0.35), 0.45, 0.0, 0.35, None),
    "side": HairStyle(13000, 0.070, 0.20, (1.0, 0.10, -0.35), 0.22, 0.0, 0.30, 0.028),
    "swept": HairStyle(13000, 0.060, 0.20, (0.10, 0.25, -1.0), 0.35, 0.0, 0.35, None),
    "curly": HairStyle(10000, 0.060, 0.25, (0.0, -0.2, 0.1), 0.75, 0.0045, 0.9, None),
    "buzz": HairStyle(16000, 0.007, 0.2, (0.0, -0.3, 0.4), 0.8, 0.0, 0.3, None, 1.2e-4),
}


@dataclass(frozen=True)
class Roots:
    """Points on a surface: face index [N], barycentrics [N,3], and the growth density there [N]."""

    face: np.ndarray
    bary: np.ndarray
    density: np.ndarray

    def on(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Interpolate per-vertex values [V,...] at the roots."""
        return np.einsum("nk,nk...->n...", self.bary, values[faces[self.face]])


def scatter_roots(
    vertices: np.ndarray, faces: np.ndarray, density: np.ndarray, count: int, rng: np.random.Generator
) -> Roots:
    """`count` roots over a surface with probability area times per-vertex density [V]."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weight = np.cumsum(area * density[faces].mean(1))
    face = np.searchsorted(weight, rng.random(count) * weight[-1])
    face = np.minimum(face, len(faces) - 1)
    u, v = rng.random((2, count))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    bary = np.stack([1 - u - v, u, v], -1)
    return Roots(face, bary, np.einsum("nk,nk->n", bary, density[faces[face]]))


def grow_hair(
    style: HairStyle,
    roots: np.ndarray,
    root_normals: np.ndarray,
    density: np.ndarray,
    skull: np.ndarray,
    skull_normals: np.ndarray,
    seed: int,
    segments: int = 9,
) -> tuple[np.ndarray, np.ndarray]:
    """Strands [S,K,3] and radii [S,K] from roots [S,3] that lie down along the comb without entering the skull."""
    rng = np.random.default_rng(seed)
    count = len(roots)
    # Strands follow the nearest of a few hundred locks: hair without locks looks like fur.
    locks = roots[rng.choice(count, min(420, count), replace=False)]
    _, lock = cKDTree(locks).query(roots)
    lock_random = rng.normal(size=(len(locks), 4))
    comb = np.asarray(style.comb, float)
    direction = np.tile(comb, (count, 1))
    if style.parting is not None:
        side = np.where(roots[:, 0] > style.parting, 1.0, -1.0)
        direction[:, 0] *= side
    drift = np.stack([gradient_noise(roots, 0.035, seed + 31 + axis) for axis in range(3)], -1)
    direction += style.wave * drift + 0.22 * lock_random[lock, :3] + 0.10 * rng.normal(size=(count, 3))
    direction[:, 1] -= 0.55 * np.clip(-roots[:, 1:2] / 0.05 + 0.6, 0, 1.5)[:, 0]  # sides and nape hang down
    length = style.length * (1 + style.spread * (0.6 * lock_random[lock, 3] + 0.6 * rng.normal(size=count)))
    length = np.clip(length, 0.3 * style.length, 2 * style.length) * (
        0.2 + 0.8 * np.clip(density, 0, 1) ** 1.5
    )
    low = np.clip((roots[:, 1] + 0.07) / 0.09, 0.18, 1.0)  # the nape and sideburns are cut shorter
    length = length * np.where(style.length > 0.03, low, np.maximum(low, 0.5))
    tree = cKDTree(skull)
    step = length / (segments - 1)
    points = [roots - 0.0008 * root_normals]
    height = (
        0.0012
        + 0.006 * style.stand * rng.random(count)
        + 0.004 * rng.random(count) ** 2 * (style.length > 0.03)
    )
    for index in range(1, segments):
        t = index / (segments - 1)
        _, near = tree.query(points[-1])
        normal = skull_normals[near]
        flat = direction - (direction * normal).sum(1, keepdims=True) * normal
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
        lift = max(0.0, 1.3 * (1 - t) ** 1.5) * (0.25 + style.stand)
        heading = flat + lift * normal + [0, -0.25 * t * min(1.0, style.length / 0.06), 0]
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        point = points[-1] + step[:, None] * heading
        _, near = tree.query(point)
        depth = ((point - skull[near]) * skull_normals[near]).sum(1)
        layer = height * min(1.0, 2.5 * t)
        point = point + np.maximum(layer - depth, 0)[:, None] * skull_normals[near]
        points.append(point)
    strands = np.stack(points, 1)
    if style.curl:
        strands = _curl(strands, style.curl, lock, lock_random, rng)
        segments = strands.shape[1]
    t = np.linspace(0, 1, segments)
    gather = 0.35 * (t**1.5)[None, :, None] if style.length > 0.03 else 0.0
    centre = np.zeros((len(locks), segments, 3))
    np.add.at(centre, lock, strands)
    centre /= np.maximum(np.bincount(lock, minlength=len(locks)), 1)[:, None, None]
    strands = strands + gather * (centre[lock] - strands)
    radii = style.radius * (1 - 0.75 * t**2)[None] * (0.7 + 0.5 * rng.random(count))[:, None]
    return strands, radii * (0.55 + 0.45 * np.clip(density, 0, 1))[:, None]


def _curl(
    strands: np.ndarray, radius: float, lock: np.ndarray, lock_random: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    count, segments = strands.shape[:2]
    fine = np.linspace(0, segments - 1, 2 * segments)
    low = np.clip(fine.astype(int), 0, segments - 2)
    part = (fine - low)[None, :, None]
    strands = strands[:, low] * (1 - part) + strands[:, low + 1] * part
    t = np.linspace(0, 1, strands.shape[1])
    tangent = np.gradient(strands, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-12)
    side = np.cross(tangent, [0.31, 0.52, 0.8])
    side /= np.linalg.norm(side, axis=2, keepdims=True)
    other = np.cross(tangent, side)
    turns = 2.4 + 0.5 * lock_random[lock, 0] + 0.15 * rng.normal(size=count)
    angle = 2 * np.pi * turns[:, None] * t[None] + 6.28 * lock_random[lock, 1][:, None]
    size = radius * (1 + 0.25 * lock_random[lock, 2])[:, None] * np.minimum(1, 4 * t)[None]
    return strands + (size * np.cos(angle))[..., None] * side + (size * np.sin(angle))[..., None] * other


def carried_frames(
    vertices: np.ndarray, faces: np.ndarray, face: np.ndarray, normals: np.ndarray
) -> np.ndarray:
    """Rotations [N,3,3] (columns: edge, across, normal) of the given faces, to carry strands with moving skin."""
    corners = vertices[faces[face]]
    normal = normals[faces[face]].mean(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    edge = corners[:, 1] - corners[:, 0]
    edge -= (edge * normal).sum(1, keepdims=True) * normal
    edge /= np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-12)
    return np.stack([edge, np.cross(normal, edge), normal], -1)


@dataclass(frozen=True)
class SkinStrands:
    """Strands stored in the frames of the faces they root in: offsets [S,K,3] and radii [S,K]."""

    roots: Roots
    offsets: np.ndarray
    radii: np.ndarray

    @staticmethod
    def bind(
        roots: Roots,
        strands: np.ndarray,
        radii: np.ndarray,
        vertices: np.ndarray,
        faces: np.ndarray,
        normals: np.ndarray,
    ) -> SkinStrands:
        """Attach world strands [S,K,3] to the surface they were grown on."""
        frames = carried_frames(vertices, faces, roots.face, normals)
        origin = roots.on(vertices, faces)
        return SkinStrands(roots, np.einsum("nij,nki->nkj", frames, strands - origin[:, None]), radii)

    def at(self, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """World strands [S,K,3] on the posed surface."""
        frames = carried_frames(vertices, faces, self.roots.face, normals)
        return self.roots.on(vertices, faces)[:, None] + np.einsum("nij,nkj->nki", frames, self.offsets)


def grow_arc(
    origin: np.ndarray, heading: np.ndarray, bend: np.ndarray, length: np.ndarray, segments: int
) -> np.ndarray:
    """Strands [S,K,3] that start along `heading` [S,3] and turn towards `bend` [S,3]."""
    t = np.linspace(0, 1, segments)[None, :, None]
    return origin[:, None] + length[:, None, None] * (
        t * heading[:, None] + 0.5 * t**2 * (bend - heading)[:, None]
    )
