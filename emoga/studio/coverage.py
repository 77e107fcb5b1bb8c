"""How much of each pixel shows clothing: a small z-buffer on a grid finer than the picture."""

from __future__ import annotations

import numba
import numpy as np

from emoga.camera import Camera

SUBPIXELS = 4


@numba.njit(cache=True)
def _draw(
    points: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    label: int,
    nearest: np.ndarray,
    shown: np.ndarray,
) -> None:
    height, width = nearest.shape
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if depth[a] < 0.01 or depth[b] < 0.01 or depth[c] < 0.01:
            continue
        ax, ay, bx, by, cx, cy = (
            points[a, 0],
            points[a, 1],
            points[b, 0],
            points[b, 1],
            points[c, 0],
            points[c, 1],
        )
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
                        shown[y, x] = label


def clothing_share(
    skin: tuple[np.ndarray, np.ndarray], cloth: tuple[np.ndarray, np.ndarray], camera: Camera
) -> np.ndarray:
    """Share [H,W] in 0..1 of what each pixel shows of the two meshes (vertices, faces) that is cloth."""
    fine = camera.resized(camera.width * SUBPIXELS, camera.height * SUBPIXELS)
    nearest = np.zeros((fine.height, fine.width))
    shown = np.zeros((fine.height, fine.width), np.uint8)
    for label, (vertices, faces) in enumerate((skin, cloth), start=1):
        pixels, depth = fine.project(vertices)
        _draw(pixels, depth, faces, label, nearest, shown)
    blocks = shown.reshape(camera.height, SUBPIXELS, camera.width, SUBPIXELS)
    seen = (blocks > 0).sum((1, 3))
    return (blocks == 2).sum((1, 3)) / np.maximum(seen, 1)
