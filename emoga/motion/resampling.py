"""Head parameters between frames."""

from __future__ import annotations

import numpy as np
import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quat, quat_to_matrix
from emoga.head import HeadParams

LINEAR = ("expr", "translation", "eyes")
ROTATIONS = ("rotation", "neck", "jaw")


def interpolate_params(params: HeadParams, positions: np.ndarray) -> HeadParams:
    """`params` of T frames at fractional frame positions [P], held at both ends.

    Rotations go the short way on the sphere of quaternions, so a head seen by a turned camera, whose
    rotation is near half a turn, does not jump.
    """
    last = params.expr.shape[0] - 1
    positions = np.clip(positions, 0, last)
    low = np.minimum(np.floor(positions).astype(np.int64), max(last - 1, 0))
    high = np.minimum(low + 1, last)
    blend = torch.from_numpy((positions - low).astype(np.float32))[:, None].to(params.expr)
    before, after = params.select(torch.from_numpy(low)), params.select(torch.from_numpy(high))
    for name in LINEAR:
        setattr(before, name, torch.lerp(getattr(before, name), getattr(after, name), blend))
    for name in ROTATIONS:
        setattr(before, name, _between(getattr(before, name), getattr(after, name), blend))
    return before


def _between(low: torch.Tensor, high: torch.Tensor, blend: torch.Tensor) -> torch.Tensor:
    """Axis-angle [P,3] between low and high [P,3]; exactly `low` where blend is 0."""
    a, b = (matrix_to_quat(axis_angle_to_matrix(turn)) for turn in (low, high))
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)
    mixed = matrix_to_axis_angle(quat_to_matrix(torch.lerp(a, b, blend)))
    return torch.where(blend == 0, low, mixed)
