"""How well the training pictures show each part of the head."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import Camera
from emoga.head import Head
from emoga.optimize.regions import visible_faces

GRAZING = 0.12  # cosine below which a triangle counts as hidden: the rim's pixels mostly show what is behind


def shown_squarely(head: Head, posed: list[tuple[torch.Tensor, Camera]]) -> np.ndarray:
    """For every triangle [F] the largest cosine at which a picture shows it, 0 where none does.

    posed: for each picture the head's vertices [V,3] and the camera. The cosine is that between the triangle's
    normal and the direction to the camera: 1 seen head-on, near 0 at the rim.
    """
    best = np.zeros(len(head.faces))
    for vertices, camera in posed:
        index = np.unique(visible_faces(head, vertices, camera))
        index = index[index >= 0]
        best[index] = np.maximum(best[index], facing_cosines(head, vertices, camera)[index])
    return best


def facing_cosines(head: Head, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    """Cosine [F] between each triangle's normal and the direction to the camera; vertices [V,3]."""
    corners = vertices.double().numpy()[head.faces.numpy()]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = camera.position - corners.mean(1)
    size = np.linalg.norm(normals, axis=1) * np.linalg.norm(towards, axis=1)
    return (normals * towards).sum(1) / np.maximum(size, 1e-12)
