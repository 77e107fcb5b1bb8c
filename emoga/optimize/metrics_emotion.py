"""Figures of an emotion: displacement reached, flicker, change outside the masks, agreement between views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoga.images import from_uint8
from emoga.optimize.surface_pictures import look_up

# Flicker counts only where the emotion is there to flicker, change outside only where it changes the inside.
FLICKER_NEEDS, CHANGE_NEEDS = 0.9, 0.8

Motion = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Displacement:
    """How far an emotion's displacement [.., V,3] goes the truth's way.

    share: slope of the result on the truth through zero, 1 when all of it is reached. cosine between the two.
    rmse_mm: root mean square over vertices of their distance. truth_mm, result_mm: that of each alone.
    """

    share: float
    cosine: float
    rmse_mm: float
    truth_mm: float
    result_mm: float


def displacement_reached(result: np.ndarray, truth: np.ndarray) -> Displacement:
    """Compare displacements [..,V,3] in metres, of the same vertices and frames, each from its own neutral."""
    if result.shape != truth.shape or result.shape[-1] != 3:
        raise ValueError(f"displacements {result.shape} and {truth.shape} do not match")
    a, b = (np.asarray(part, np.float64).reshape(-1, 3) for part in (result, truth))
    length_a, length_b = float(np.sqrt((a * a).sum())), float(np.sqrt((b * b).sum()))
    product = float((a * b).sum())

    def rms_mm(values: np.ndarray) -> float:
        return float(1e3 * np.sqrt((values * values).sum(-1).mean()))

    return Displacement(
        share=product / length_b**2 if length_b else float("nan"),
        cosine=product / (length_a * length_b) if length_a and length_b else float("nan"),
        rmse_mm=rms_mm(a - b),
        truth_mm=rms_mm(b),
        result_mm=rms_mm(a),
    )


@dataclass(frozen=True)
class TemporalError:
    """A sum over pixels, and how many they were; those of several views add up."""

    total: float = 0.0
    pixels: int = 0

    def __add__(self, other: TemporalError) -> TemporalError:
        return TemporalError(self.total + other.total, self.pixels + other.pixels)

    @property
    def mean(self) -> float:
        """Mean absolute value per channel, in 0..1; NaN without pixels."""
        return self.total / self.pixels if self.pixels else float("nan")


def temporal_error(
    pictures: np.ndarray, truth: np.ndarray | None, masks: np.ndarray, motions: Sequence[Motion]
) -> TemporalError:
    """|Δₜ(pictures) - Δₜ(truth)| in the mask over the frames of one view; |Δₜ(pictures)| without truth.

    pictures, truth [T,H,W,3] uint8 or 0..1; masks [T,H,W] bool; motions: for each step to the next frame what
    `surface_motion` gives. Δₜ is the next picture minus this one moved along. A pixel counts where the surface
    point it shows was in sight and in the mask in both frames.
    """
    if len(motions) != len(pictures) - 1:
        raise ValueError(f"{len(pictures)} pictures need {len(pictures) - 1} motions, got {len(motions)}")
    sums = TemporalError()
    for t, (pixels, known) in enumerate(motions):
        inside = _followed(masks[t], masks[t + 1], pixels, known)
        change = _change(pictures[t], pictures[t + 1], pixels)
        if truth is not None:
            change = change - _change(truth[t], truth[t + 1], pixels)
        total = np.abs(change[inside], dtype=np.float64).sum() / 3
        sums += TemporalError(float(total), int(inside.sum()))
    return sums


def noise_error(noise: float, masks: np.ndarray, motions: Sequence[Motion]) -> TemporalError:
    """The temporal error that a perfect, clean result would show against a truth with noise in it.

    noise: its standard deviation in 0..1, taken for Gaussian and independent from pixel to pixel; masks, motions as
    `temporal_error` takes them. Between pixels the picture before is averaged, and so is its noise.
    """
    sums = TemporalError()
    for t, (pixels, known) in enumerate(motions):
        inside = _followed(masks[t], masks[t + 1], pixels, known)
        along = (pixels[inside] - 0.5) % 1
        kept = (along**2 + (1 - along) ** 2).prod(-1)
        expected = np.sqrt(2 / np.pi) * noise * np.sqrt(1 + kept, dtype=np.float64)
        sums += TemporalError(float(expected.sum()), int(inside.sum()))
    return sums


@dataclass(frozen=True)
class Flicker:
    """Temporal error of the result over that of the edits; valid where the result shows the emotion.

    result, edits: mean absolute errors in 0..1; displacement: share of the truth's that is reached. floor: the ratio
    that noise in the truth alone makes, NaN where its noise is unknown.
    """

    ratio: float
    result: float
    edits: float
    displacement: float
    valid: bool
    floor: float = float("nan")


def flicker(
    result: TemporalError, edits: TemporalError, displacement: float, noise: TemporalError | None = None
) -> Flicker:
    """The ratio of two temporal errors against the truth, over the same pixels; noise: see `noise_error`."""
    ratio = result.mean / edits.mean if edits.total else float("nan")
    floor = noise.mean / edits.mean if noise is not None and edits.total else float("nan")
    valid = bool(displacement >= FLICKER_NEEDS)
    return Flicker(ratio, result.mean, edits.mean, displacement, valid, floor)


@dataclass(frozen=True)
class ChangeOutside:
    """What an emotion changes where it may not, in 8-bit levels of 255.

    mean and largest over pixels and channels outside; effect: mean change inside as a share of the truth's, NaN
    without truth; valid: that share is large enough for `mean` to mean anything (False without truth).
    """

    mean: float
    largest: float
    effect: float
    valid: bool
    pixels: int


def change_outside(
    emotional: np.ndarray,
    neutral: np.ndarray,
    inside: np.ndarray,
    region: np.ndarray | None = None,
    truth_change: float | None = None,
) -> ChangeOutside:
    """Compare pictures [P,H,W,3] uint8 of one pose and backend, with the emotion and without.

    inside [P,H,W] bool: the union of the dilated masks. region [P,H,W] bool: where to look at all, such as the
    head; everywhere by default. truth_change: mean |emotion - neutral| of the truth inside, in levels, see
    `mean_change`.
    """
    region = np.ones(inside.shape, bool) if region is None else region
    change = np.abs(emotional.astype(np.int16) - neutral)
    outside = change[region & ~inside]
    effect = float("nan")
    if truth_change:
        effect = mean_change(emotional, neutral, region & inside) / truth_change
    mean, largest = (float(outside.mean()), float(outside.max())) if outside.size else (float("nan"),) * 2
    return ChangeOutside(mean, largest, effect, bool(effect >= CHANGE_NEEDS), len(outside))


def mean_change(pictures: np.ndarray, others: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute difference of uint8 pictures [P,H,W,3], in levels, over bool [P,H,W]; NaN where none."""
    change = np.abs(pictures.astype(np.int16) - others)[where]
    return float(change.mean()) if change.size else float("nan")


@dataclass(frozen=True)
class CrossView:
    """Spread over views of what they show of the same surface point, in 0..1, and over how many points."""

    spread: float
    points: int


def cross_view_spread(values: np.ndarray, seen: np.ndarray) -> CrossView:
    """Root mean square, over points seen by two views or more, of the standard deviation over views.

    values [C,P,D] in 0..1 as `lift` gives them, seen [C,P] bool. Shading that turns with the view counts as well:
    compare with the spread of the neutral playback and of the truth.
    """
    count = seen.sum(0)
    several = count >= 2
    if not several.any():
        return CrossView(float("nan"), 0)
    values, weight = values[:, several].astype(np.float64), seen[:, several, None]
    mean = (values * weight).sum(0) / count[several, None]
    squared = ((values - mean) ** 2 * weight).sum(0) / (count[several, None] - 1)
    return CrossView(float(np.sqrt(squared.mean())), int(several.sum()))


@dataclass(frozen=True)
class UnitAgreement:
    """Expression units found against expected: Pearson correlation, slope of found on expected, RMSE."""

    correlation: float
    slope: float
    rmse: float


def unit_agreement(found: np.ndarray, expected: np.ndarray) -> UnitAgreement:
    """Compare unit weights of one shape. Correlation and slope are NaN where nothing varies."""
    a, b = (np.asarray(part, np.float64).ravel() for part in (found, expected))
    rmse = float(np.sqrt(((a - b) ** 2).mean())) if a.size else float("nan")
    if a.size < 2 or b.std() == 0:
        return UnitAgreement(float("nan"), float("nan"), rmse)
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    correlation = covariance / (a.std() * b.std()) if a.std() else float("nan")
    return UnitAgreement(float(correlation), float(covariance / b.var()), rmse)


def _followed(before: np.ndarray, after: np.ndarray, pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool [H,W]: pixels in the mask after whose surface point was in sight, and in the mask, before."""
    return after & known & (look_up(before.astype(np.float32), pixels) > 0.999)


def _change(picture: np.ndarray, following: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The next picture minus this one, looked up where the surface was; float32 [H,W,3]."""
    following = from_uint8(following) if following.dtype == np.uint8 else following.astype(np.float32)
    return following - look_up(picture, pixels)
