"""Colour corrections that datasets bring per camera, applied to 8-bit sRGB pictures.

NeRSemble v1: color_correction/<serial>.npy, [3,4] or [4,4]: an affine map of sRGB in 0..1, rgb @ A[:3,:3] + A[:3,3].
NeRSemble v2: color_calibration.json, per serial [3,n]: a polynomial of linear RGB after Cheung et al. 2004 with n
terms: r g b, products of two, squares, product of three, one.
"""

from __future__ import annotations

import io
import math
import tokenize
from pathlib import Path

import numpy as np

from emoga.capture.calibration import numbers
from emoga.capture.listing import Adjust
from emoga.errors import InputError

# Exponents of r, g, b in each term, by the number of terms.
LINEAR = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
PAIRS = [(1, 1, 0), (1, 0, 1), (0, 1, 1)]
SQUARES = [(2, 0, 0), (0, 2, 0), (0, 0, 2)]
TRIPLE, ONE = [(1, 1, 1)], [(0, 0, 0)]
TERMS = {
    len(terms): terms
    for terms in (
        LINEAR, LINEAR + ONE, LINEAR + TRIPLE + ONE, LINEAR + PAIRS + ONE, LINEAR + PAIRS + TRIPLE + ONE,
        LINEAR + PAIRS + SQUARES + ONE, LINEAR + PAIRS + SQUARES + TRIPLE + ONE,
    )
}  # fmt: skip
MAX_BYTES = 1 << 16


def read_small_npy(path: Path) -> np.ndarray:
    """A matrix of a few numbers from a .npy file, never a pickle. Raises InputError for anything else."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("too large")
        stream = io.BytesIO(data)
        # A header may claim any shape: it must fit into the bytes that are there.
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("unknown version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
            raise ValueError("holds no plain numbers, or fewer than it claims")
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        TypeError,
        OverflowError,
        tokenize.TokenError,
    ) as error:
        raise InputError(f"{path}: not a small .npy matrix ({error!s:.80})") from error


def affine_correction(matrix: object, where: str) -> Adjust:
    """The correction by an affine map [3,4] or [4,4] of sRGB. Raises InputError for other shapes."""
    shape = (4, 4) if np.shape(matrix) == (4, 4) else (3, 4)
    found = numbers(matrix, shape, f"{where}: colour correction")
    return lambda picture: _rounded(picture.astype(np.float32) / 255 @ found[:3, :3] + found[:3, 3])


def polynomial_correction(matrix: object, where: str) -> Adjust:
    """The correction by a polynomial [3,n] of linear RGB. Raises InputError for other shapes."""
    terms = np.shape(matrix)[-1] if np.ndim(matrix) == 2 else 0
    if terms not in TERMS:
        raise InputError(
            f"{where}: colour correction with {terms} terms is unknown; known: {', '.join(map(str, TERMS))}"
        )
    found = numbers(matrix, (3, terms), f"{where}: colour correction")

    def correct(picture: np.ndarray) -> np.ndarray:
        linear = _linear(picture.astype(np.float32) / 255)
        expanded = [
            np.prod([linear[..., i] ** p for i, p in enumerate(power)], axis=0) for power in TERMS[terms]
        ]
        return _rounded(_encoded(np.stack(expanded, -1) @ found.T))

    return correct


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _rounded(rgb: np.ndarray) -> np.ndarray:
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
