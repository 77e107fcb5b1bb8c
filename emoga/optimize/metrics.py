"""Figures of likeness between pictures: PSNR and SSIM inside a mask, as every report of emoga means them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

SSIM_SIGMA = 1.5
SSIM_WINDOW = 11
MASK_THRESHOLD = 128


def binary_mask(mask: np.ndarray) -> np.ndarray:
    """bool [H,W] of an 8-bit alpha [H,W]: at least half covered."""
    return mask if mask.dtype == bool else mask >= MASK_THRESHOLD


def masked_psnr(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """PSNR in dB of uint8 [H,W,3] pictures over the pixels of bool [H,W] mask times three channels.

    Infinity for equal pictures, NaN for an empty mask.
    """
    _check(result, truth, mask)
    if not mask.any():
        return float("nan")
    difference = result[mask].astype(np.float64) - truth[mask].astype(np.float64)
    error = np.mean(difference * difference)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def masked_ssim(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """SSIM of uint8 [H,W,3] pictures, both white outside bool [H,W] mask, its map averaged over the mask.

    Gaussian window, sigma 1.5, 11x11, data range 1, mirrored at the borders. NaN for an empty mask.
    """
    _check(result, truth, mask)
    if not mask.any():
        return float("nan")
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    pad = SSIM_WINDOW
    # Far from the mask both pictures are white; only its surroundings need filtering.
    box = (
        slice(max(rows[0] - pad, 0), rows[-1] + 1 + pad),
        slice(max(columns[0] - pad, 0), columns[-1] + 1 + pad),
    )
    inside = mask[box]
    a, b = (np.where(inside[..., None], picture[box] / 255.0, 1.0) for picture in (result, truth))
    return float(ssim_map(a, b)[inside].mean())


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Local SSIM [H,W,3] of float64 pictures [H,W,3] in 0..1."""
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))


@dataclass(frozen=True)
class Likeness:
    """Figures averaged over pictures; NaN where nothing was measured. PSNR in dB, mask_fraction in 0..1."""

    pictures: int
    psnr: float
    ssim: float
    mouth_psnr: float
    eyes_psnr: float
    mask_fraction: float


@dataclass(frozen=True)
class PictureLikeness:
    """Figures of one picture."""

    psnr: float
    ssim: float
    mouth_psnr: float
    eyes_psnr: float
    mask_fraction: float


def compare(
    result: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    mouth: np.ndarray | None = None,
    eyes: np.ndarray | None = None,
) -> PictureLikeness:
    """All figures of one uint8 picture [H,W,3] against the truth; masks [H,W] bool or 8-bit."""
    mask = binary_mask(mask)
    regions = [
        float("nan") if region is None else masked_psnr(result, truth, region & mask)
        for region in (mouth, eyes)
    ]
    return PictureLikeness(
        masked_psnr(result, truth, mask), masked_ssim(result, truth, mask), *regions, float(mask.mean())
    )


def average(pictures: Iterable[PictureLikeness]) -> Likeness:
    """Per-picture figures averaged; pictures where a figure is not defined do not count for it."""
    pictures = list(pictures)

    def mean(name: str) -> float:
        values = np.array([getattr(picture, name) for picture in pictures], np.float64)
        values = np.minimum(values[~np.isnan(values)], 100.0)  # equal pictures must not make a mean infinite
        return float(values.mean()) if len(values) else float("nan")

    names = ("psnr", "ssim", "mouth_psnr", "eyes_psnr", "mask_fraction")
    return Likeness(len(pictures), *(mean(name) for name in names))


def _check(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> None:
    if result.shape != truth.shape or result.shape[:2] != mask.shape or result.ndim != 3:
        raise ValueError(f"pictures {result.shape}, {truth.shape} and mask {mask.shape} do not match")
    if result.dtype != np.uint8 or truth.dtype != np.uint8 or mask.dtype != bool:
        raise ValueError("pictures must be uint8 and the mask bool")


def _blur(picture: np.ndarray) -> np.ndarray:
    window = (SSIM_WINDOW, SSIM_WINDOW)
    return cv2.GaussianBlur(picture, window, SSIM_SIGMA, borderType=cv2.BORDER_REFLECT)
