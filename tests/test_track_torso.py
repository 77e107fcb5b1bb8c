"""A head's turn is given to its neck as far as its torso stays behind: faces stay, neck and shoulders come right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams, over_torso
from emoga.tracking.torso import REACH, torso_turns

FPS = 25.0


def speech(head: Head, frames: int = 50) -> HeadParams:
    """Somebody who sits a little aside, looks left and right by the neck, and sways slightly."""
    t = torch.linspace(0, 6.28, frames, dtype=torch.float64)
    params = HeadParams.zeros(head, frames, torch.float64)
    params.neck = torch.stack([0.08 * torch.sin(2 * t), 0.25 * torch.sin(t), 0.05 * torch.cos(t)], 1)
    params.rotation = torch.stack([0.02 * torch.sin(3 * t), 0.3 + 0.02 * torch.cos(t), 0 * t], 1)
    params.translation = torch.stack([0.01 * torch.sin(t), 0 * t, 1 + 0 * t], 1)
    return params


def swung(params: HeadParams, joint: torch.Tensor) -> HeadParams:
    """As landmarks alone leave it: the same heads, turned by the torso."""
    return over_torso(
        params, axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck), joint
    )


def turned_back(params: HeadParams, joint: torch.Tensor) -> HeadParams:
    return over_torso(
        params, torso_turns(params, np.arange(params.frames) / FPS, range(params.frames)), joint
    )


def test_the_face_stays_and_the_shoulders_come_to_rest(head):
    truth = speech(head)
    joint = head.identify(truth.shape).joints[0]
    tracked = swung(truth, joint)
    assert tracked.neck.abs().max() < 1e-9
    found = turned_back(tracked, joint)
    right, before, now = (head.vertices(one) for one in (truth, tracked, found))
    face = head.regions["face"]
    torch.testing.assert_close(now[:, face], right[:, face], rtol=0, atol=1e-8)
    for region, share in (("neck", 0.5), ("shoulders", 0.35)):
        off_before, off = (
            (one - right)[:, head.regions[region]].norm(dim=-1).mean() for one in (before, now)
        )
        assert off < share * off_before, region


def test_a_spinning_chair_turns_the_torso(head):
    """A whole turn in three seconds: necks reach as far as necks do, and the head is where it was."""
    params = HeadParams.zeros(head, 75, torch.float64)
    params.rotation = torch.zeros(75, 3, dtype=torch.float64)
    angle = torch.linspace(0, 2 * np.pi, 75, dtype=torch.float64)
    params.rotation[:, 1] = angle
    params.rotation = matrix_to_axis_angle(axis_angle_to_matrix(params.rotation))
    joint = head.identify(params.shape).joints[0]
    found = turned_back(params, joint)
    assert found.neck.norm(dim=1).max() < REACH + 1e-6
    face = head.regions["face"]
    torch.testing.assert_close(
        head.vertices(found)[:, face], head.vertices(params)[:, face], rtol=0, atol=1e-8
    )


def test_a_torso_follows_a_head_that_stays_turned(head):
    """Ten seconds ahead, ten seconds to the side: in the middle of either the neck is straight."""
    params = HeadParams.zeros(head, 500, torch.float64)
    params.rotation = params.rotation.clone()
    params.rotation[250:, 1] = 0.6
    found = turned_back(params, head.identify(params.shape).joints[0])
    assert found.neck[[0, 125, 375, 499]].norm(dim=1).max() < 0.01
    assert found.neck[[245, 254]].norm(dim=1).min() > 0.2


def test_frames_left_out_count_as_time(head):
    """Turns far apart in time do not share a torso, however near their frames lie in the list."""
    params = HeadParams.zeros(head, 2, torch.float64)
    params = replace(params, rotation=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]], dtype=torch.float64))
    near = torso_turns(params, np.array([0.0, 0.04]), [0, 1])
    far = torso_turns(params, np.array([0.0, 20.0]), [0, 1])
    torch.testing.assert_close(
        matrix_to_axis_angle(near)[:, 1], torch.full((2,), 0.25).double(), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(matrix_to_axis_angle(far), params.rotation, atol=1e-6, rtol=0)


def test_frames_that_are_held_out_tell_others_nothing(head):
    """A glance in held-out frames moves no other torso; theirs is what training frames say, however long ago."""
    params = speech(head)
    glancing = replace(params, rotation=params.rotation.clone())
    glancing.rotation[40:, 1] += 0.3
    seconds = np.arange(50) / FPS + 600.0 * (np.arange(50) >= 40)
    known = range(40)
    calm, moved = (torso_turns(one, seconds, known) for one in (params, glancing))
    torch.testing.assert_close(moved[:40], calm[:40], rtol=0, atol=0)
    last = axis_angle_to_matrix(params.rotation[39]) @ axis_angle_to_matrix(params.neck[39])
    torch.testing.assert_close(moved[40:], last.expand(10, 3, 3), rtol=0, atol=1e-3)
