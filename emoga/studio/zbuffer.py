"""A small z-buffer: which point of a mesh each pixel shows, and how much of a pixel is clothing."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from emoga.camera import Camera

SUBPIXELS = 4
NEAR = 0.01  # metres


@dataclass(frozen=True)
class Shown:
    """What a camera sees of a mesh: face [H,W], -1 where nothing, and perspective-true bary [H,W,3]."""

    face: np.ndarray
    bary: np.ndarray

    def sample(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Per-vertex values [V,D] at the pixels, [H,W,D]; those of face 0's corner where nothing is shown."""
        corners = values[faces[np.maximum(self.face, 0)]]
        return np.einsum("hwk,hwkd->hwd", self.bary, corners)


@numba.njit(cache=True)
def _draw(
    pixels: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    nearest: np.ndarray,
    shown: np.ndarray,
    first: int,
) -> None:
    """Draw faces into `shown` (numbered from `first`) where they are nearer than `nearest` (inverse depth)."""
    height, width = nearest.shape
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if depth[a] < NEAR or depth[b] < NEAR or depth[c] < NEAR:
            continue
        ax, ay = pixels[a, 0], pixels[a, 1]
        bx, by = pixels[b, 0], pixels[b, 1]
        cx, cy = pixels[c, 0], pixels[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0:
            continue
        left, right = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(max(ax, bx, cx) + 0.5), width)
        top, bottom = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(max(ay, by, cy) + 0.5), height)
        for y in range(top, bottom):
            for x in range(left, right):
                px, py = x + 0.5, y + 0.5
                v = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) / area
                w = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) / area
                u = 1 - v - w
                if u >= 0 and v >= 0 and w >= 0:
                    inverse = u / depth[a] + v / depth[b] + w / depth[c]
                    if inverse > nearest[y, x]:
                        nearest[y, x] = inverse
                        shown[y, x] = first + f


def show(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> Shown:
    """Rasterise a mesh (vertices [V,3], faces [F,3]) as seen by a camera."""
    pixels, depth = camera.project(vertices)
    face = np.full((camera.height, camera.width), -1, np.int64)
    _draw(pixels, depth, faces, np.zeros(face.shape), face, 0)
    corner = faces[np.maximum(face, 0)]
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    (ax, ay), (bx, by), (cx, cy) = (np.moveaxis(pixels[corner[..., k]], -1, 0) for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    area = np.where(area == 0, 1, area)
    v = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    w = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    bary = np.stack([1 - v - w, v, w], -1) / depth[corner]
    bary /= bary.sum(-1, keepdims=True)
    return Shown(face, np.where(face[..., None] < 0, [1.0, 0.0, 0.0], bary))


def clothing_share(
    skin: tuple[np.ndarray, np.ndarray], cloth: tuple[np.ndarray, np.ndarray], camera: Camera
) -> np.ndarray:
    """Share [H,W] in 0..1 of what each pixel shows of the two meshes (vertices, faces) that is cloth."""
    fine = camera.resized(camera.width * SUBPIXELS, camera.height * SUBPIXELS)
    nearest = np.zeros((fine.height, fine.width))
    shown = np.full((fine.height, fine.width), -1, np.int64)
    first = 0
    for vertices, faces in (skin, cloth):
        pixels, depth = fine.project(vertices)
        _draw(pixels, depth, faces, nearest, shown, first)
        first += len(faces)
    blocks = shown.reshape(camera.height, SUBPIXELS, camera.width, SUBPIXELS)
    seen = (blocks >= 0).sum((1, 3))
    return (blocks >= len(skin[1])).sum((1, 3)) / np.maximum(seen, 1)
