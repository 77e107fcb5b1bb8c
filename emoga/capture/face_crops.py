"""Square crops around faces: where they lie in a picture, how they are cut, and how points come back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emoga.capture.landmarks import CHIN, FOREHEAD

MARGIN = 1.3  # side of a crop over the longer side of the points' box
MESH = 468  # points that are no irises


@dataclass(frozen=True)
class FaceCrop:
    """A square in a picture: centre [2] and side in pixels, turned by `angle` (radians, clockwise as seen)."""

    centre: np.ndarray
    side: float
    angle: float = 0.0

    @staticmethod
    def around(points: np.ndarray, margin: float = MARGIN) -> FaceCrop:
        """The upright crop of a face with points [478,2]: forehead above chin."""
        down = points[CHIN] - points[FOREHEAD]
        angle = float(np.arctan2(-down[0], down[1]))
        turn = _turn(angle)
        upright = points[:MESH] @ turn  # inverse of the turn, for rows
        low, high = upright.min(0), upright.max(0)
        return FaceCrop(turn @ ((low + high) / 2), float((high - low).max()) * margin, angle)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points [...,2] in -1..1 over the crop, in pixels of the picture."""
        return points * (self.side / 2) @ _turn(self.angle).T + self.centre

    def from_picture(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [...,2] of the picture in -1..1 over the crop."""
        return (pixels - self.centre) @ _turn(self.angle) / (self.side / 2)

    def matrix(self, size: int) -> np.ndarray:
        """Affine map [2,3] from the picture's pixels to those of the cut crop, centres at +0.5 in both."""
        scale = size / self.side
        linear = scale * _turn(self.angle).T
        shift = size / 2 - linear @ self.centre
        # OpenCV has pixel centres at whole numbers.
        return np.column_stack([linear, shift + linear @ [0.5, 0.5] - 0.5])

    def cut(self, picture: np.ndarray, size: int) -> np.ndarray:
        """The crop [size,size,3] of an uint8 picture [H,W,3]; outside, the border goes on."""
        picture, crop = _shrunk(picture, self, size)
        return cv2.warpAffine(
            picture, crop.matrix(size), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def _turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _shrunk(picture: np.ndarray, crop: FaceCrop, size: int) -> tuple[np.ndarray, FaceCrop]:
    """Picture and crop made smaller where cutting alone would skip pixels."""
    factor = size / crop.side
    if factor > 0.7:
        return picture, crop
    # Only what the crop may show is looked at: a large picture is not shrunk as a whole.
    reach = 0.75 * crop.side
    low = np.clip(np.floor(crop.centre - reach), 0, [picture.shape[1] - 1, picture.shape[0] - 1]).astype(int)
    high = np.clip(np.ceil(crop.centre + reach), low + 1, [picture.shape[1], picture.shape[0]]).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    width, height = np.maximum(np.round((high - low) * factor).astype(int), 1)
    scale = np.array([width, height]) / (high - low)
    small = cv2.resize(part, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    return small, FaceCrop((crop.centre - low) * scale, crop.side * float(scale.mean()), crop.angle)
