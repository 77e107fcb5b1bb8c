"""Which places on a head a picture shows, and which of the seen ones tell about those that nobody saw."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.camera import Camera
from emoga.head import Head
from emoga.optimize.regions import visible_faces

BEHIND = 0.012  # metres behind the mesh at which a point counts as hidden
NEIGHBOURS = 12  # places that tell about one nobody saw
NEAR = 0.008  # metres within which such places count alike


def unhidden(
    head: Head, vertices: torch.Tensor, points: torch.Tensor, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of points [N,3] that the camera sees beside or before the mesh [V,3], their pixels' columns and lines."""
    pixels, depth = camera.project(points.double().numpy())
    columns, lines = (np.floor(pixels[:, axis]).astype(int) for axis in (0, 1))
    within = (columns >= 0) & (columns < camera.width) & (lines >= 0) & (lines < camera.height)
    rows = np.flatnonzero(within & (depth > 0))
    columns, lines = columns[rows], lines[rows]
    _, vertex_depth = camera.project(vertices.double().numpy())
    index = visible_faces(head, vertices, camera)[lines, columns]
    face_depth = vertex_depth[head.faces.numpy()[np.maximum(index, 0)]].mean(1)
    shown = depth[rows] < np.where(index >= 0, face_depth, np.inf) + BEHIND
    return rows[shown], columns[shown], lines[shown]


def told_by_seen(head: Head, triangles: np.ndarray, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What is likely at places on `triangles` [M] nobody saw: `known` [K,D] of places on triangles `seen` [K].

    A head is much alike left and right, so places count wherever they or their mirror images are near. [M,D]
    """
    corners = head.template.double().numpy()[head.faces.numpy()]
    places = corners.mean(1)
    mirrored = places[seen] * np.array([-1.0, 1.0, 1.0])
    distance, nearest = cKDTree(np.concatenate([places[seen], mirrored])).query(
        places[triangles], np.arange(1, min(NEIGHBOURS, 2 * len(seen)) + 1)
    )
    weight = 1 / (distance**2 + NEAR**2)
    return (weight[..., None] * known[nearest % len(seen)]).sum(1) / weight.sum(1, keepdims=True)
