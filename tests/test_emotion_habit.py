"""What all emotions share beyond their words is the editor's: found where several tell, taken out of all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from smiling import edits_of, talking_person

from emoga.emotion.learning.habit import habit_of, shed_habit, strength_of
from emoga.emotion.learning.performing import Frames
from emoga.emotion.learning.registration import Registration
from emoga.emotion.learning.surface import skin_points
from emoga.emotion.learning.task import Priors, Registered, Task
from emoga.head import load_head
from emoga.optimize.frame_params import frame_params

HEAD = load_head("open")
NAMES = ("happy", "sad", "angry", "surprised")
PUFF = HEAD.unit("cheekPuff")  # of none of the four
MOTION = np.linspace(2.0, 9.0, len(HEAD.expr_names))


@pytest.fixture(scope="module")
def person():
    return talking_person()


@pytest.fixture(scope="module")
def tasks(person) -> list[Task]:
    avatar, track = person
    frames = Frames.of(avatar, frame_params(avatar, track), [0, 1, 2], track.fps)
    surface = skin_points(HEAD, frames.puppet.identity.rest.double().numpy(), 800)
    edits = edits_of(person)
    bounds = np.zeros(len(MOTION)), np.ones(len(MOTION))
    return [
        Task(
            surface, frames, track.cameras, edits, edits.pairs, MOTION, bounds, Priors(),
            meant=HEAD.emotion(name).double().numpy(),
        )
        for name in NAMES
    ]  # fmt: skip


def found_as(*offsets: torch.Tensor) -> list[Registered]:
    return [replace(Registered.nothing(len(MOTION), 12), offset=offset.float()) for offset in offsets]


def a_habit() -> torch.Tensor:
    """Of units that no preset of the four has."""
    habit = torch.zeros(len(MOTION))
    free = [
        unit
        for unit in range(len(MOTION))
        if not any(HEAD.emotion(name)[unit] for name in NAMES) and unit != PUFF
    ]
    habit[free[:3]] = torch.tensor([0.1, -0.2, 0.05])
    return habit


def test_what_all_share_is_found_however_strongly_each_emotion_is_played(tasks) -> None:
    strengths = (0.4, 0.8, 1.0, 1.3)
    found = found_as(*(s * HEAD.emotion(n) + a_habit() for s, n in zip(strengths, NAMES, strict=True)))
    torch.testing.assert_close(habit_of(tasks, found), a_habit(), atol=1e-6, rtol=0)
    for task, one, strength in zip(tasks, found, strengths, strict=True):
        assert strength_of(task, one.offset) == pytest.approx(strength, abs=1e-5)


@pytest.mark.parametrize(("having", "share"), [(1, 0.0), (2, 0.0), (3, 1.0), (4, 1.0)])
def test_all_but_a_quarter_must_have_it(tasks, having: int, share: float) -> None:
    own = torch.zeros(len(MOTION))
    own[PUFF] = 0.3
    offsets = [HEAD.emotion(name) + own * (e < having) for e, name in enumerate(NAMES)]
    at = float(habit_of(tasks, found_as(*offsets))[PUFF])
    assert at == pytest.approx(0.3 * share, abs=0.02)


def test_those_that_pull_either_way_have_no_habit(tasks) -> None:
    own = torch.zeros(len(MOTION))
    own[PUFF] = 0.3
    offsets = [HEAD.emotion(name) + own * (-1) ** e for e, name in enumerate(NAMES)]
    assert float(habit_of(tasks, found_as(*offsets))[PUFF]) == pytest.approx(0, abs=0.02)


def test_one_emotion_unknown_words_and_what_showed_nothing_do_not_tell(tasks) -> None:
    happy = HEAD.emotion("happy") + a_habit()
    assert not habit_of(tasks[:1], found_as(happy)).any()
    unknown = replace(tasks[1], meant=None)
    assert not habit_of([tasks[0], unknown], found_as(happy, a_habit())).any()
    assert not habit_of(tasks[:2], found_as(happy, torch.zeros(len(MOTION)))).any()


def test_it_is_taken_out_of_all_and_worn_by_the_editors_face(tasks, person) -> None:
    unknown = replace(tasks[2], meant=None)
    rest = tasks[0].frames.puppet.identity.rest.double().numpy()
    registration = Registration.begin([*tasks[:2], unknown, tasks[3]], rest, unwinding=True)
    nothing = torch.zeros(len(MOTION))
    habit = a_habit().clamp(min=0)
    registration.found = found_as(
        HEAD.emotion("happy") + habit, HEAD.emotion("sad") + habit, 0.5 * habit, nothing
    )
    assert not registration.shape().any()
    shed_habit(registration)
    offsets = [one.offset for one in registration.found]
    torch.testing.assert_close(offsets[0], HEAD.emotion("happy").float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(offsets[1], HEAD.emotion("sad").float(), atol=1e-6, rtol=0)
    assert not offsets[2].any(), "within bounds, even where less than the habit was found"
    assert not offsets[3].any(), "edits that show nothing of an emotion still teach nothing"
    worn = 1e3 * np.linalg.norm(registration.shape(), axis=1)
    assert 0.1 < worn.max() < 5
    frames = tasks[0].frames
    posed = frames.vertices(habit) - frames.vertices(nothing)
    strange = frames.turned(registration.shape(), nothing)
    assert np.abs(strange - posed).max() < 0.15 * np.abs(posed).max()
