"""A head's turn divided between neck and torso: the same head over a torso that is turned otherwise."""

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
