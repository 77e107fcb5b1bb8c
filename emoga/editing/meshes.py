"""Small procedural meshes for things that heads wear: grids of quadrilaterals, each of which becomes a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Gaussians overlap so that no gaps show: standard deviation in shares of half a quadrilateral's side.
OVERLAP = 1.15
THIN = 0.12


@dataclass(frozen=True)
class Solid:
    """M quadrilaterals: centres [M,3], axes [M,3,3] (columns: along, across, normal), sizes [M,3] metres."""

    centres: np.ndarray
    axes: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def normals(self) -> np.ndarray:
        """[M,3] outward."""
        return self.axes[:, :, 2]

    def placed(self, frame: np.ndarray, origin: np.ndarray) -> Solid:
        """Turned by frame [3,3] (columns are where x, y, z go) and moved to origin [3]."""
        return Solid(self.centres @ frame.T + origin, frame @ self.axes, self.sizes)


def merged(solids: list[Solid]) -> Solid:
    """Several solids as one."""
    parts = ([getattr(solid, name) for solid in solids] for name in ("centres", "axes", "sizes"))
    return Solid(*(np.concatenate(part) for part in parts))


def from_grid(grid: np.ndarray, outward: np.ndarray | None = None) -> Solid:
    """The quadrilaterals of a grid of vertices [A,B,3]; normals turned to agree with `outward` [A-1,B-1,3]."""
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    centres = (a + b + c + d) / 4
    along, across = (b + c - a - d) / 2, (c + d - a - b) / 2
    normal = np.cross(along, across)
    if outward is not None:
        normal *= np.sign((normal * outward).sum(-1, keepdims=True) + 1e-30)
    size = np.stack([np.linalg.norm(along, axis=-1), np.linalg.norm(across, axis=-1)], -1).reshape(-1, 2)
    normal = _unit(normal.reshape(-1, 3))
    first = _unit(along.reshape(-1, 3) - normal * (along.reshape(-1, 3) * normal).sum(1, keepdims=True))
    axes = np.stack([first, np.cross(normal, first), normal], -1)
    sigma = OVERLAP / 2 * size
    sizes = np.concatenate([sigma, THIN * sigma.min(1, keepdims=True)], 1)
    usable = (size.min(1) > 1e-7) & np.isfinite(axes).all((1, 2))
    return Solid(centres.reshape(-1, 3)[usable], axes[usable], sizes[usable])


def tube(path: np.ndarray, radius: np.ndarray | float, step: float, closed: bool = False) -> Solid:
    """A round tube of a radius (metres, one or [P]) along a path [P,3], in quadrilaterals of about `step` metres."""
    path, radius = _resampled(path, np.broadcast_to(radius, len(path)).astype(float), step, closed)
    around = max(6, round(2 * np.pi * float(radius.max()) / step))
    tangent = (
        _unit(np.gradient(path, axis=0)) if not closed else _unit(np.roll(path, -1, 0) - np.roll(path, 1, 0))
    )
    side = _frames_along(tangent, closed)
    other = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, around + 1)
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    grid = path[:, None] + radius[:, None, None] * ring
    if closed:
        grid, ring = np.concatenate([grid, grid[:1]]), np.concatenate([ring, ring[:1]])
    outward = ring[:-1, :-1] + ring[1:, 1:]
    return from_grid(grid, outward)


def ball(radius: float, step: float, squash: float = 1.0) -> Solid:
    """A sphere about the origin, flattened along z by `squash`."""
    rows = max(5, round(np.pi * radius / step))
    polar = np.linspace(0, np.pi, rows + 1)[1:-1]
    polar = np.concatenate([[0.12], polar, [np.pi - 0.12]])
    around = np.linspace(0, 2 * np.pi, 2 * rows + 1)
    grid = np.stack(
        [
            radius * np.sin(polar)[:, None] * np.cos(around),
            radius * np.sin(polar)[:, None] * np.sin(around),
            squash * radius * np.cos(polar)[:, None] * np.ones_like(around),
        ],
        -1,
    )
    middle = (grid[:-1, :-1] + grid[1:, 1:]) / 2
    return from_grid(grid, middle)


def sheet(outline: np.ndarray, bulge: float, step: float) -> Solid:
    """A lens: the inside of a closed outline [P,3] about its centre, bulging by metres along +z."""
    centre = outline.mean(0)
    rings = max(3, round(float(np.linalg.norm(outline - centre, axis=1).max()) / step))
    share = np.linspace(0.02, 1.0, rings + 1)[:, None, None]
    closed = np.concatenate([outline, outline[:1]])
    grid = centre + share * (closed - centre)
    grid[..., 2] += bulge * (1 - share[..., 0] ** 2)
    return from_grid(grid, np.broadcast_to(np.array([0.0, 0.0, 1.0]), (rings, len(outline), 3)))


def circle(radius: float, count: int = 48) -> np.ndarray:
    """Points [count,3] around the origin in the plane z = 0, the first at the top."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle), np.zeros(count)], 1)


def _frames_along(tangent: np.ndarray, closed: bool) -> np.ndarray:
    """Unit vectors [P,3] across a path that twist as little as they can."""
    helper = np.eye(3)[np.abs(tangent[0]).argmin()]
    side = np.empty_like(tangent)
    side[0] = _unit(np.cross(tangent[0], helper)[None])[0]
    for at in range(1, len(tangent)):
        turned = side[at - 1] - tangent[at] * (side[at - 1] @ tangent[at])
        side[at] = turned / (np.linalg.norm(turned) + 1e-12)
    return side


def _resampled(
    path: np.ndarray, radius: np.ndarray, step: float, closed: bool
) -> tuple[np.ndarray, np.ndarray]:
    if closed:
        path, radius = np.concatenate([path, path[:1]]), np.concatenate([radius, radius[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    count = max(4, round(float(along[-1]) / step))
    wanted = np.linspace(0, along[-1], count + 1)[: count if closed else count + 1]
    points = np.stack([np.interp(wanted, along, path[:, axis]) for axis in range(3)], 1)
    return points, np.interp(wanted, along, radius)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)
