"""Perspective pictures of the open head that a face landmark detector believes in."""

from __future__ import annotations

import numba
import numpy as np

SUPERSAMPLING = 2
SIZE = 512
FOCAL = 1300.0  # pixels; with DISTANCE a face fills about half of the picture
DISTANCE = 0.62
TARGET = np.array([0.0, -0.03, -0.01])


@numba.njit(cache=True)
def _fill(points, faces, face_index, bary, depth):
    height, width = depth.shape
    for k in range(faces.shape[0]):
        a, b, c = faces[k]
        x0, y0, x1, y1, x2, y2 = (
            points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1])  # fmt: skip
        area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
        if abs(area) < 1e-12:
            continue
        left, right = max(0, int(min(x0, x1, x2))), min(width - 1, int(max(x0, x1, x2)) + 1)
        top, bottom = max(0, int(min(y0, y1, y2))), min(height - 1, int(max(y0, y1, y2)) + 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                u = ((y1 - y2) * (x + 0.5 - x2) + (x2 - x1) * (y + 0.5 - y2)) / area
                v = ((y2 - y0) * (x + 0.5 - x2) + (x0 - x2) * (y + 0.5 - y2)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                nearness = u * points[a, 2] + v * points[b, 2] + w * points[c, 2]  # 1/z is linear in pixels
                if nearness > depth[y, x]:
                    depth[y, x] = nearness
                    face_index[y, x] = k
                    u, v, w = u * points[a, 2], v * points[b, 2], w * points[c, 2]
                    bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = u / nearness, v / nearness, w / nearness


def camera(yaw: float, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3,3] and translation [3] world to camera (OpenCV), orbiting TARGET; degrees.

    Positive yaw sees the subject's left side, positive pitch looks from above.
    """
    a, b = np.deg2rad(yaw), np.deg2rad(pitch)
    away = np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
    right = np.array([np.cos(a), 0, -np.sin(a)])
    down = -np.cross(away, right)
    rotation = np.stack([right, down, -away])
    return rotation, -rotation @ (TARGET + DISTANCE * away)


def project(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Pixels and depth [n,3] of points [n,3]."""
    rotation, translation = camera(yaw, pitch)
    seen = points @ rotation.T + translation
    pixels = FOCAL * seen[:, :2] / seen[:, 2:] + SIZE / 2
    return np.concatenate([pixels, seen[:, 2:]], 1)


def rasterize(vertices: np.ndarray, faces: np.ndarray, yaw: float, pitch: float, scale: int = 1) -> tuple:
    """Face index [H,W] (-1: none) and barycentrics [H,W,3]."""
    points = project(vertices, yaw, pitch)
    points = np.stack([points[:, 0] * scale, points[:, 1] * scale, 1 / points[:, 2]], 1)
    size = SIZE * scale
    face_index, bary, depth = np.full((size, size), -1), np.zeros((size, size, 3)), np.zeros((size, size))
    _fill(points, faces, face_index, bary, depth)
    return face_index, bary


def normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals [V,3]."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def picture(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, yaw: float, pitch: float
) -> np.ndarray:
    """Shaded picture uint8 [SIZE,SIZE,3]; colours [V,3] or per triangle corner [F,3,3]."""
    face_index, bary = rasterize(vertices, faces, yaw, pitch, SUPERSAMPLING)
    hit = face_index >= 0
    corners = colours if colours.ndim == 3 else colours[faces]
    index, weights = face_index[hit], bary[hit][..., None]
    normal = (normals_of(vertices, faces)[faces[index]] * weights).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    albedo = (corners[index] * weights).sum(1)
    light = 0.38 + 0.5 * np.clip(normal @ np.array([0.35, 0.5, 0.79]), 0, 1)
    light += 0.25 * np.clip(normal @ np.array([-0.6, 0.2, 0.77]), 0, 1)
    image = np.full((*face_index.shape, 3), 0.55)
    image[hit] = albedo * light[:, None]
    image = image.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 3).mean((1, 3))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
