"""Which point of the surface each texel shows."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class TexelMap:
    """Texels [N] (flat index into height x width) that lie on the surface, with face [N] and bary [N,3]."""

    height: int
    width: int
    texel: np.ndarray
    face: np.ndarray
    bary: np.ndarray

    def sample(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Per-vertex values [V] or [V,D] interpolated at the texels."""
        corners = values[faces[self.face]]
        return np.einsum("nk,nk...->n...", self.bary, corners)

    def image(self, values: np.ndarray, outside: np.ndarray | float) -> np.ndarray:
        """Texel values [N] or [N,D] laid out as a picture [H,W] or [H,W,D]."""
        shape = (self.height * self.width, *values.shape[1:])
        picture = np.empty(shape, np.float32)
        picture[:] = outside
        picture[self.texel] = values
        return picture.reshape(self.height, self.width, *values.shape[1:])


@numba.njit(cache=True)
def _fill(corners: np.ndarray, height: int, width: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    face_of = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    best = np.full((height, width), -1e9, np.float32)
    for f in range(len(corners)):
        ax, ay = corners[f, 0]
        bx, by = corners[f, 1]
        cx, cy = corners[f, 2]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-12:
            continue
        left = max(int(min(ax, bx, cx) - margin), 0)
        right = min(int(max(ax, bx, cx) + margin) + 1, width)
        top = max(int(min(ay, by, cy) - margin), 0)
        bottom = min(int(max(ay, by, cy) + margin) + 1, height)
        size = np.sqrt(abs(area))
        for y in range(top, bottom):
            for x in range(left, right):
                px, py = x + 0.5, y + 0.5
                v = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area
                w = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area
                u = 1 - v - w
                # Texels just outside a seam take the nearest face's colour, so filtering shows no edge.
                inside = min(u, v, w) * size
                if inside > -margin and inside > best[y, x]:
                    best[y, x] = min(inside, 0.0)
                    face_of[y, x] = f
                    bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = u, v, w
    return face_of, bary


def map_texels(
    uv: np.ndarray, uv_faces: np.ndarray, height: int, width: int, margin: float = 2.0
) -> TexelMap:
    """Rasterise uv [U,2] (v up) of uv_faces [F,3]; `margin` texels beyond seams are filled too."""
    pixels = np.stack([uv[:, 0] * width, (1 - uv[:, 1]) * height], -1)
    face_of, bary = _fill(np.ascontiguousarray(pixels[uv_faces]), height, width, margin)
    texel = np.flatnonzero(face_of.ravel() >= 0)
    return TexelMap(height, width, texel, face_of.ravel()[texel], bary.reshape(-1, 3)[texel])
