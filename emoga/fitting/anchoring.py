"""Tell the head's turns from the shoulders': what a single camera's track leaves to the whole bust."""

from __future__ import annotations

from emoga.geometry import axis_angle_to_matrix, nearest_rotation
from emoga.head import Head, HeadParams, over_torso


def anchor_shoulders(head: Head, params: HeadParams, frames: list[int]) -> HeadParams:
    """The same head poses with the bust held at its mean turn over `frames`, the rest given to the neck.

    Above the neck nothing moves; below it the shoulders no longer turn with the head, they only follow the
    neck's foot. A single camera sees the head well and the shoulders hardly: to hold them still is the
    better guess.
    """
    identity = head.identify(params.shape, params.static_offset)
    bust = nearest_rotation(axis_angle_to_matrix(params.rotation)[frames].mean(0))
    return over_torso(params, bust, identity.joints[0])
