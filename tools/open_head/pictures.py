"""Perspective pictures of the open head that a face landmark detector believes in."""

from __future__ import annotations

import numpy as np

from emoga.triangles import rasterize_faces

SUPERSAMPLING = 2
SIZE = 512
FOCAL = 1300.0  # pixels; with DISTANCE a face fills about half of the picture
DISTANCE = 0.62
TARGET = np.array([0.0, -0.03, -0.01])


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
    rotation, translation = camera(yaw, pitch)
    size = SIZE * scale
    K = np.array([[FOCAL * scale, 0, size / 2], [0, FOCAL * scale, size / 2], [0, 0, 1]])
    return rasterize_faces(vertices @ rotation.T + translation, faces, K, size, size, dtype=np.float64)[:2]


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
