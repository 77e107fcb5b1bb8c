"""What registration takes off a motion, measured where the motion is known, and offsets made up for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from smiling import SIZE, edits_of, smile, talking_person

from emoga.emotion.learning import Learning, learn_emotions
from emoga.emotion.learning.performing import Frames
from emoga.emotion.learning.registration import Registration
from emoga.emotion.learning.shortening import (
    LEAST,
    carried,
    known_motion,
    lengthened,
    made_whole,
    next_frames,
    share_found,
)
from emoga.emotion.learning.surface import skin_points
from emoga.emotion.learning.task import Priors, Task
from emoga.head import load_head
from emoga.images import from_uint8
from emoga.optimize.frame_params import frame_params
from emoga.progress import Stage

SHY = Priors(spread=0.5, near=0.1)  # so little motion expected that registration stops half way


@pytest.fixture(scope="module")
def person():
    return talking_person()


@pytest.fixture(scope="module")
def task(person):
    """Pictures of a smile, of two of the views, which somebody who hardly believes in motion registers."""
    avatar, track = person
    edits = edits_of(person)
    kept = np.flatnonzero(np.isin(edits.views, (1, 2)))
    parts = ("views", "frames", "captured", "edited", "masks")
    edits = replace(edits, **{name: getattr(edits, name)[kept] for name in parts})
    frames = Frames.of(avatar, frame_params(avatar, track), [0, 1, 2], track.fps)
    head = load_head("open")
    surface = skin_points(head, rest_of(frames), 1500)
    units = len(head.expr_names)
    bounds = np.zeros(units), np.where(smile().numpy() > 0, 1.0, 0.0)
    return Task(surface, frames, track.cameras, edits, edits.pairs, np.full(units, 4.0), bounds, SHY)


def rest_of(frames):
    return frames.puppet.identity.rest.double().numpy()


@pytest.fixture(scope="module")
def registration(task):
    begun = Registration.begin([task], rest_of(task.frames), unwinding=False)
    begun.run()
    return begun


def test_an_offset_found_too_short_comes_out_nearer_the_known_one(task, registration):
    found = registration.found[0]
    before = share_found(task, smile(), found.offset)
    assert before < 0.8, "the scene has to shorten, or nothing is tested"
    longer = lengthened(registration, rest_of(task.frames))[0]
    after = share_found(task, smile(), longer.offset)
    assert before + 0.02 < after < 1
    assert torch.allclose(
        longer.offset * (found.offset.norm() / longer.offset.norm()), found.offset, atol=1e-6
    )
    assert longer.strengths is found.strengths and longer.trust is found.trust
    again = lengthened(registration, rest_of(task.frames))[0]
    assert torch.equal(again.offset, longer.offset)


def test_lengths_stay_within_bounds_and_wild_measurements_are_not_believed(task):
    low, high = (end.copy() for end in task.bounds)
    high[:2], low[2] = (0.5, 1.0), -0.2
    bounded = replace(task, bounds=(low, high))
    offset = torch.zeros(len(low))
    offset[:3] = torch.tensor([0.45, 0.45, -0.19])
    assert made_whole(bounded, offset, 0.9)[:3].tolist() == pytest.approx([0.5, 0.5, -0.2])
    assert made_whole(bounded, offset, 0.1)[1] == pytest.approx(0.45 / LEAST)
    assert torch.equal(made_whole(bounded, offset, 1.3), offset), "what was found too long is left"
    assert share_found(task, torch.zeros(len(low)), smile()) == 1


def test_where_nothing_was_found_nothing_is_measured(task):
    begun = Registration.begin([task], rest_of(task.frames), unwinding=True)
    told = []
    assert lengthened(begun, rest_of(task.frames), told.append)[0] is begun.found[0]
    assert told == []


def test_the_known_motion_has_the_errors_of_other_frames(task, registration):
    """With perfect edits of a motion known in full, what is made up of captured pictures is what the edits show."""
    full = replace(registration.found[0], offset=smile(), strengths=np.ones(len(task.pairs)))
    still = Registration([task], [full], registration.strangeness, registration.face)
    still.before = registration.before
    made = known_motion(still, 0).edits.edited
    wrong, asis = (
        np.abs(from_uint8(pictures) - from_uint8(task.edits.edited)).mean()
        for pictures in (made, task.edits.captured)
    )
    assert wrong < 0.6 * asis
    weights = np.random.default_rng(0).random(task.edits.masks.shape).astype(np.float32)
    still.tasks = [replace(task, given=weights)]
    others = next_frames([view for view, _ in task.pairs])
    assert np.array_equal(known_motion(still, 0).given, weights[others]), (
        "weights go with the errors they are for"
    )


def test_a_picture_is_carried_as_its_mesh_moves(task):
    before, after = (task.frames.vertices(offset)[0] for offset in (0 * smile(), smile()))
    camera, faces = task.cameras[1], task.surface.faces
    (p,) = (i for i, pair in enumerate(task.pairs) if pair == (1, 0))
    captured, edited = (from_uint8(pictures[p]) for pictures in (task.edits.captured, task.edits.edited))
    moved = carried(captured, before, after, faces, camera)
    assert np.abs(moved - edited).mean() < 0.5 * np.abs(captured - edited).mean()
    same = carried(captured, before, before, faces, camera)
    assert np.abs(same - captured).max() < 1e-3
    assert np.array_equal(moved[:, : SIZE // 20], captured[:, : SIZE // 20]), (
        "beside the mesh a picture stays"
    )


def test_the_next_frame_is_one_of_the_same_view():
    assert next_frames([5, 9, 5, 9, 5, 2]).tolist() == [2, 3, 4, 1, 0, 5]


def test_it_can_be_left_out(person, task):
    stages = []
    short = Learning(iterations=1, cycles=1, batch=1, texture=False, lengthened=False)
    learn_emotions(*person, [task.edits], short, report=stages.append)
    names = [event.name for event in stages if isinstance(event, Stage)]
    assert names == ["what the edits move", "learn emotions"]
