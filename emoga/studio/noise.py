"""Deterministic 3D gradient and cell noise for procedural textures, evaluated at points in metres."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(inline="always")
def _hash(x: int, y: int, z: int, seed: int) -> int:
    """Well-mixed 32 bits of an integer lattice point."""
    h = (x * 374761393 + y * 668265263 + z * 2147483647 + seed * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0xFFFFFFFF


@numba.njit(inline="always")
def _unit(h: int) -> float:
    return h / 4294967296.0


@numba.njit(cache=True, parallel=True)
def _value_noise(points: np.ndarray, seed: int) -> np.ndarray:
    out = np.empty(len(points), np.float32)
    for i in numba.prange(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        fx, fy, fz = x - ix, y - iy, z - iz
        total = 0.0
        for corner in range(8):
            cx, cy, cz = corner & 1, (corner >> 1) & 1, corner >> 2
            dx, dy, dz = fx - cx, fy - cy, fz - cz
            h = _hash(ix + cx, iy + cy, iz + cz, seed)
            gradient = (
                ((h & 1023) / 511.5 - 1) * dx
                + (((h >> 10) & 1023) / 511.5 - 1) * dy
                + (((h >> 20) & 1023) / 511.5 - 1) * dz
            )
            wx, wy, wz = 1 - abs(dx), 1 - abs(dy), 1 - abs(dz)
            total += (
                gradient
                * (wx * wx * wx * (wx * (wx * 6 - 15) + 10))
                * (wy * wy * wy * (wy * (wy * 6 - 15) + 10))
                * (wz * wz * wz * (wz * (wz * 6 - 15) + 10))
            )
        out[i] = total
    return out


@numba.njit(cache=True, parallel=True)
def _cells(points: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    nearest = np.empty(len(points), np.float32)
    label = np.empty(len(points), np.float32)
    for i in numba.prange(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        best, best_label = 1e9, 0.0
        for cx in range(ix - 1, ix + 2):
            for cy in range(iy - 1, iy + 2):
                for cz in range(iz - 1, iz + 2):
                    h = _hash(cx, cy, cz, seed)
                    g = _hash(cx, cy, cz, seed + 7919)
                    dx = cx + (h & 1023) / 1023.0 - x
                    dy = cy + ((h >> 10) & 1023) / 1023.0 - y
                    dz = cz + ((h >> 20) & 1023) / 1023.0 - z
                    distance = dx * dx + dy * dy + dz * dz
                    if distance < best:
                        best, best_label = distance, _unit(g)
        nearest[i] = np.sqrt(best)
        label[i] = best_label
    return nearest, label


def gradient_noise(points: np.ndarray, size: float, seed: int, octaves: int = 1) -> np.ndarray:
    """Smooth noise [N] of about unit spread at points [N,3]; features are `size` metres, halving per octave."""
    points = np.ascontiguousarray(points, np.float64)
    total = np.zeros(len(points), np.float32)
    for octave in range(octaves):
        total += _value_noise(points * (2**octave / size), seed + 101 * octave) * np.float32(0.55**octave)
    return total * np.float32(2.2)


def cell_noise(points: np.ndarray, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] to the nearest random cell centre in cells, and that cell's uniform random number [N]."""
    return _cells(np.ascontiguousarray(points, np.float64) / size, seed)
