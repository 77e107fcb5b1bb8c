"""Square pictures for models that were trained on squares: padded, never squeezed, and undone exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class SquareFrame:
    """Where a picture of `height` x `width` lies in a square of `side` pixels that is edited at `size`."""

    height: int
    width: int
    size: int

    @property
    def side(self) -> int:
        """Side of the padded square, in the picture's own pixels; `size` itself where that is just larger."""
        longest = max(self.height, self.width)
        return self.size if longest <= self.size < 1.25 * longest else longest

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the picture's first pixel in the square: it lies in the middle."""
        return (self.side - self.height) // 2, (self.side - self.width) // 2

    def enclose(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [H,W,3] or [H,W] to [size,size,...]; the border repeats the picture's edge."""
        top, left = self.corner
        margins = ((top, self.side - self.height - top), (left, self.side - self.width - left))
        square = np.pad(picture, (*margins, *((0, 0),) * (picture.ndim - 2)), mode="edge")
        return _resized(square, self.size)

    def release(self, square: np.ndarray) -> np.ndarray:
        """uint8 [size,size,3] back to the picture's own pixels [H,W,3]."""
        top, left = self.corner
        return _resized(square, self.side)[top : top + self.height, left : left + self.width]


def _resized(square: np.ndarray, size: int) -> np.ndarray:
    if square.shape[0] == size:
        return square
    method = Image.Resampling.BOX if size < square.shape[0] else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(square).resize((size, size), method))
