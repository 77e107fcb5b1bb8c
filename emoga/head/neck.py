"""A head's turn divided between neck and torso: another torso below the same head, or another turn of the head."""

from __future__ import annotations

from dataclasses import replace

import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head.params import HeadParams


def over_torso(params: HeadParams, torso: torch.Tensor, joint: torch.Tensor) -> HeadParams:
    """The same head poses over torsos turned [T,3,3], or one [3,3] that stays; joint [3]: the neck's, metres.

    All turns meet in that joint: what follows the neck alone stays where it is, but for pose correctives.
    """
    before = axis_angle_to_matrix(params.rotation)
    neck = torso.mT @ before @ axis_angle_to_matrix(params.neck)
    return replace(
        params,
        rotation=matrix_to_axis_angle(torso.expand_as(before)),
        neck=matrix_to_axis_angle(neck),
        translation=params.translation + (before - torso) @ joint,
    )


def turned_to(params: HeadParams, head: torch.Tensor) -> HeadParams:
    """The same torsos under heads whose turn in the world is head [T,3,3], or one [3,3]; the neck does it all."""
    torso = axis_angle_to_matrix(params.rotation)
    return replace(params, neck=matrix_to_axis_angle(torso.mT @ head))


def turn_of_head(params: HeadParams) -> torch.Tensor:
    """How heads are turned in the world, [T,3,3]."""
    return axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck)


def pitch_and_yaw(pitch: float, yaw: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The turn [3,3] about the world's x and y at once, by degrees along each."""
    return axis_angle_to_matrix(torch.deg2rad(torch.tensor([pitch, yaw, 0.0], dtype=dtype)))
