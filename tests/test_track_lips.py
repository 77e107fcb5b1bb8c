"""Lips by pictures: where landmarks part a closed mouth, or close an open one, the portrait knows better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import make_track

from emoga.capture import Track, save_landmarks
from emoga.head import Head, HeadParams
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.progress import silent
from emoga.tracking.inputs import open_clip
from emoga.tracking.lips import lips_as_shown
from emoga.tracking.portrait import Portrait, learn_portrait
from emoga.tracking.stages import EFFORTS, Tracker

SIZE, FRAMES = 288, 9
SHUT, OPEN = 0, 6  # frames whose lips landmarks see 4 mm too far apart, and 2 mm too near
WRONGLY = {"mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> tuple[Path, Track]:
    """A head whose mouth opens, and in another frame parts its lips alone."""
    folder = tmp_path_factory.mktemp("painted")
    return folder, make_track(folder, views=1, size=SIZE, count=FRAMES)


@pytest.fixture(scope="module")
def portrait(head: Head, filmed: tuple[Path, Track]) -> Portrait:
    return learn_portrait(filmed[1], head, 150, silent)


def astray(head: Head, params: HeadParams) -> HeadParams:
    """True params with the lips of two frames elsewhere."""
    expr = params.expr.clone()
    for name, value in WRONGLY.items():
        expr[SHUT, head.unit(name)] = value
    expr[OPEN, head.unit("mouthClose")] = 0.06
    return replace(params, expr=expr)


def tracker_of(folder: Path, head: Head, track: Track, seen: HeadParams, tmp_path: Path) -> Tracker:
    """A tracker whose landmarks lie where `seen` has them."""
    points = track.cameras[0].project(head.landmarks["mediapipe478"].points(head.vertices(seen)).numpy())[0]
    save_landmarks(tmp_path / "m.npz", points, np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    clip = open_clip(folder / "c0", tmp_path / "m.npz", None, None, (), None, None, None, silent)
    return Tracker(clip, head, track.cameras, EFFORTS["default"], PriorWeights(), silent, True)


def state_of(tracker: Tracker, params: HeadParams) -> State:
    zeros = torch.zeros(478, 3, dtype=torch.float64)
    state = State(params, None, zeros, torch.zeros((), dtype=torch.float64))
    return tracker.with_form(state, torch.zeros_like(tracker.head.template))


def gaps(head: Head, params: HeadParams) -> np.ndarray:
    """Millimetres [T] between the inner lips."""
    points = head.landmarks["mediapipe478"].points(head.vertices(params))
    return 1e3 * (points[:, 13] - points[:, 14]).norm(dim=-1).numpy()


def test_lips_that_landmarks_misplace_are_put_where_the_picture_shows_them(head, filmed, portrait, tmp_path):
    folder, track = filmed
    true = track.params.to(dtype=torch.float64)
    wrong = astray(head, true)
    tracker = tracker_of(folder, head, track, wrong, tmp_path)
    before = state_of(tracker, wrong)
    after = lips_as_shown(tracker, track, portrait, before)
    off = np.abs(gaps(head, wrong) - gaps(head, true))
    left = np.abs(gaps(head, after.params) - gaps(head, true))
    assert off[SHUT] > 3 and off[OPEN] > 1.5
    assert left[SHUT] < 0.3 * off[SHUT] and left[OPEN] < 0.3 * off[OPEN]


def test_lips_that_are_right_stay_and_nothing_else_moves(head, filmed, portrait, tmp_path):
    folder, track = filmed
    true = track.params.to(dtype=torch.float64)
    tracker = tracker_of(folder, head, track, true, tmp_path)
    after = lips_as_shown(tracker, track, portrait, state_of(tracker, true)).params
    np.testing.assert_allclose(gaps(head, after), gaps(head, true), atol=0.5)
    moved = [
        name
        for name, step in zip(head.expr_names, (after.expr - true.expr).abs().amax(0), strict=True)
        if step > 0
    ]
    assert all(name.startswith("mouth") for name in moved)
    for name in ("rotation", "translation", "neck", "jaw", "eyes", "shape"):
        assert torch.equal(getattr(after, name), getattr(true, name))


def test_a_frame_does_not_depend_on_the_others(head, filmed, portrait, tmp_path):
    folder, track = filmed
    true = track.params.to(dtype=torch.float64)
    wrong = astray(head, true)
    tracker = tracker_of(folder, head, track, true, tmp_path)
    results = [
        lips_as_shown(tracker, track, portrait, state_of(tracker, p)).params.expr for p in (true, wrong)
    ]
    same = [frame for frame in range(FRAMES) if frame not in (SHUT, OPEN)]
    assert torch.equal(results[0][same], results[1][same])
    low, high = head.expr_limits
    assert all(low <= float(expr.min()) and float(expr.max()) <= high for expr in results)
