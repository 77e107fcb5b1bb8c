"""Offsets and an editor's own face told apart: from made-up slopes, and from pictures moved as a whole."""

from __future__ import annotations

import numpy as np

from emoga.emotion.learning.bounded import Meant, bounded
from emoga.emotion.learning.normal_equations import Sums, joined, normal_equations
from emoga.emotion.learning.pyramid import Compared, of_other_frames
from emoga.emotion.learning.registration import CLUSTER, NOISE
from emoga.emotion.learning.stranger import BUMPS, LENGTH, SIZE, Strangeness
from emoga.emotion.learning.surface import skin_points
from emoga.emotion.learning.task import Priors
from emoga.head import load_head

POINTS, UNITS, FACES, PICTURES = 300, 4, 18, 12


def test_an_editors_face_is_small_and_smooth():
    head = load_head("open")
    rest = head.template.double().numpy()
    skin = skin_points(head, rest, 1500)
    strange = Strangeness.on(skin, rest)
    assert strange.count == 3 * BUMPS
    drawn = strange.points[:, 1] @ np.random.default_rng(0).normal(size=(strange.count, 200))
    face = skin.region == head.region_names.index("cheeks")
    assert 0.8 * SIZE < drawn[face].std() < 1.2 * SIZE
    first, apart = drawn[face][0], np.linalg.norm(skin.rest[face] - skin.rest[face][0], axis=1)
    near, far = (drawn[face][apart < 0.2 * LENGTH], drawn[face][apart > 1.5 * LENGTH])
    assert np.abs(near - first).mean() < 0.3 * np.abs(far - first).mean()


def made_up(rng, offsets, face, drawn):
    """Sums of two emotions whose pictures show offsets at many strengths, one face and drawn contrasts [N,3]."""
    strange = rng.normal(size=(POINTS, 3, FACES)).astype(np.float32)
    parts = []
    for offset in offsets:
        moves = rng.normal(size=(1, POINTS, 3, UNITS)).astype(np.float32)
        sums = Sums.nothing(POINTS)
        for strength in np.linspace(0.4, 1.1, PICTURES):
            slopes = rng.normal(size=(POINTS, 3, 3)).astype(np.float32)
            moved = strength * moves[0] @ offset + strange @ face
            left = ((slopes @ moved[..., None])[..., 0] + drawn).astype(np.float32)
            sums.add(
                Compared(np.arange(POINTS), slopes, left, np.ones(POINTS)),
                np.ones(POINTS, np.float32),
                strength,
            )
        parts.append(joined([sums], moves))
    return parts, strange


def test_offsets_and_the_face_they_share_are_told_apart():
    rng = np.random.default_rng(1)
    offsets, face = rng.normal(size=(2, UNITS)), rng.normal(size=FACES)
    parts, strange = made_up(rng, offsets, face, np.zeros((POINTS, 3)))
    normal, right = normal_equations(parts, strange, 1.0)
    solved = np.linalg.solve(normal, right)
    assert np.abs(solved[: 2 * UNITS] - offsets.reshape(-1)).max() < 1e-3
    assert np.abs(solved[2 * UNITS :] - face).max() < 1e-3


def test_what_is_drawn_on_the_skin_moves_nothing():
    rng = np.random.default_rng(2)
    offsets = rng.normal(size=(2, UNITS))
    parts, strange = made_up(rng, offsets, np.zeros(FACES), 5 * rng.normal(size=(POINTS, 3)))
    normal, right = normal_equations(parts, strange, 1e-3)
    solved = np.linalg.solve(normal, right)
    assert np.abs(solved[: 2 * UNITS] - offsets.reshape(-1)).max() < 0.01


def test_what_is_drawn_on_every_emotion_is_taken_for_motion_the_less():
    """Drawn brows look like brows that moved: alike in weak and strong pictures, and in all emotions."""
    rng = np.random.default_rng(4)
    moves = rng.normal(size=(1, POINTS, 3, UNITS)).astype(np.float32)
    slopes = rng.normal(size=(POINTS, 3, 3)).astype(np.float32)
    slopes /= np.abs((slopes @ moves[0]).sum(-1)).mean()
    true, looks_like = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]), np.array([0, 0, 0, 1.0])
    drawn = (slopes @ (moves[0] @ looks_like)[..., None])[..., 0]
    parts = []
    for offset in true:
        sums = Sums.nothing(POINTS)
        for strength in np.linspace(0.4, 1.1, PICTURES):
            left = drawn + strength * (slopes @ (moves[0] @ offset)[..., None])[..., 0]
            one = Compared(np.arange(POINTS), slopes, left.astype(np.float32), np.ones(POINTS))
            sums.add(one, np.ones(POINTS, np.float32), strength)
        parts.append(joined([sums], moves))
    normal, right = normal_equations(parts, np.zeros((POINTS, 3, 1), np.float32), NOISE**2 * CLUSTER)
    held = np.full(len(right), 0.3) * np.trace(normal) / len(right)
    held[: true.size][true.reshape(-1) > 0] = 0  # what words foretell
    found = np.linalg.solve(normal + np.diag(held), right)[: true.size].reshape(true.shape)
    assert np.abs(found[:, 3]).max() < 0.8, "what nobody foretold, and no strength scales"
    assert np.abs(np.diag(found[:, :2]) - 1).max() < 0.05


def test_grain_that_stays_at_its_pixels_is_not_what_edits_are_compared_with():
    rng = np.random.default_rng(3)
    skin, grain = rng.normal(size=(POINTS, 3)), rng.normal(size=(7, POINTS, 3))
    views, shares = [5, 9, 5, 9, 5, 9, 2], np.ones((7, POINTS))
    shares[[2, 4], :9] = 0
    captured = of_other_frames(skin + grain, shares, views)
    for p in range(6):
        assert abs((grain[p, 9:] * (captured[p, 9:] - skin[9:])).mean()) < 0.1, "own grain is left"
    assert np.abs(captured[0, 9:] - skin[9:] - 0.5 * (grain[2] + grain[4])[9:]).max() < 1e-6
    assert np.array_equal(captured[0, :9], (skin + grain[0])[:9]), "no other frame shows these"
    assert np.array_equal(captured[6], skin + grain[6]), "nor this view"


def solve(wanted, sure, meant):
    """Units of 4 mm each from pictures that want some offset [U], as sure of each as 1/mm^2 [U]."""
    motion, count = np.full(len(wanted), 4.0), len(wanted)
    normal = np.diag(np.asarray(sure) * motion**2)
    limits = np.full(count, -0.2), np.ones(count)
    return bounded(normal, normal @ wanted, np.zeros(count), *limits, motion, Priors(), [], Meant.of([meant]))


def test_an_offset_is_what_is_meant_unless_pictures_say_otherwise():
    meant = np.array([0.8, 0.4, 0.0, 0.0])
    wanted = np.array([0.4, 0.3, 0.0, 0.7])
    found = solve(wanted, [100.0, 1e-4, 1e-4, 100.0], meant)
    assert np.abs(found[[0, 3]] - wanted[[0, 3]]).max() < 0.03, "what pictures show counts, meant or not"
    assert 0.15 < found[1] < 0.37, "unseen: what is meant, weaker as what is seen is"
    assert abs(found[2]) < 0.01
    unnamed = solve(wanted, [100.0, 1e-4, 1e-4, 100.0], np.zeros(4))
    assert np.abs(unnamed[[0, 3]] - wanted[[0, 3]]).max() < 0.03
    assert abs(unnamed[1]) < 0.01, "unseen, and nothing is meant"
    still = solve(np.zeros(4), [100.0, 100.0, 100.0, 100.0], meant)
    assert np.abs(still).max() < 0.02, "pictures that surely show no motion teach none"


def test_strengths_that_are_found_leave_an_offset_within_its_bounds():
    found = solve(np.array([2.0, 0.1]), [100.0, 1e-4], np.array([0.5, 0.9]))
    assert found.max() <= 1.0
    assert found.min() >= -0.2
