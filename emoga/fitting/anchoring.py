"""Tell the head's turns from the shoulders': what a single camera's track leaves to the whole bust."""

from __future__ import annotations

from dataclasses import replace

import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams


def anchor_shoulders(head: Head, params: HeadParams, frames: list[int]) -> HeadParams:
    """The same head poses with the bust held at its mean turn over `frames`, the rest given to the neck.

    Above the neck nothing moves; below it the shoulders no longer turn with the head, they only follow the
    neck's foot. A single camera sees the head well and the shoulders hardly: to hold them still is the
    better guess.
    """
    identity = head.identify(params.shape, params.static_offset)
    joint = identity.joints[0]
    turn, neck = axis_angle_to_matrix(params.rotation), axis_angle_to_matrix(params.neck)
    u, _, vh = torch.linalg.svd(turn[frames].mean(0))
    bust = u @ vh
    translation = turn @ joint + params.translation - bust @ joint
    return replace(
        params,
        rotation=matrix_to_axis_angle(bust).expand_as(params.rotation).clone(),
        neck=matrix_to_axis_angle(bust.mT @ turn @ neck),
        translation=translation,
    )
