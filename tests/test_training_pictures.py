"""Training pictures: bytes become what the loss compares, on any backdrop, with and without clothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from emoga.camera import look_at
from emoga.capture import Track
from emoga.head import HeadParams, load_head
from emoga.images import write_png
from emoga.optimize.backdrop import bars, on_backdrop, seen_through
from emoga.optimize.training_pictures import CLOTHING_WEIGHT, UNCERTAIN_WEIGHT, TrainingPictures
from emoga.progress import silent

HEIGHT, WIDTH = 20, 28
GREEN = np.array([0.0, 1.0, 0.25], np.float32)


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Track:
    """One random picture; its matte is empty on the left, full on the right and anything between; clothes below."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    write_png(folder / "000000.png", rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    masks = rng.integers(0, 256, (1, 1, HEIGHT, WIDTH)).astype(np.uint8)
    masks[..., :8], masks[..., 16:] = 0, 255
    heads = masks.copy()
    heads[:, :, 14:] = 0
    head = load_head()
    names = (head.name, head.version, head.checksum)
    camera = look_at((0, 0, 0.9), (0, 0, 0), 0.4, WIDTH, HEIGHT)
    params = HeadParams.zeros(head, 1)
    return Track(*names, params, [camera], [Path(folder)], np.arange(1), 25.0, masks=masks, head_masks=heads)


def loaded(track: Track) -> TrainingPictures:
    return TrainingPictures(track, [0], [0], silent)


def test_bytes_become_floats(track):
    example = loaded(track).example(0, 0)
    full = track.masks[0, 0] == 255
    assert full.sum() > 100
    wanted = track.picture(0, 0).astype(np.float64) / 255
    np.testing.assert_allclose(example.target.numpy()[full], wanted[full], atol=1e-7)
    np.testing.assert_allclose(example.alpha.numpy(), track.masks[0, 0] / 255, atol=1e-7)
    assert all(part.dtype == torch.float32 for part in (example.target, example.weight, example.alpha_weight))


def test_another_backdrop_shines_through_the_matte(track):
    pictures = loaded(track)
    own, other = pictures.example(0, 0), pictures.example(0, 0, backdrop=GREEN)
    through = 1 - track.masks[0, 0, :, :, None] / 255
    change = (other.target - own.target).numpy()
    np.testing.assert_allclose(change, through * (GREEN - own.backdrop.numpy()), atol=1e-6)
    np.testing.assert_array_equal(other.backdrop.numpy(), GREEN)


def test_clothing_counts_less_and_for_the_head_alone_not_at_all(track):
    pictures = loaded(track)
    both, alone = pictures.example(0, 0), pictures.example(0, 0, head_only=True)
    clothing = (track.masks[0, 0] > 127) & (track.head_masks[0, 0] < 128)
    certain = both.weight.numpy()[clothing & (track.masks[0, 0] == 255)]
    np.testing.assert_allclose(certain, CLOTHING_WEIGHT, rtol=1e-6)
    for name in ("weight", "alpha_weight"):
        with_clothes, head = getattr(both, name).numpy(), getattr(alone, name).numpy()
        assert (head[clothing] == 0).all() and with_clothes[clothing].max() > 0
        apart = cv2.dilate(clothing.astype(np.uint8), np.ones((7, 7))) == 0
        np.testing.assert_array_equal(head[apart], with_clothes[apart])
        within = track.head_masks[0, 0] >= 128
        np.testing.assert_array_equal(head[within], with_clothes[within])


def test_alpha_counts_fully_only_where_the_matte_is_certain(track):
    weight = loaded(track).example(0, 0).alpha_weight.numpy()
    assert (weight[:, :7] == 1).all() and (weight[:, 17:] == 1).all()
    np.testing.assert_array_equal(weight[:, 9:15], UNCERTAIN_WEIGHT)


def test_without_a_matte_the_backdrop_stays_and_alpha_does_not_count(track):
    example = loaded(replace(track, masks=None, head_masks=None)).example(0, 0, backdrop=GREEN)
    wanted = track.picture(0, 0).astype(np.float64) / 255
    np.testing.assert_allclose(example.target.numpy(), wanted, atol=1e-7)
    assert (example.weight == 1).all() and (example.alpha_weight == 0).all()
    np.testing.assert_array_equal(example.backdrop.numpy(), np.ones(3, np.float32))


def test_bars_along_the_borders_are_no_part_of_the_scene():
    picture = np.full((100, 80, 3), (10, 200, 10), np.uint8)
    picture[40:90, 10:70] = (90, 60, 50)
    picture[60] = 7  # a stripe across shirt and wall is one
    picture[90:] = (1, 0, 2)
    mask = np.zeros((100, 80), np.uint8)
    mask[40:90, 10:70] = 255
    found = bars(picture)
    assert found[:40].all() and found[90:].all() and not found[40:90, 10:70].any()
    painted = on_backdrop(picture, mask, np.float32([10, 200, 10]) / 255, flat=True)
    assert (painted[90:] == (10, 200, 10)).all()
    np.testing.assert_array_equal(painted[mask > 0], picture[mask > 0])


def test_hair_through_which_a_vivid_backdrop_shines_is_not_opaque():
    green, hair = np.float32([0.27, 0.59, 0.4]), np.float32([0.1, 0.09, 0.08])
    picture = np.tile((green * 255).astype(np.uint8), (100, 100, 1))
    mask = np.zeros((100, 100), np.uint8)
    mask[20:80, 20:80] = 255
    picture[20:80, 20:80] = hair * 255
    picture[20:80, 20:24] = (0.6 * hair + 0.4 * green) * 255
    picture[45:50, 45:50] = (0.6 * hair + 0.4 * green) * 255
    found = seen_through(picture, mask, green) / 255
    assert np.allclose(found[30:70, 20:24], 0.65, atol=0.12)
    assert (found[20:80, 24:80] == 1).all(), "hair itself, and what lies far from the outline"
    assert (found[mask == 0] == 0).all()
    assert (seen_through(picture, mask, np.float32([0.8, 0.82, 0.85])) == mask).all(), "a dull backdrop"
