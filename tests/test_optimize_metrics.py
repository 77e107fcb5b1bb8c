"""Likeness figures: known values, masks that really mask, and agreement with a plain definition of SSIM."""

import numpy as np
import pytest

from emoga.optimize.metrics import PictureLikeness, average, compare, masked_psnr, masked_ssim

GENERATOR = np.random.default_rng(5)


@pytest.fixture
def pictures():
    truth = GENERATOR.integers(0, 256, (40, 50, 3), np.uint8)
    noise = GENERATOR.integers(-9, 10, truth.shape)
    mask = np.zeros((40, 50), bool)
    mask[8:30, 12:44] = True
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth, mask


def test_psnr_of_a_known_difference():
    truth = np.full((4, 4, 3), 100, np.uint8)
    result = truth.copy()
    result[..., 1] += 10
    expected = 10 * np.log10(255**2 / (100 / 3))
    assert masked_psnr(result, truth, np.ones((4, 4), bool)) == pytest.approx(expected)


def test_pixels_outside_the_mask_never_count(pictures):
    result, truth, mask = pictures
    spoiled = result.copy()
    spoiled[~mask] = 7
    assert masked_psnr(spoiled, truth, mask) == masked_psnr(result, truth, mask)
    assert masked_ssim(spoiled, truth, mask) == masked_ssim(result, truth, mask)


def test_ssim_agrees_with_its_definition(pictures):
    result, truth, _ = pictures
    mask = np.ones(truth.shape[:2], bool)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    a, b = (np.pad(p / 255.0, ((5, 5), (5, 5), (0, 0)), mode="symmetric") for p in (result, truth))
    total = 0.0
    for row in range(truth.shape[0]):
        for column in range(truth.shape[1]):
            patches = [p[row : row + 11, column : column + 11] for p in (a, b)]
            ma, mb = ((window[..., None] * p).sum((0, 1)) for p in patches)
            va, vb = (
                (window[..., None] * (p - m) ** 2).sum((0, 1)) for p, m in zip(patches, (ma, mb), strict=True)
            )
            cov = (window[..., None] * (patches[0] - ma) * (patches[1] - mb)).sum((0, 1))
            value = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
            total += value.mean()
    assert masked_ssim(result, truth, mask) == pytest.approx(total / mask.size, abs=1e-9)


def test_equal_pictures_and_empty_masks(pictures):
    _, truth, mask = pictures
    assert masked_psnr(truth, truth, mask) == float("inf")
    assert masked_ssim(truth, truth, mask) == pytest.approx(1.0)
    assert np.isnan(masked_psnr(truth, truth, np.zeros_like(mask)))


def test_mismatched_pictures_are_refused(pictures):
    result, truth, mask = pictures
    with pytest.raises(ValueError, match="do not match"):
        masked_psnr(result[1:], truth, mask)


def test_average_skips_what_was_not_measured(pictures):
    result, truth, mask = pictures
    one = compare(result, truth, mask, mouth=mask)
    assert one.mouth_psnr == one.psnr and np.isnan(one.eyes_psnr)
    other = PictureLikeness(one.psnr + 2, one.ssim, float("nan"), float("nan"), 0.5)
    mean = average([one, other])
    assert mean.psnr == pytest.approx(one.psnr + 1) and mean.mouth_psnr == one.mouth_psnr
    assert np.isnan(mean.eyes_psnr) and mean.pictures == 2
