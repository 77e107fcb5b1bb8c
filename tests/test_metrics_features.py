"""FID, KID, precision, recall and distances against their definitions and against cases one can work out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from emoga.optimize.metrics_features import cosine_distances, fid, kid, recognition


def features(count: int, width: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(shift, scale, (count, width))).astype(np.float32)


def test_fid_is_the_frechet_distance_of_the_fitted_gaussians() -> None:
    a, b = features(60, 5), features(40, 5, 0.7, 1.6, seed=1)
    found = fid(a, b)
    means, covariances = [x.mean(0) for x in (a, b)], [np.cov(x, rowvar=False) for x in (a, b)]
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert not found.rank_deficient and found.rank == 5 and found.pictures == (60, 40)


def test_fid_of_few_pictures_says_that_its_covariance_lacks_rank() -> None:
    found = fid(features(8, 64), features(20, 64, seed=1))
    assert found.rank_deficient and found.rank == 7 and found.features == 64
    assert fid(features(8, 64), features(8, 64)).value == pytest.approx(0, abs=1e-5)
    assert np.isnan(fid(features(1, 4), features(9, 4)).value)


def test_kid_is_unbiased_and_its_interval_holds_it() -> None:
    same = [kid(features(30, 8, seed=s), features(30, 8, seed=s + 100)).value for s in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)
    far = kid(features(30, 8), features(30, 8, 1.0, seed=1))
    assert far.low < far.value < far.high and far.low > 0
    assert far == kid(features(30, 8), features(30, 8, 1.0, seed=1)), "the same seed, the same interval"
    assert np.isnan(kid(features(1, 4), features(9, 4)).value)


def test_kid_by_hand() -> None:
    a, b = np.array([[1.0, 0], [0, 1]]), np.array([[1.0, 1], [2, 0]])
    # Kernels (x·y/2 + 1)³: within a 1, within b 8, across 1.5³, 2³, 1.5³, 1.
    expected = 1 + 8 - 2 * (1.5**3 + 2**3 + 1.5**3 + 1) / 4
    assert kid(a, b).value == pytest.approx(expected)


def test_precision_and_recall() -> None:
    wanted = ["happy"] * 4 + ["angry"] * 4
    predicted = ["happy", "happy", "neutral", "angry", "angry", "angry", "happy", "sad"]
    happy = recognition(predicted, wanted, "happy")
    assert (happy.precision, happy.recall, happy.pictures) == (pytest.approx(2 / 3), 0.5, 4)
    never = recognition(["neutral"] * 8, wanted, "angry")
    assert (never.precision, never.recall) == (0, 0)
    assert np.isnan(recognition(predicted, wanted, "fear").recall)


def test_cosine_distance() -> None:
    a = np.array([[1.0, 0], [1, 1], [0, 0]])
    found = cosine_distances(a, np.array([[2.0, 0], [-1, -1], [1, 0]]))
    assert found[:2] == pytest.approx([0, 2]) and np.isnan(found[2])
