"""An emotion's colours told apart from its editor's: two random fields on the skin, and noise.

What the edits agree on is   y_e(x) = b(x) + k_e(x) t_e(x) + noise.   The editor's bias b lies everywhere alike and
is the same for every emotion; what the emotion itself adds, t, is where the face changes (k), and of each emotion's
own. Both are smooth; how large each is follows from the data, by the likelihood of y. Where pictures play an emotion
with different strengths, what grows with strength is of the emotion and not of the editor, up to what the pictures' own
drifts add by chance. The answer is what is to be expected of k t given all that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import scipy.linalg

from emoga.emotion.surface import Surface

ANCHORS = 900  # points the fields are worked out on, all emotions together
TRIALS = 450  # of which so many choose the sizes
NOISE = 0.012  # sRGB 0..1, of one point seen once
BIAS_LENGTHS = (0.045, 0.015)  # metres
OWN_LENGTH = 0.012
BIASES = (0.0, 0.02, 0.04, 0.07, 0.12)  # sizes to choose from, sRGB 0..1
# Blood and folds change skin by a few hundredths; what is more is an editor's.
OWN = (0.0, 0.006, 0.012)
COMMON = (0.02, 0.08)
SEEN = 0.3  # evidence of growth below which nothing is asked
# What pictures' own drifts add to growth by chance: broad, for they are smooth over a picture. sRGB 0..1, metres.
DRIFT, DRIFT_LENGTH = 0.04, 0.08


@dataclass(frozen=True)
class Sizes:
    """Standard deviations, sRGB 0..1: bias over the whole head, bias from place to place, emotion's own."""

    common: float
    bias: float
    own: float


@dataclass(frozen=True, eq=False)
class Grown:
    """How colours grow with an emotion's strength: change [N,3] at full strength, evidence [N], noise of one of it."""

    change: np.ndarray
    evidence: np.ndarray
    noise: float


def emotions_own(
    surface: Surface,
    changes: Sequence[np.ndarray],
    moved: Sequence[np.ndarray],
    evidence: Sequence[np.ndarray],
    grown: Sequence[Grown] = (),
    seed: int = 0,
) -> tuple[list[np.ndarray], Sizes]:
    """The part of each emotion's changes [N,3] that is its own, for moved [N] in 0..1 and evidence [N].

    grown: for each emotion also what grows with strength, or nothing.
    """
    rng = np.random.default_rng([seed, 9])
    each = max(50, ANCHORS // len(changes))
    chosen = [_anchors(rng, e, each) for e in evidence]
    parts = changes, moved, evidence
    sizes = _sizes(_stack(surface, *parts, [c[: max(30, TRIALS // len(changes))] for c in chosen]))
    known = _stack(surface, *parts, chosen)
    if grown:
        known = known.beside(
            _stack_grown(surface, grown, moved, [_anchors(rng, g.evidence, each, SEEN) for g in grown])
        )
    covariance = _covariance(known, sizes)
    covariance[np.diag_indices(len(covariance))] += known.noise
    solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(covariance), known.values)
    found = []
    for e, k in enumerate(moved):
        part = np.empty((len(surface), 3), np.float32)
        for start in range(0, len(surface), 4000):
            rows = slice(start, start + 4000)
            part[rows] = (
                _own_kernel(surface.rest[rows], k[rows], np.full(len(k[rows]), e), known, sizes) @ solved
            )
        found.append(part)
    return found, sizes


def _anchors(rng: np.random.Generator, evidence: np.ndarray, count: int, least: float = 0.5) -> np.ndarray:
    seen = np.flatnonzero(evidence > least)
    return rng.permutation(seen)[:count]


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known at A places: rest [A,3], share of own colours [A], emotion [A], noise [A] squared, values [A,3].

    grown [A] bool: values that are growth with strength, to which an editor's bias adds nothing.
    """

    rest: np.ndarray
    own: np.ndarray
    emotion: np.ndarray
    noise: np.ndarray
    values: np.ndarray
    grown: np.ndarray

    def beside(self, other: _Known) -> _Known:
        """Both."""
        return _Known(
            *(np.concatenate([getattr(one, f.name) for one in (self, other)]) for f in fields(_Known))
        )


def _stack(surface, changes, moved, evidence, chosen) -> _Known:
    noise = [NOISE**2 / np.minimum(e[rows], 4) + 1e-6 for e, rows in zip(evidence, chosen, strict=True)]
    return _known(surface, changes, moved, noise, chosen, False)


def _stack_grown(surface, grown: Sequence[Grown], moved, chosen) -> _Known:
    noise = [one.noise**2 / one.evidence[rows] for one, rows in zip(grown, chosen, strict=True)]
    return _known(surface, [one.change for one in grown], moved, noise, chosen, True)


def _known(surface, changes, moved, noise, chosen, grown: bool) -> _Known:
    count = sum(len(rows) for rows in chosen)
    return _Known(
        np.concatenate([surface.rest[rows] for rows in chosen]),
        np.concatenate([k[rows] for k, rows in zip(moved, chosen, strict=True)]),
        np.concatenate([np.full(len(rows), e) for e, rows in enumerate(chosen)]),
        np.concatenate(noise),
        np.concatenate([c[rows] for c, rows in zip(changes, chosen, strict=True)]).astype(np.float64),
        np.full(count, grown),
    )


def _own_kernel(
    rest: np.ndarray, own: np.ndarray, emotion: np.ndarray, known: _Known, sizes: Sizes
) -> np.ndarray:
    apart = ((rest[:, None] - known.rest[None]) ** 2).sum(-1)
    same = emotion[:, None] == known.emotion[None]
    return sizes.own**2 * own[:, None] * known.own[None] * np.exp(-0.5 * apart / OWN_LENGTH**2) * same


def _covariance(known: _Known, sizes: Sizes) -> np.ndarray:
    apart = ((known.rest[:, None] - known.rest[None]) ** 2).sum(-1)
    bias = sizes.common**2 + sizes.bias**2 * np.mean(
        [np.exp(-0.5 * apart / length**2) for length in BIAS_LENGTHS], 0
    )
    bias *= ~known.grown[:, None] & ~known.grown[None]
    drift = (
        DRIFT**2 * np.exp(-0.5 * apart / DRIFT_LENGTH**2) * (known.emotion[:, None] == known.emotion[None])
    )
    drift *= known.grown[:, None] & known.grown[None]
    return bias + drift + _own_kernel(known.rest, known.own, known.emotion, known, sizes)


def _sizes(known: _Known) -> Sizes:
    """The most likely sizes among a grid."""
    best, found = np.inf, Sizes(0.0, 0.0, 0.0)
    for common in COMMON:
        for bias in BIASES:
            for size in OWN:
                sizes = Sizes(common, bias, size)
                covariance = _covariance(known, sizes)
                covariance[np.diag_indices(len(covariance))] += known.noise
                factor = scipy.linalg.cho_factor(covariance, lower=True)
                fit = 0.5 * (known.values * scipy.linalg.cho_solve(factor, known.values)).sum()
                cost = fit + known.values.shape[1] * np.log(np.diag(factor[0])).sum()
                if cost < best:
                    best, found = cost, sizes
    return found
