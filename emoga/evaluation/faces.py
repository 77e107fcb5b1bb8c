"""Faces cut out of pictures alike, for recognition networks: five points of the mesh onto five fixed places."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.head import Head

# Corners of the subject's right and left eye, tip of the nose, right and left corner of the mouth.
FIVE = ((33, 133), (362, 263), (1,), (61,), (291,))
# Where ArcFace's training put them in its 112 x 112 pictures.
PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
) / 112  # fmt: skip
MOST_FINE = 8


def five_points(head: Head, vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels [5,2] of eyes, nose and mouth corners of a posed mesh [V,3]."""
    marks = head.landmarks["mediapipe478"].points(torch.from_numpy(np.asarray(vertices, np.float64))).numpy()
    points = np.stack([marks[list(group)].mean(0) for group in FIVE])
    return camera.project(points)[0]


def cut_face(picture: np.ndarray, points: np.ndarray, size: int, zoom: float = 1.0) -> np.ndarray:
    """The face of a picture uint8 [H,W,3] with five pixels [5,2], as uint8 [size,size,3].

    Turned, scaled and moved by the similarity that takes the points nearest to ArcFace's places; zoom below 1 shows
    more around them. White where the picture ends.
    """
    matrix = similarity(points, ((PLACES - 0.5) * zoom + 0.5) * size)
    scale = math.hypot(*matrix[:, 0])
    # Drawn finer and averaged, so that shrinking does not alias.
    fine = min(MOST_FINE, max(1, math.ceil(1 / max(scale, 1e-6))))
    shift = np.array([0.5, 0.5])
    drawn = matrix * fine
    # Pixel centres lie at +0.5 here and at 0 in OpenCV.
    drawn[:, 2] += drawn[:, :2] @ shift - shift
    side = size * fine
    warped = cv2.warpAffine(picture, drawn, (side, side), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    return warped if fine == 1 else cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)


def similarity(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Matrix [2,3] of the turn, scale and shift that take points [N,2] nearest to places [N,2]."""
    a, b = (np.asarray(part, np.float64) @ [1, 1j] for part in (points, places))
    centred = a - a.mean()
    factor = (centred.conj() @ (b - b.mean())) / max(float((abs(centred) ** 2).sum()), 1e-12)
    shift = b.mean() - factor * a.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
