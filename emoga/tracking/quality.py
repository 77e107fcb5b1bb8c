"""How good a track is: landmark errors per frame and the figures of the report."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.head import Head
from emoga.optimize.solving_landmarks import facing, project
from emoga.optimize.solving_points import landmark_points
from emoga.tracking.trust import irises, rims

FACES_CAMERA = 0.1  # cosine above which a landmark counts as facing the camera


def landmark_errors(track: Track, head: Head, vertices: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """2D distance [C,T,L] in pixels between model and detector, and which count; vertices [T,V,3].

    Those count that face the camera in valid frames and are no irises.
    """
    points = landmark_points(head, track.landmarks.scheme)
    viewmats, Ks = stack_cameras(track.cameras, dtype=torch.float64)
    vertices = vertices.double()
    pixels, _ = project(points.on_mesh(vertices), viewmats, Ks, 0.0)
    error = np.linalg.norm(pixels.numpy() - track.landmarks.points, axis=-1)
    seen = facing(head, points, vertices, viewmats, rims(track.landmarks.scheme)).numpy() > FACES_CAMERA
    counts = seen & track.landmarks.valid[..., None] & ~irises(track.landmarks.scheme).numpy()
    return error, counts


def landmark_figures(error: np.ndarray, counts: np.ndarray, face_height: float | None) -> dict[str, float]:
    """mean_px, mean_relative (to the face height, when the scheme defines it) and points_used."""
    mean = float(error[counts].mean()) if counts.any() else float("nan")
    figures = {"mean_px": mean, "points_used": int(counts.sum())}
    if face_height:
        figures["mean_relative"] = mean / face_height
    return figures


def error_per_frame(error: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean error [C,T]; NaN where nothing counts."""
    total, number = np.where(counts, error, 0).sum(-1), counts.sum(-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
