"""Masks of the tracker: flat backdrops, letterbox bands, white shirts, GrabCut, and where the head ends."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.optimize.masks import backdrop_alpha, find_backdrop, grabcut_alpha
from emoga.optimize.masks_head import head_alpha

SIZE = 160
NAMES = ("face", "jaw", "lips", "neck", "shoulders", "boundary", "scalp", "nose")
SKIN, SHIRT, GREEN = (0.8, 0.6, 0.5), (0.97, 0.97, 0.99), (0.25, 0.6, 0.4)


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.hypot(rows - y, columns - x) < radius


def portrait(backdrop: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A skin disc over a dark suit with a shirt of nearly the backdrop's white; picture and truth."""
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    picture[:] = backdrop
    suit = np.zeros((SIZE, SIZE), bool)
    suit[110:, 20:140] = True
    truth = disc(70, 80, 40) | suit
    picture[suit] = (0.1, 0.1, 0.12)
    picture[125:, 65:95] = SHIRT
    picture[disc(70, 80, 40)] = SKIN
    noise = np.random.default_rng(0).normal(0, 0.008, picture.shape)
    return np.clip(picture + noise, 0, 1).astype(np.float32), truth


@pytest.mark.parametrize("color", [GREEN, (0.98, 0.98, 0.98)])
def test_flat_backdrop_is_found_and_removed(color):
    picture, truth = portrait(color)
    backdrop = find_backdrop([picture])
    assert backdrop is not None
    np.testing.assert_allclose(backdrop.color, color, atol=0.01)
    alpha = backdrop_alpha(picture, backdrop)
    wrong = np.abs(alpha - truth) > 0.5
    assert wrong.mean() < 0.01
    # The shirt is as white as the wall, and stays.
    assert alpha[140, 80] == 1


def test_soft_edges_get_soft_alpha():
    picture, _ = portrait(GREEN)
    matte = (
        np.clip(41.5 - np.hypot(*(np.mgrid[:SIZE, :SIZE] + 0.5 - np.array([70, 80])[:, None, None])), 0, 3)
        / 3
    )
    picture[:110] = (matte[..., None] * SKIN + (1 - matte[..., None]) * np.array(GREEN))[:110]
    alpha = backdrop_alpha(picture, find_backdrop([picture]))
    assert np.abs(alpha[:105] - matte[:105]).mean() < 0.01
    edge = (matte > 0.3) & (matte < 0.7)
    edge[105:] = False
    assert np.abs(alpha - matte)[edge].mean() < 0.15


def test_letterbox_bands_are_not_foreground():
    picture, _ = portrait(GREEN)
    picture[-12:] = 0
    alpha = backdrop_alpha(picture, find_backdrop([picture]))
    assert alpha[-12:].max() == 0
    assert alpha[140, 30] == 1


def test_a_busy_background_is_no_backdrop():
    picture = np.random.default_rng(1).random((SIZE, SIZE, 3)).astype(np.float32)
    assert find_backdrop([picture]) is None


def test_grabcut_grows_from_the_head():
    picture = np.random.default_rng(2).random((SIZE, SIZE, 3)).astype(np.float32) * 0.25 + [0, 0.1, 0.6]
    truth = disc(80, 80, 42)
    picture[truth] = np.array(SKIN) + np.random.default_rng(3).normal(0, 0.03, (truth.sum(), 3))
    alpha = grabcut_alpha(picture.astype(np.float32), disc(80, 80, 34))
    assert (np.abs(alpha - truth) > 0.5).mean() < 0.03


@pytest.mark.timeout(60)
def test_pictures_that_show_nothing_keep_the_head():
    # GrabCut took minutes over either, and did not end at all over the first.
    flash = np.ones((320, 320, 3), np.float32)
    flash[*np.random.default_rng(4).integers(0, 320, (2, 7))] = (1, 0, 0)
    title = np.full_like(flash, 0.02)
    title[:20] = 0.9
    head = np.hypot(*(np.mgrid[:320, :320] - 160)) < 64
    for picture in (flash, title):
        np.testing.assert_array_equal(grabcut_alpha(picture, head), head)


def regions() -> np.ndarray:
    """The mesh as a camera sees it: face disc, neck column, shoulders."""
    found = np.full((SIZE, SIZE), -1)
    found[95:130, 60:100] = NAMES.index("neck")
    found[130:, 30:130] = NAMES.index("shoulders")
    found[disc(70, 80, 40)] = NAMES.index("face")
    found[disc(70, 80, 40) & (np.arange(SIZE)[:, None] < 45)] = NAMES.index("scalp")
    found[92:97, 70:90] = NAMES.index("lips")
    found[70:82, 74:86] = NAMES.index("nose")
    return found


def test_head_mask_keeps_hair_and_drops_clothing():
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    picture[:] = SKIN
    picture[115:, :] = SHIRT  # a collar over half of the neck, and shoulders
    hair = disc(45, 80, 45) & (np.arange(SIZE)[:, None] < 40)
    picture[hair] = (0.1, 0.08, 0.07)
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[~(disc(70, 80, 40) | hair)] = 0
    alpha[95:, 20:140] = 255
    found = head_alpha(alpha, picture, regions(), NAMES)
    assert found[70, 80] == 255 and found[20, 80] > 200, "face or hair is missing"
    assert found[105, 80] == 255, "the neck's skin is missing"
    assert found[125, 80] == 0, "the collar over the neck was kept"
    assert found[145].max() == 0, "shoulders were kept"
    assert found[110, 135] == 0, "clothing beside the neck was kept"


def test_head_mask_drops_a_shoulder_beside_a_turned_jaw():
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    picture[:] = SKIN
    seen = regions()
    beside = (seen < 0) & disc(70, 80, 56) & (np.arange(SIZE)[:, None] > 84)
    picture[beside] = SHIRT
    picture[115:] = SHIRT
    alpha = np.where((seen >= 0) | beside, 255, 0).astype(np.uint8)
    found = head_alpha(alpha, picture, seen, NAMES)
    assert (found[beside] > 127).mean() < 0.1, "cloth beside the jaw was kept"
    assert found[105, 80] == 255 and found[70, 80] == 255


def test_head_mask_never_exceeds_the_foreground():
    alpha = np.full((SIZE, SIZE), 90, np.uint8)
    found = head_alpha(alpha, np.full((SIZE, SIZE, 3), SKIN, np.float32), regions(), NAMES)
    assert found.max() == 90


def test_no_mesh_no_head():
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    found = head_alpha(alpha, np.zeros((SIZE, SIZE, 3), np.float32), np.full((SIZE, SIZE), -1), NAMES)
    assert found.max() == 0
