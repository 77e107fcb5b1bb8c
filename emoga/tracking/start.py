"""Where to begin: cameras for an uncalibrated video and a rigid pose per frame."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Landmarks
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle

Pose = tuple[np.ndarray, np.ndarray]  # axis-angle [3] and translation [3] metres of a head in the world
USUAL_DISTANCE = 0.85  # metres between head and camera in a single video, before anything is known


def guess_camera(
    landmarks: Landmarks, model: np.ndarray, width: int, height: int, fov: float | None, name: str
) -> Camera:
    """A camera on the world's +z axis looking at the head; `fov` is vertical, in degrees.

    Without `fov` the focal length is what makes the face model [L,3] at a usual distance as large as the landmarks.
    """
    if fov is not None:
        if not 1 < fov < 150:
            raise InputError(f"--fov {fov:g}: give the vertical field of view in degrees, between 1 and 150")
        focal = height / (2 * np.tan(np.radians(fov) / 2))
    else:
        points = landmarks.points[landmarks.valid]
        span = float(np.median(np.ptp(points[..., 1], axis=1)))
        focal = max(span, 4.0) * USUAL_DISTANCE / float(np.ptp(model[:, 1]))
        # Whatever the crop, portraits are hardly taken wider than 60 or narrower than 8 degrees.
        focal = float(np.clip(focal, 0.87 * height, 7.2 * height))
    w2c = np.diag([1.0, -1.0, -1.0, 1.0])
    w2c[2, 3] = USUAL_DISTANCE
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(K, w2c, width, height, name)


def rigid_poses(
    cameras: list[Camera], landmarks: Landmarks, views: list[int], model: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Axis-angle [T,3] and translation [T,3] of a rigid face model [L,3]; gaps are bridged."""
    count = landmarks.valid.shape[1]
    rotation, translation = np.zeros((count, 3)), np.zeros((count, 3))
    found = np.zeros(count, bool)
    for frame in range(count):
        seen = [view for view in views if landmarks.valid[view, frame]]
        options = [pose_from_view(cameras[v], landmarks.points[v, frame], model) for v in seen]
        options = [option for option in options if option is not None]
        if options:
            errors = [_disagreement(option, cameras, landmarks, seen, frame, model) for option in options]
            rotation[frame], translation[frame] = options[int(np.argmin(errors))]
            found[frame] = True
    if not found.any():
        raise InputError("the landmarks fit no head in any frame; check that they belong to these pictures")
    return _bridge(torch.from_numpy(rotation), torch.from_numpy(translation), found)


def pose_from_view(camera: Camera, points: np.ndarray, model: np.ndarray) -> Pose | None:
    """The head's pose in the world from one view's points [L,2], or None when there is none before it."""
    pixels = points.astype(np.float64)
    good, turn, shift = cv2.solvePnP(model, pixels, camera.K, None, flags=cv2.SOLVEPNP_SQPNP)
    if not good or not np.isfinite(turn).all() or shift[2, 0] <= 0.05:
        return None
    turn, shift = cv2.solvePnPRefineLM(model, pixels, camera.K, None, turn, shift)
    local = torch.from_numpy(cv2.Rodrigues(turn)[0])
    to_world = torch.from_numpy(camera.w2c[:3, :3].T.copy())
    world = matrix_to_axis_angle((to_world @ local)[None])[0].numpy()
    return world, camera.w2c[:3, :3].T @ (shift[:, 0] - camera.w2c[:3, 3])


def _disagreement(
    pose: Pose,
    cameras: list[Camera],
    landmarks: Landmarks,
    seen: list[int],
    frame: int,
    model: np.ndarray,
) -> float:
    """Median reprojection error in pixels, averaged over the views that see a face."""
    turn = axis_angle_to_matrix(torch.from_numpy(pose[0])).numpy()
    world = model @ turn.T + pose[1]
    errors = []
    for view in seen:
        pixels, depth = cameras[view].project(world)
        error = np.linalg.norm(pixels - landmarks.points[view, frame], axis=-1)
        errors.append(np.median(error) if (depth > 0).all() else 1e6)
    return float(np.mean(errors))


def _bridge(
    rotation: torch.Tensor, translation: torch.Tensor, found: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill frames without a pose from their neighbours in time."""
    known = np.flatnonzero(found)
    # Turns are interpolated relative to a middle frame, so that none of them comes near a half turn.
    middle = axis_angle_to_matrix(rotation[known[len(known) // 2]])
    relative = matrix_to_axis_angle(axis_angle_to_matrix(rotation) @ middle.T).numpy()
    at = np.arange(len(found))
    turn = np.stack([np.interp(at, known, relative[known, axis]) for axis in range(3)], 1)
    shift = np.stack([np.interp(at, known, translation.numpy()[known, axis]) for axis in range(3)], 1)
    filled = axis_angle_to_matrix(torch.from_numpy(turn)) @ middle
    keep = torch.from_numpy(found)[:, None]
    rotation = torch.where(keep, rotation, matrix_to_axis_angle(filled))
    return rotation, torch.where(keep, translation, torch.from_numpy(shift))
