"""What edits agree on: failed, timid and tinted pictures, one fault at a time, on a few hundred made-up points."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.emotion.learning.consensus import Lifted, agree
from emoga.emotion.learning.registration import picture_trust

POINTS, PICTURES = 300, 20


def lifted(rng, change, strengths, noise=0.01):
    """Pictures that play a change [N,3], seen everywhere, with some grain."""
    captured = 0.5 + 0.1 * rng.random((POINTS, 3))
    captured = np.repeat(captured[None], len(strengths), 0)
    edited = captured + np.asarray(strengths)[:, None, None] * change + rng.normal(0, noise, captured.shape)
    places = rng.random((len(strengths), POINTS, 2)) - 0.5
    shares = np.ones((len(strengths), POINTS))
    parts = (part.astype(np.float32) for part in (captured, edited, places, shares))
    return Lifted(*parts, np.asarray(strengths, float))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def change(rng):
    """A blush over a third of the points."""
    values = np.zeros((POINTS, 3))
    values[:100] = [0.08, -0.04, -0.04]
    return values


def test_a_change_all_show_is_found(rng, change):
    found = agree(lifted(rng, change, np.ones(PICTURES)), np.ones(PICTURES), drift=False)
    assert np.abs(found.change - change).max() < 0.02


def test_pictures_that_failed_lose_their_weight_even_if_a_whole_view_did(rng, change):
    seen = lifted(rng, change, np.ones(PICTURES))
    failed = np.arange(PICTURES) < 5
    blotches = rng.normal(0, 0.2, (5, 6, 3)).repeat(POINTS // 6, 1)
    seen.edited[failed] += blotches.astype(np.float32)
    found = agree(seen, np.ones(PICTURES))
    assert found.trust[failed].max() < 0.1
    assert found.trust[~failed].min() > 0.5
    assert np.abs(found.change - change).mean() < 0.005


def test_one_wrong_place_costs_a_picture_only_that_place(rng, change):
    seen = lifted(rng, change, np.ones(PICTURES))
    seen.edited[4, 200:220] -= 0.3
    found = agree(seen, np.ones(PICTURES), drift=False)
    assert found.weights[4, 200:220].max() < 0.05
    assert found.weights[4, :100].mean() > 0.5


def test_timid_edits_are_brought_to_full_strength_before_they_are_compared(rng, change):
    strengths = np.where(np.arange(PICTURES) < 12, 0.5, 1.0)
    found = agree(lifted(rng, change, strengths), np.ones(PICTURES), drift=False)
    assert np.abs(found.change[:100] - change[:100]).mean() < 0.01


def test_an_unedited_picture_is_a_failure_however_well_it_fits(rng):
    sizes = rng.random((PICTURES, POINTS)) * 0.1
    sizes[0] = 0.001
    strengths = np.ones(PICTURES)
    strengths[0], strengths[1] = 0.02, 0.6
    trust = picture_trust(sizes, np.ones_like(sizes), 0.05, strengths)
    assert trust[0] == 0
    assert trust[1] > 0.5


def test_a_pictures_own_tint_is_no_emotion(rng, change):
    seen = lifted(rng, change, np.ones(PICTURES))
    gains = (
        rng.normal(0, 0.1, (PICTURES, 1, 3)) + 0.1 * rng.normal(size=(PICTURES, 1, 1)) * seen.places[..., :1]
    )
    seen.edited[:] += (gains * seen.captured).astype(np.float32)
    with_drift, without = (agree(seen, np.ones(PICTURES), drift=drift) for drift in (True, False))
    mean_gain = (gains.mean((0, 1)) * seen.captured[0]).mean(0)
    error = np.abs(with_drift.change - change - mean_gain).mean()
    assert error < 0.01
    assert error < 0.7 * np.abs(without.change - change - mean_gain).mean()


def test_given_weights_are_used_as_they_are(rng, change):
    seen = lifted(rng, change, np.ones(PICTURES))
    seen.edited[0] += 0.4
    given = np.zeros((PICTURES, POINTS), np.float32)
    given[0] = 1
    found = agree(seen, np.ones(PICTURES), drift=False, given=given)
    assert np.abs(found.change - change - 0.4).mean() < 0.02
