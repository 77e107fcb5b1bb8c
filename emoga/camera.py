"""Pinhole cameras: OpenCV axes (x right, y down, z forward), pixel centres at +0.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True)
class Camera:
    """One calibrated view.

    K [3,3] in pixels, w2c [4,4] world (metres) to camera, float64; width and height in pixels.
    """

    K: np.ndarray
    w2c: np.ndarray
    width: int
    height: int
    name: str = "camera"

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", np.asarray(self.K, np.float64).reshape(3, 3))
        object.__setattr__(self, "w2c", np.asarray(self.w2c, np.float64).reshape(4, 4))

    @property
    def position(self) -> np.ndarray:
        """Centre of projection in the world, [3] metres."""
        return -self.w2c[:3, :3].T @ self.w2c[:3, 3]

    @property
    def fov_y(self) -> float:
        """Vertical field of view in radians."""
        return float(2 * np.arctan(self.height / (2 * self.K[1, 1])))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [...,3] to pixels [...,2] and depth along the axis [...]."""
        local = points @ self.w2c[:3, :3].T + self.w2c[:3, 3]
        depth = local[..., 2]
        homogeneous = local @ self.K.T
        return homogeneous[..., :2] / homogeneous[..., 2:3], depth

    def resized(self, width: int, height: int) -> Camera:
        """The same view sampled at another resolution."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, K=scale @ self.K, width=width, height=height)


def look_at(
    position: Sequence[float],
    target: Sequence[float],
    fov_y: float,
    width: int,
    height: int,
    up: Sequence[float] = (0.0, 1.0, 0.0),
    name: str = "camera",
) -> Camera:
    """A camera at `position` (metres) facing `target`; `fov_y` in radians, world +y up by default."""
    eye = np.asarray(position, np.float64)
    forward = np.asarray(target, np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, np.asarray(up, np.float64))
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    w2c = np.eye(4)
    w2c[:3, :3] = rotation
    w2c[:3, 3] = -rotation @ eye
    focal = height / (2 * np.tan(fov_y / 2))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(K, w2c, width, height, name)


def stack_cameras(
    cameras: Sequence[Camera], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """viewmats [C,4,4] and Ks [C,3,3] of cameras that share one size."""
    viewmats = torch.as_tensor(np.stack([camera.w2c for camera in cameras]), device=device, dtype=dtype)
    Ks = torch.as_tensor(np.stack([camera.K for camera in cameras]), device=device, dtype=dtype)
    return viewmats, Ks


def project_points(points: torch.Tensor, viewmats: torch.Tensor, Ks: torch.Tensor) -> torch.Tensor:
    """World points [...,N,3] by viewmats [...,4,4] and Ks [...,3,3] to pixels [...,N,2]; differentiable."""
    local = points @ viewmats[..., :3, :3].transpose(-1, -2) + viewmats[..., None, :3, 3]
    homogeneous = local @ Ks.transpose(-1, -2)
    # Points beside or behind the camera must not divide by zero while an optimiser finds its way.
    depth = homogeneous[..., 2:3].clamp_min(1e-3)
    return homogeneous[..., :2] / depth
