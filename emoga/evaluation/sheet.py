"""The worst pictures of an evaluation, side by side: truth, render, error."""

from __future__ import annotations

import numpy as np

from emoga.images import contact_sheet
from emoga.optimize.scoring import Comparison

ERROR_GAIN = 4
CELL = 256


def error_picture(comparison: Comparison) -> np.ndarray:
    """uint8 [H,W,3]: absolute error inside the mask, amplified; grey outside."""
    error = np.abs(comparison.result.astype(np.int16) - comparison.truth) * ERROR_GAIN
    outside = np.full_like(comparison.truth, 40)
    return np.where(comparison.mask[..., None], np.minimum(error, 255).astype(np.uint8), outside)


def worst_sheet(comparisons: list[tuple[str, Comparison]], cell: int = CELL) -> np.ndarray:
    """uint8 contact sheet of (split, comparison): one row each, truth | render | error x 4."""
    pictures, labels = [], []
    for split, comparison in comparisons:
        score = comparison.score
        pictures += [comparison.truth, comparison.result, error_picture(comparison)]
        labels += [
            f"{split} v{score.view} f{score.frame}",
            f"{score.likeness.psnr:.2f} dB",
            f"error x {ERROR_GAIN}",
        ]
    # Cameras may differ in size; cells of a sheet may not.
    first = pictures[0].shape
    fitted = [picture if picture.shape == first else _fitted(picture, first) for picture in pictures]
    return contact_sheet(fitted, labels, columns=3, cell=cell)


def _fitted(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    height, width = min(shape[0], picture.shape[0]), min(shape[1], picture.shape[1])
    canvas[:height, :width] = picture[:height, :width]
    return canvas
