"""Landmark error: how far a posed head's landmarks lie from reference landmarks in the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture.landmarks import Landmarks
from emoga.geometry import vertex_normals
from emoga.head import Head, HeadParams

IRIS_START = {"mediapipe478": 468, "ibug68": 68}


@dataclass(frozen=True)
class LandmarkError:
    """mean_px in pixels, mean_relative as a share of the face height, over points_used points."""

    mean_px: float
    mean_relative: float
    points_used: int


def landmark_error(points: np.ndarray, facing: np.ndarray, reference: Landmarks) -> LandmarkError:
    """2D distance of points [C,T,L,2] pixels to the reference, over valid frames and facing [C,T,L] points.

    Irises do not count. NaN when no point is left.
    """
    count = IRIS_START[reference.scheme]
    used = (facing & reference.valid[..., None])[..., :count]
    distance = np.linalg.norm(points[..., :count, :] - reference.points[..., :count, :], axis=-1)[used]
    if not len(distance):
        return LandmarkError(float("nan"), float("nan"), 0)
    mean = float(distance.mean())
    height = reference.face_height() if reference.scheme == "mediapipe478" else float("nan")
    return LandmarkError(mean, mean / height, len(distance))


@torch.no_grad()
def project_landmarks(
    head: Head, params: HeadParams, cameras: Sequence[Camera], scheme: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [C,T,L,2] of the landmarks in every camera and frame, and whether they face it [C,T,L]."""
    vertices = head.vertices(params)
    embedding = head.landmarks[scheme]
    points = embedding.points(vertices).double().cpu().numpy()
    normals = embedding.points(vertex_normals(vertices, head.faces)).double().cpu().numpy()
    pixels = np.stack([camera.project(points)[0] for camera in cameras])
    facing = np.stack([((camera.position - points) * normals).sum(-1) > 0 for camera in cameras])
    return pixels, facing
