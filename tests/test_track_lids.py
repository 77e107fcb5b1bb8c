"""Lids once more: a gaze that moves takes them along, and they are parted again as far as landmarks part them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.camera import look_at
from emoga.capture import save_landmarks
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.progress import silent
from emoga.tracking.inputs import open_clip
from emoga.tracking.lids import lids_as_seen
from emoga.tracking.stages import EFFORTS, Tracker

SIZE, FRAMES, HELD_OUT = 512, 6, 3
CAMERA = look_at((0, 0, 0.6), (0, -0.03, -0.03), 0.42, SIZE, SIZE, name="cam0")
LIDS = ((159, 145), (386, 374))
BLINK = (0.0, 0.3, 0.8, 0.9, 0.5, 0.0)


@pytest.fixture(scope="module")
def truth(head: Head) -> HeadParams:
    """A head that blinks with both eyes."""
    params = HeadParams.zeros(head, FRAMES, torch.float64)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        params.expr[:, head.unit(name)] = torch.tensor(BLINK, dtype=torch.float64)
    return params


@pytest.fixture
def tracker(head: Head, truth: HeadParams, tmp_path: Path) -> Tracker:
    """A tracker that knows where each landmark is, but for one frame, where all lie 2 pixels too low."""
    for frame in range(FRAMES):
        write_png(tmp_path / "pictures" / f"{frame:06d}.png", np.full((SIZE, SIZE, 3), 0.5, np.float32))
    seen = CAMERA.project(head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy())[0]
    seen[2, :, 1] += 2
    marks = tmp_path / "marks.npz"
    save_landmarks(marks, seen.astype(np.float32), np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    clip = open_clip(
        tmp_path / "pictures", marks, None, None, (f"frames:{HELD_OUT}",), None, None, None, silent
    )
    return Tracker(clip, head, [CAMERA], EFFORTS["default"], PriorWeights(), silent, True)


def state_of(tracker: Tracker, params: HeadParams) -> State:
    zeros = torch.zeros(len(tracker.warp_basis), dtype=torch.float64)
    return State(params, zeros, torch.zeros(478, 3).double(), torch.zeros((), dtype=torch.float64))


def opening(head: Head, params: HeadParams) -> torch.Tensor:
    """Metres [T] between the lids."""
    points = head.landmarks["mediapipe478"].points(head.vertices(params))
    return torch.stack([(points[:, a] - points[:, b]).norm(dim=-1) for a, b in LIDS]).mean(0)


def looking_down(params: HeadParams, degrees: float) -> HeadParams:
    eyes = params.eyes.clone()
    eyes[:, [0, 3]] += np.radians(degrees)
    return replace(params, eyes=eyes)


def test_lids_part_as_landmarks_show_whatever_the_gaze(head, truth, tracker):
    before = state_of(tracker, truth)
    for degrees in (-8, 8):
        moved = state_of(tracker, looking_down(truth, degrees))
        after = lids_as_seen(tracker, before, moved)
        true, wrong, found = (opening(head, p) for p in (truth, moved.params, after.params))
        assert ((wrong - true)[[0, 1, 4, 5]].abs() > 2e-4).all()
        assert ((found - true).abs() < 1.5e-4).all()


def test_nothing_but_lids_changes(head, truth, tracker):
    before, moved = state_of(tracker, truth), state_of(tracker, looking_down(truth, 12))
    after = lids_as_seen(tracker, before, moved)
    assert lids_as_seen(tracker, before, before) is before
    others = [i for i, name in enumerate(head.expr_names) if not name.startswith(("eyeBlink", "eyeWide"))]
    assert torch.equal(after.params.expr[:, others], moved.params.expr[:, others])
    for name in ("shape", "rotation", "translation", "neck", "jaw", "eyes"):
        assert torch.equal(getattr(after.params, name), getattr(moved.params, name))


def test_training_frames_do_not_depend_on_held_out_landmarks(truth, tracker):
    before, moved = state_of(tracker, truth), state_of(tracker, looking_down(truth, 12))
    one = lids_as_seen(tracker, before, moved).params.expr
    tracker.clip.landmarks.points[:, HELD_OUT] += np.random.default_rng(2).normal(0, 5, (478, 2))
    other = lids_as_seen(tracker, before, moved).params.expr
    training = [frame for frame in range(FRAMES) if frame != HELD_OUT]
    assert torch.equal(one[training], other[training])
    assert not torch.equal(one[HELD_OUT], other[HELD_OUT])
