"""Figures on what networks say of pictures: FID, KID, precision and recall, distances between faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOOTSTRAPS = 200
INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Fid:
    """Fréchet distance of two sets of features and what it rests on.

    rank: that of the poorer covariance, which n pictures cannot raise above n - 1. rank_deficient: below the
    number of features, so that whole directions of the feature space go unmeasured.
    """

    value: float
    pictures: tuple[int, int]
    features: int
    rank: int
    rank_deficient: bool


def fid(a: np.ndarray, b: np.ndarray) -> Fid:
    """Fréchet distance between Gaussians fitted to features a [N,D] and b [M,D]; NaN below two pictures each."""
    _check(a, b)
    counts, width = (len(a), len(b)), a.shape[1]
    if min(counts) < 2:
        return Fid(float("nan"), counts, width, 0, True)
    a, b = a.astype(np.float64), b.astype(np.float64)
    roots = [(part - part.mean(0)) / np.sqrt(len(part) - 1) for part in (a, b)]
    # With C = R'R, trace sqrt(C1 C2) is the sum of singular values of R1 R2': no [D,D] matrix is needed.
    cross = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = sum((root * root).sum() for root in roots)
    value = float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread - 2 * cross)
    rank = min(int(np.linalg.matrix_rank(root)) for root in roots)
    return Fid(max(value, 0.0), counts, width, rank, rank < width)


@dataclass(frozen=True)
class Kid:
    """Kernel distance (unbiased, so it may fall below zero) with a 95 % bootstrap interval over pictures."""

    value: float
    low: float
    high: float
    pictures: tuple[int, int]


def kid(a: np.ndarray, b: np.ndarray, seed: int = 0, rounds: int = BOOTSTRAPS) -> Kid:
    """Unbiased squared MMD with the kernel (x·y / D + 1)³ of features a [N,D] and b [M,D].

    NaN below two pictures each. The bootstrap draws pictures with replacement; a picture is never paired with
    its own copy, which would look like perfect likeness.
    """
    _check(a, b)
    counts = (len(a), len(b))
    if min(counts) < 2:
        return Kid(*[float("nan")] * 3, counts)
    a, b = a.astype(np.float64), b.astype(np.float64)
    kernels = [(x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    rng = np.random.default_rng([seed, 29])
    drawn = []
    for _ in range(rounds):
        p, q = (np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for n in counts)
        if min((p > 0).sum(), (q > 0).sum()) >= 2:
            drawn.append(_mmd(*kernels, p, q))
    low, high = np.percentile(drawn, INTERVAL) if drawn else (float("nan"),) * 2
    return Kid(_mmd(*kernels, np.ones(counts[0]), np.ones(counts[1])), float(low), float(high), counts)


def _mmd(aa: np.ndarray, bb: np.ndarray, ab: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """Squared MMD with picture i of the first set counted p[i] times, j of the second q[j] times."""
    within = 0.0
    for kernel, weight in ((aa, p), (bb, q)):
        pairs = np.outer(weight, weight)
        np.fill_diagonal(pairs, 0)
        within += (kernel * pairs).sum() / pairs.sum()
    return float(within - 2 * p @ ab @ q / (p.sum() * q.sum()))


@dataclass(frozen=True)
class Recognition:
    """Precision and recall of one label; both 0 where it was never predicted, as the thesis prints it."""

    precision: float
    recall: float
    pictures: int


def recognition(predicted: Sequence[str], wanted: Sequence[str], label: str) -> Recognition:
    """How well `label` is recognised among pictures that were to show `wanted`; recall is NaN where none was."""
    hits = sum(p == w == label for p, w in zip(predicted, wanted, strict=True))
    claimed, there = list(predicted).count(label), list(wanted).count(label)
    precision = hits / claimed if claimed else 0.0
    return Recognition(precision, hits / there if there else float("nan"), there)


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cosine of every row of a [N,D] with the same row of b [N,D]; NaN for rows without length."""
    _check(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (a * b).sum(1) / lengths


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features {a.shape} and {b.shape} do not match")
