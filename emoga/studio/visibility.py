"""Which point of a mesh each pixel shows, and how much of a pixel is clothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.camera import Camera
from emoga.triangles import rasterize_faces

SUBPIXELS = 4


@dataclass(frozen=True)
class Shown:
    """What a camera sees of a mesh: face [H,W], -1 where nothing, and perspective-true bary [H,W,3]."""

    face: np.ndarray
    bary: np.ndarray

    def sample(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Per-vertex values [V,D] at the pixels, [H,W,D]; those of face 0's corner where nothing is shown."""
        corners = values[faces[np.maximum(self.face, 0)]]
        return np.einsum("hwk,hwkd->hwd", self.bary, corners)


def show(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> Shown:
    """Rasterise a mesh (vertices [V,3], faces [F,3]) as seen by a camera."""
    face, bary = _rasterize(vertices, faces, camera)
    return Shown(face, np.where(face[..., None] < 0, [1.0, 0.0, 0.0], bary))


def clothing_share(
    skin: tuple[np.ndarray, np.ndarray], cloth: tuple[np.ndarray, np.ndarray], camera: Camera
) -> np.ndarray:
    """Share [H,W] in 0..1 of what each pixel shows of the two meshes (vertices, faces) that is cloth."""
    fine = camera.resized(camera.width * SUBPIXELS, camera.height * SUBPIXELS)
    vertices = np.concatenate([skin[0], cloth[0]])
    face, _ = _rasterize(vertices, np.concatenate([skin[1], cloth[1] + len(skin[0])]), fine)
    blocks = face.reshape(camera.height, SUBPIXELS, camera.width, SUBPIXELS)
    seen = (blocks >= 0).sum((1, 3))
    return (blocks >= len(skin[1])).sum((1, 3)) / np.maximum(seen, 1)


def _rasterize(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Face [H,W] int32, -1 where nothing is seen, and bary [H,W,3] float64."""
    points = vertices @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    return rasterize_faces(points, faces, camera.K, camera.width, camera.height, dtype=np.float64)[:2]
