"""An emotion's colours told apart from its editor's: two random fields on the skin, and noise.

What the edits agree on is   y_e(x) = b(x) + t_e(x) + noise.   The editor's bias b is the same for every emotion; what
the emotion itself adds, t, is each emotion's own, so that emotions learnt together tell most of it. Both are smooth;
how large each is follows from the data, by the likelihood of y. The answer is what is to be expected of t given y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from emoga.emotion.learning.surface import Surface

ANCHORS = 2000  # points the fields are worked out on, all emotions together
TRIALS = 450  # of which so many choose the sizes
NOISE = 0.012  # sRGB 0..1, of one point seen once
BIAS_LENGTHS = (0.045, 0.015)  # metres
OWN_LENGTH = 0.012
BIASES = (0.0, 0.02, 0.04, 0.07, 0.12)  # sizes to choose from, sRGB 0..1
# Blood and folds change skin by a few hundredths; what is more is an editor's.
OWN = (0.0, 0.006, 0.012, 0.02)
COMMON = (0.02, 0.08)


@dataclass(frozen=True)
class Sizes:
    """Standard deviations, sRGB 0..1: bias over the whole head, bias from place to place, emotion's own."""

    common: float
    bias: float
    own: float


def emotions_own(
    surface: Surface,
    changes: Sequence[np.ndarray],
    evidence: Sequence[np.ndarray],
    seed: int = 0,
) -> tuple[list[np.ndarray], Sizes]:
    """The part of each emotion's changes [N,3] that is its own, for evidence [N]."""
    rng = np.random.default_rng([seed, 9])
    each = max(50, ANCHORS // len(changes))
    chosen = [_anchors(rng, e, each) for e in evidence]
    sizes = _sizes(surface, changes, evidence, [c[: max(30, TRIALS // len(changes))] for c in chosen])
    rest, tags, noise, values = _stack(surface, changes, evidence, chosen)
    covariance = _covariance(rest, tags, sizes)
    covariance[np.diag_indices(len(rest))] += noise
    solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(covariance), values)
    found = []
    for e in range(len(changes)):
        part = np.empty((len(surface), 3), np.float32)
        tag = np.full(len(surface), e)
        for start in range(0, len(surface), 4000):
            rows = slice(start, start + 4000)
            kernel = _own_kernel(surface.rest[rows], tag[rows], rest, tags, sizes)
            part[rows] = kernel @ solved
        found.append(part)
    return found, sizes


def _anchors(rng: np.random.Generator, evidence: np.ndarray, count: int) -> np.ndarray:
    seen = np.flatnonzero(evidence > 0.5)
    return rng.permutation(seen)[:count]


def _stack(surface, changes, evidence, chosen):
    rest = np.concatenate([surface.rest[rows] for rows in chosen])
    tags = np.concatenate([np.full(len(rows), e) for e, rows in enumerate(chosen)])
    noise = np.concatenate(
        [NOISE**2 / np.minimum(e[rows], 4) + 1e-6 for e, rows in zip(evidence, chosen, strict=True)]
    )
    values = np.concatenate([c[rows] for c, rows in zip(changes, chosen, strict=True)])
    return rest, tags, noise, values.astype(np.float64)


def _own_kernel(rest_a, tags_a, rest_b, tags_b, sizes: Sizes) -> np.ndarray:
    apart = ((rest_a[:, None] - rest_b[None]) ** 2).sum(-1)
    return sizes.own**2 * np.exp(-0.5 * apart / OWN_LENGTH**2) * (tags_a[:, None] == tags_b[None])


def _covariance(rest, tags, sizes: Sizes) -> np.ndarray:
    apart = ((rest[:, None] - rest[None]) ** 2).sum(-1)
    bias = np.mean([np.exp(-0.5 * apart / length**2) for length in BIAS_LENGTHS], 0)
    return sizes.common**2 + sizes.bias**2 * bias + _own_kernel(rest, tags, rest, tags, sizes)


def _sizes(surface, changes, evidence, chosen) -> Sizes:
    """The most likely sizes among a grid."""
    rest, tags, noise, values = _stack(surface, changes, evidence, chosen)
    best, found = np.inf, Sizes(0.0, 0.0, 0.0)
    for common in COMMON:
        for bias in BIASES:
            for size in OWN:
                sizes = Sizes(common, bias, size)
                covariance = _covariance(rest, tags, sizes)
                covariance[np.diag_indices(len(rest))] += noise
                factor = scipy.linalg.cho_factor(covariance, lower=True)
                fit = 0.5 * (values * scipy.linalg.cho_solve(factor, values)).sum()
                cost = fit + values.shape[1] * np.log(np.diag(factor[0])).sum()
                if cost < best:
                    best, found = cost, sizes
    return found
