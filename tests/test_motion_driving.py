"""Driving another identity: neutrals swapped, lips shut where the driver's are, poses carried over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams, load_head
from emoga.motion import Motion
from emoga.motion.driving import Person, drive
from emoga.motion.lips import lip_gap
from emoga.motion.neutral import estimate_neutral

FPS = 25.0


@pytest.fixture(scope="module")
def head():
    return load_head("open")


def motion_of(head, params, name=None, checksum=None):
    return Motion(name or head.name, head.version, checksum or head.checksum, params, FPS)


def talk(head, frames=60, seed=0):
    """A mouth that opens and shuts, brows that rise now and then, blinks; the left brow is always raised."""
    rng = np.random.default_rng(seed)
    params = HeadParams.zeros(head, frames)
    time = np.arange(frames) / FPS
    jaw = np.maximum(0, np.sin(2 * np.pi * 2 * time)) * 0.4
    params.expr[:, head.unit("jawOpen")] = torch.from_numpy(jaw).float()
    params.expr[:, head.unit("browOuterUpLeft")] = 0.3
    params.expr[:, head.unit("browInnerUp")] = torch.from_numpy(rng.random(frames) < 0.1).float() * 0.6
    params.expr[:, head.unit("eyeBlinkLeft")] = torch.from_numpy(np.arange(frames) % 50 == 20).float()
    return params


def person(head, seed=3):
    torch.manual_seed(seed)
    neutral = torch.zeros(len(head.expr_names))
    neutral[head.unit("mouthSmileLeft")] = 0.2
    return Person(0.6 * torch.randn(len(head.shape_names)), neutral)


def test_lip_gap_grows_with_the_jaw(head):
    expr = torch.zeros(5, len(head.expr_names))
    expr[:, head.unit("jawOpen")] = torch.linspace(0, 1, 5)
    gap = lip_gap(head.identify(torch.zeros(len(head.shape_names))), expr)
    assert (gap.diff() > 0.003).all() and gap[0].abs() < 0.002 and gap[-1] > 0.02


def test_neutral_finds_the_resting_face_and_no_events(head):
    neutral = estimate_neutral(head, talk(head, 200))
    assert neutral[head.unit("browOuterUpLeft")] == pytest.approx(0.3, abs=0.05)
    assert neutral[head.unit("browInnerUp")] == 0 and neutral[head.unit("eyeBlinkLeft")] == 0
    assert neutral[head.unit("jawOpen")] < 0.02


def test_neutral_shrinks_when_frames_are_few(head):
    few, many = (estimate_neutral(head, talk(head, n))[head.unit("browOuterUpLeft")] for n in (2, 400))
    assert few < 0.1 < 0.28 < many


def test_calibration_swaps_neutrals(head):
    source, target = talk(head, 200), person(head)
    driven = drive(motion_of(head, source), head, target).expr
    resting = driven[source.expr[:, head.unit("jawOpen")] == 0]
    assert resting[:, head.unit("browOuterUpLeft")].max() < 0.05
    assert torch.allclose(resting[:, head.unit("mouthSmileLeft")], torch.tensor(0.2))
    plain = drive(motion_of(head, source), head, target, calibrate=False).expr
    assert torch.allclose(plain[:, head.unit("browOuterUpLeft")], torch.tensor(0.3))
    assert driven.min() >= 0 and driven.max() <= 1


def test_ones_own_motion_is_played_as_it_was_fitted(head):
    source = talk(head)
    source.expr[:, head.unit("jawOpen")] += 0.03  # lips that a tracker saw a little apart, and a fit agreed
    target = person(head)
    source.shape = target.shape
    assert torch.equal(drive(motion_of(head, source), head, target, calibrate=False).expr, source.expr)


def test_closed_lips_stay_closed_under_an_emotion_while_speaking(head):
    source, target = talk(head), person(head)
    offset = head.emotion("surprised")
    identity = head.identify(target.shape)
    driven = drive(motion_of(head, source), head, target, offset=offset)
    gap = lip_gap(identity, driven.expr) - lip_gap(identity, target.neutral[None])
    shut = source.expr[:, head.unit("jawOpen")] == 0
    assert gap[shut].max() < 0.0006
    naive = (source.expr + offset).clamp(0, 1)
    assert (lip_gap(identity, naive) - lip_gap(identity, target.neutral[None]))[shut].min() > 0.005
    assert gap[~shut].max() > 0.02, "open mouths stay open"


def test_a_driver_who_never_shuts_his_mouth_stays_open(head):
    source, target = HeadParams.zeros(head, 30), person(head)
    source.expr[:, head.unit("jawOpen")] = 0.4
    driven = drive(motion_of(head, source), head, target)
    assert driven.expr[:, head.unit("jawOpen")].min() > 0.39


def test_an_emotion_may_open_the_mouth_of_a_silent_face(head):
    target = person(head)
    driven = drive(
        motion_of(head, HeadParams.zeros(head, 30)), head, target, offset=head.emotion("surprised")
    )
    assert driven.expr[:, head.unit("jawOpen")].min() > 0.3


def test_widened_eyes_still_close_in_a_blink(head):
    source = talk(head)
    driven = drive(motion_of(head, source), head, person(head), offset=head.emotion("surprised")).expr
    blinking = source.expr[:, head.unit("eyeBlinkLeft")] == 1
    wide = driven[:, head.unit("eyeWideLeft")]
    assert blinking.any() and wide[blinking].max() < 1e-6 and wide[~blinking].min() > 0.5


def turned(head, seed, frames=40):
    torch.manual_seed(seed)
    params = HeadParams.zeros(head, frames)
    base = torch.tensor([0.2, 0.5, -0.1])
    params.rotation = base + 0.1 * torch.randn(frames, 3)
    params.neck = 0.05 + 0.02 * torch.randn(frames, 3)
    params.translation = torch.tensor([0.3, 0.1, -1.0]) + 0.01 * torch.randn(frames, 3)
    return params


def test_relative_pose_keeps_the_movement_and_takes_the_persons_place(head):
    own = motion_of(head, turned(head, 1))
    target = Person(torch.zeros(len(head.shape_names)), torch.zeros(len(head.expr_names)), None, own)
    source = turned(head, 2)
    driven = drive(motion_of(head, source), head, target)
    assert torch.allclose(driven.translation.mean(0), own.params.translation.mean(0), atol=1e-5)
    assert torch.allclose(driven.neck.mean(0), own.params.neck.mean(0), atol=1e-6)
    before, after = axis_angle_to_matrix(source.rotation), axis_angle_to_matrix(driven.rotation)
    step_before, step_after = before[0].T @ before[7], after[0].T @ after[7]
    assert torch.allclose(step_before, step_after, atol=1e-5), "movement in the head's own axes is the same"
    again = drive(own, head, target)
    assert torch.allclose(
        axis_angle_to_matrix(again.rotation), axis_angle_to_matrix(own.params.rotation), atol=1e-5
    ), "one's own motion stays where it was"


def test_first_frame_reference_starts_at_the_persons_place(head):
    target = person(head)
    driven = drive(motion_of(head, turned(head, 2)), head, target, reference="first")
    assert driven.rotation[0].abs().max() < 1e-4 and driven.translation[0].abs().max() < 1e-6


def test_absolute_and_still_poses(head):
    source, target = turned(head, 2), person(head)
    assert torch.equal(
        drive(motion_of(head, source), head, target, pose="absolute").rotation, source.rotation
    )
    still = drive(motion_of(head, source), head, target, pose="still")
    assert still.rotation.abs().max() == 0 and still.translation.abs().max() == 0
    with pytest.raises(InputError, match="sideways"):
        drive(motion_of(head, source), head, target, pose="sideways")


def test_motion_of_another_head_is_refused(head):
    params = HeadParams.zeros(head, 2)
    with pytest.raises(InputError, match="flame2020"):
        drive(motion_of(head, params, name="flame2020"), head, person(head))
    with pytest.raises(InputError, match="version"):
        drive(motion_of(head, params, checksum="0" * 64), head, person(head))
