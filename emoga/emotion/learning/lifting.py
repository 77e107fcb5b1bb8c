"""From pictures to the skin: what each picture shows of every point of a posed surface, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emoga.camera import Camera
from emoga.emotion.learning.surface import Surface, posed_normals
from emoga.images import from_uint8
from emoga.triangles import rasterize_faces

HIDDEN = 0.003  # metres behind what a picture shows from which a point begins to count as hidden
FACING = (0.15, 0.6)  # cosines between normal and line of sight from not seen to seen squarely


@dataclass(frozen=True)
class Sight:
    """The N points of a surface in one picture: pixels [N,2], and share [N] in 0..1, how well each is seen."""

    pixels: np.ndarray
    share: np.ndarray


def look(surface: Surface, vertices: np.ndarray, camera: Camera) -> Sight:
    """Where a camera sees the points of posed vertices [V,3]; hidden and grazing ones weigh little or nothing."""
    points = surface.on_mesh(vertices)
    pixels, depth = camera.project(points)
    local = vertices @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    shown = rasterize_faces(local, surface.faces, camera.K, camera.width, camera.height)[2]
    # The farthest of the four pixels around a point: an outline in front of it must not hide it.
    shown = np.where(shown > 0, shown, np.inf)
    nearest = _read(cv2.dilate(shown, np.ones((3, 3), np.uint8)), pixels, cv2.INTER_NEAREST)
    towards = camera.position - points
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    facing = (posed_normals(surface, vertices) * towards).sum(1)
    low, high = FACING
    inside = (pixels > 1).all(1) & (pixels[:, 0] < camera.width - 1) & (pixels[:, 1] < camera.height - 1)
    share = np.clip((facing - low) / (high - low), 0, 1) * (depth < nearest + HIDDEN) * inside
    return Sight(pixels.astype(np.float32), share.astype(np.float32))


def read(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear values [N,D] of a picture [H,W,D], or [N] of [H,W], at pixels [N,2]; 8-bit ones become 0..1."""
    return _read(from_uint8(picture) if picture.dtype == np.uint8 else picture, pixels, cv2.INTER_LINEAR)


def _read(picture: np.ndarray, pixels: np.ndarray, method: int) -> np.ndarray:
    at = (pixels - 0.5).astype(np.float32).reshape(1, -1, 2)
    # OpenCV's maps are at most 32767 wide.
    parts = [
        cv2.remap(picture, at[:, i : i + 30000], None, method, borderMode=cv2.BORDER_REPLICATE)[0]
        for i in range(0, at.shape[1], 30000)
    ]
    return np.concatenate(parts)
