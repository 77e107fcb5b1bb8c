"""Figures of an emotion on arrays whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.camera import look_at
from emoga.optimize.metrics_emotion import (
    TemporalError,
    change_outside,
    cross_view_spread,
    displacement_reached,
    flicker,
    mean_change,
    noise_error,
    temporal_error,
    unit_agreement,
)
from emoga.optimize.surface_pictures import lift, look_up, surface_motion

SIZE = 64
CAMERA = look_at((0, 0, 1.0), (0, 0, 0), 0.5, SIZE, SIZE)
# A square of 0.3 m that faces the camera, wound counter-clockwise as seen from there.
SQUARE = np.array([[-0.15, -0.15, 0], [0.15, -0.15, 0], [0.15, 0.15, 0], [-0.15, 0.15, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
PIXEL = 2 * np.tan(0.25) / SIZE  # metres at the square


def still(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return [(np.stack([x, y], -1).astype(np.float32), np.ones((SIZE, SIZE), bool))] * count


def test_displacement_reached_is_the_share_along_the_truth() -> None:
    truth = np.random.default_rng(0).normal(0, 1e-3, (2, 50, 3))
    half = displacement_reached(0.5 * truth, truth)
    assert half.share == pytest.approx(0.5) and half.cosine == pytest.approx(1)
    assert half.rmse_mm == pytest.approx(0.5 * half.truth_mm) == pytest.approx(half.result_mm)
    astray = displacement_reached(np.roll(truth, 1, axis=-1), np.broadcast_to([1e-3, 0, 0], truth.shape))
    assert abs(astray.share) < 0.5, "motion another way is no share of it"
    assert np.isnan(displacement_reached(truth, 0 * truth).share)


def test_flicker_is_the_error_of_change_over_that_of_the_edits() -> None:
    truth = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    masks = np.zeros((3, SIZE, SIZE), bool)
    masks[:, 20:40, 20:40] = True
    result, edits = truth.copy(), truth.copy()
    result[1], edits[1] = 10, 40
    edits[:, :10] = 200 * np.arange(3, dtype=np.uint8)[:, None, None, None] % 255  # outside the mask
    parts = [temporal_error(pictures, truth, masks, still(2)) for pictures in (result, edits)]
    assert parts[0].mean == pytest.approx(10 / 255) and parts[1].mean == pytest.approx(40 / 255)
    assert parts[0].pixels == 2 * 400
    found = flicker(*parts, 0.95)
    assert found.ratio == pytest.approx(0.25) and found.valid
    assert not flicker(*parts, 0.89).valid
    assert np.isnan(flicker(parts[0], TemporalError(0.0, 5), 1).ratio)


def test_a_constant_error_does_not_flicker_and_the_truths_own_change_does_not_count() -> None:
    truth = np.random.default_rng(1).integers(0, 200, (4, SIZE, SIZE, 3)).astype(np.uint8)
    masks = np.ones((4, SIZE, SIZE), bool)
    assert temporal_error(truth + np.uint8(30), truth, masks, still(3)).mean == pytest.approx(0, abs=1e-7)
    assert temporal_error(truth, None, masks, still(3)).mean > 0.1


def test_noise_in_the_truth_is_a_floor() -> None:
    """Against a noisy truth a perfect result shows as much temporal error as is expected of the noise."""
    rng = np.random.default_rng(4)
    noisy = rng.normal(0.5, 0.02, (3, SIZE, SIZE, 3)).astype(np.float32)
    clean, masks = np.full_like(noisy, 0.5), np.ones((3, SIZE, SIZE), bool)
    moved = [(pixels + np.float32([0.5, 0.25]), known) for pixels, known in still(2)]
    for motions in (still(2), moved):
        found, expected = temporal_error(clean, noisy, masks, motions), noise_error(0.02, masks, motions)
        assert expected.mean == pytest.approx(found.mean, rel=0.03) and expected.pixels == found.pixels
    assert noise_error(0.02, masks, moved).mean < 0.9 * noise_error(0.02, masks, still(2)).mean
    edits = temporal_error(noisy[::-1], noisy, masks, still(2))
    assert flicker(found, edits, 1.0, expected).floor == pytest.approx(expected.mean / edits.mean)
    assert np.isnan(flicker(found, edits, 1.0).floor)


def test_motion_is_compensated() -> None:
    moved = SQUARE + [5 * PIXEL, -3 * PIXEL, 0]
    pixels, known = surface_motion(SQUARE, moved, FACES, CAMERA)
    assert known.all()
    middle = pixels[20:40, 25:45] - (np.mgrid[20:40, 25:45].transpose(1, 2, 0)[..., ::-1] + 0.5)
    np.testing.assert_allclose(middle, np.broadcast_to([-5, -3], middle.shape), atol=1e-3)
    ramp = np.random.default_rng(2).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    pair = np.stack([ramp, np.roll(ramp, (3, 5), (0, 1))])
    masks = np.zeros((2, SIZE, SIZE), bool)
    masks[:, 12:50, 12:50] = True
    assert temporal_error(pair, None, masks, [(pixels, known)]).mean < 1e-3
    assert temporal_error(pair, None, masks, still(1)).mean > 0.2


def test_what_was_hidden_before_is_not_known() -> None:
    both = np.concatenate([SQUARE, SQUARE * 0.5 + [0, 0, 0.2]])
    faces = np.concatenate([FACES, FACES + 4])
    after = both.copy()
    after[4:, 0] += 0.2  # the nearer square moves aside
    _, known = surface_motion(both, after, faces, CAMERA)
    covered_before, _ = surface_motion(both, both, faces, CAMERA)
    assert covered_before.shape == (SIZE, SIZE, 2)
    assert not known[SIZE // 2, SIZE // 2 - 6] and known[SIZE // 2, SIZE // 2 - 18]


def test_views_that_agree_have_no_spread() -> None:
    cameras = [look_at((x, 0, 1.0), (0, 0, 0), 0.5, SIZE, SIZE) for x in (-0.2, 0.2)]
    points = np.stack(np.meshgrid(np.linspace(-0.1, 0.1, 9), np.linspace(-0.1, 0.1, 9)), -1).reshape(-1, 2)
    vertices = np.concatenate([SQUARE, np.pad(points, ((0, 0), (0, 1)))])
    normals = np.tile([0, 0, 1.0], (len(vertices), 1))
    mask = np.ones((SIZE, SIZE), bool)
    pictures = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (100, 120)]
    values, seen = lift(pictures, [mask, mask], vertices, normals, FACES, cameras)
    assert seen[:, 4:].all() and values[1, 10, 0] == pytest.approx(120 / 255)
    found = cross_view_spread(values, seen)
    assert found.spread == pytest.approx(20 / 255 / np.sqrt(2)) and found.points >= 81
    assert cross_view_spread(values[[0, 0]], seen).spread == 0
    assert not lift(pictures, [mask, ~mask], vertices, normals, FACES, cameras)[1][1].any()
    assert not lift(pictures, [mask, mask], vertices, -normals, FACES, cameras)[1].any()
    alone = cross_view_spread(values, seen & np.array([[True], [False]]))
    assert alone.points == 0 and np.isnan(alone.spread)


def test_change_outside_and_inside() -> None:
    neutral = np.full((1, 8, 8, 3), 100, np.uint8)
    emotional = neutral.copy()
    inside = np.zeros((1, 8, 8), bool)
    inside[:, :4] = True
    emotional[inside] += 20
    emotional[0, 7, 7] -= 32
    found = change_outside(emotional, neutral, inside, truth_change=25)
    assert found.mean == pytest.approx(1.0) and found.largest == 32 and found.pixels == 32
    assert found.effect == pytest.approx(0.8) and found.valid
    assert not change_outside(emotional, neutral, inside, truth_change=26).valid
    lacking = change_outside(emotional, neutral, inside)
    assert np.isnan(lacking.effect) and not lacking.valid
    head = np.zeros_like(inside)
    head[:, :6] = True
    assert change_outside(emotional, neutral, inside, head).mean == 0
    assert mean_change(emotional, neutral, inside) == 20


def test_units_come_with_slope_and_error() -> None:
    expected = np.linspace(0, 1, 20)
    found = unit_agreement(0.5 * expected + 0.1, expected)
    assert found.correlation == pytest.approx(1) and found.slope == pytest.approx(0.5)
    assert found.rmse == pytest.approx(np.sqrt(((0.1 - 0.5 * expected) ** 2).mean()))
    assert np.isnan(unit_agreement(expected, np.ones(20)).correlation)


def test_pixel_centres_lie_at_a_half() -> None:
    picture = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert look_up(picture, np.array([[2.5, 1.5], [1.0, 0.5]])).tolist() == [6, 0.5]
