"""The pictures of a registration at one size: what is compared, where, and how it changes when points move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emoga.camera import Camera
from emoga.emotion.learning.lifting import look, read
from emoga.emotion.learning.task import Task
from emoga.images import from_uint8

BLUR, SURROUND = 0.8, 2.5  # pixels of a level: what is finer, and what is broader, is not compared
# Contrasts of logarithms below which there is only noise; linear light added to what is dark.
GAMMA = 2.2
FAINT, FAINT_HUE, DARK = 0.08, 0.05, 0.01
TWOSIDED = 0.5  # share of the captured picture in slopes, for it is not noisy
LEAST_SHARE = 1e-3  # of a point in a picture, below which it is left out
LIPS = 0.3  # weight of points on lips: lines between them run where they touch, not where the skin is


@dataclass(frozen=True, eq=False)
class Compared:
    """One picture on the n points it shows, rows of all N: slopes [n,3,3] of contrasts with metres along the axes of
    rest, what is left to explain [n,3], shares [n]."""

    rows: np.ndarray
    slopes: np.ndarray
    left: np.ndarray
    share: np.ndarray


class Level:
    """One emotion's pictures at one size, captured colours already read."""

    def __init__(self, task: Task, before: np.ndarray, rows: int) -> None:
        """before: the frames' own meshes [T,V,3]."""
        self.task = task
        edits = task.edits
        height, width = edits.masks.shape[1:]
        rows = min(rows, height)
        self.size = (max(8, round(width * rows / height)), rows)
        self.cameras = [task.cameras[view].resized(*self.size) for view, _ in task.pairs]
        self.edited = [self._contrasts(picture) for picture in edits.edited]
        captured, gradients, self.shares, self.places = [], [], [], []
        lips = task.surface.region == task.frames.puppet.head.region_names.index("lips")
        telling = np.where(lips, np.float32(LIPS), np.float32(1))
        for p, ((_, row), camera) in enumerate(zip(task.pairs, self.cameras, strict=True)):
            sight = look(task.surface, before[row], camera)
            contrasts = self._contrasts(edits.captured[p])
            captured.append(read(contrasts, sight.pixels))
            gradients.append(_gradients(contrasts, sight.pixels))
            allowed = read(cv2.resize(edits.masks[p], self.size, interpolation=cv2.INTER_AREA), sight.pixels)
            self.shares.append(sight.share * telling * (allowed > 0.02))
            self.places.append(sight.pixels / self.size - 0.5)
        views = [view for view, _ in task.pairs]
        self.captured = of_other_frames(np.stack(captured), self.shares, views)
        self.gradients = of_other_frames(np.stack(gradients), self.shares, views)

    def compare(self, p: int, posed: np.ndarray, axes: np.ndarray) -> Compared:
        """Picture p on a mesh [V,3], on which the axes of rest lie along axes [N,3,3] (columns) in the world."""
        camera, picture = self.cameras[p], self.edited[p]
        sight = look(self.task.surface, posed, camera)
        share = self.shares[p] * sight.share
        rows = np.flatnonzero(share > LEAST_SHARE)
        pixels = sight.pixels[rows]
        depth = camera.project(self.task.surface.on_mesh(posed)[rows])[1]
        # As in two-sided alignment: the mean of both pictures' slopes.
        slopes = TWOSIDED * self.gradients[p][rows] + (1 - TWOSIDED) * _gradients(picture, pixels)
        slopes = slopes @ _projected(axes[rows], pixels, depth, camera)
        return Compared(rows, slopes, self.captured[p][rows] - read(picture, pixels), share[rows])

    def given(self, p: int) -> np.ndarray:
        """The caller's weights [N] of picture p."""
        small = cv2.resize(self.task.given[p], self.size, interpolation=cv2.INTER_AREA)
        return read(small, ((self.places[p] + 0.5) * self.size).astype(np.float32))

    def _contrasts(self, picture: np.ndarray) -> np.ndarray:
        """Local contrast [h,w,3] of a picture, of hue and of brightness: an editor's tints are gone, edges stay."""
        small = cv2.GaussianBlur(
            from_uint8(cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA)), (0, 0), BLUR
        )
        red, green, blue = np.moveaxis(np.log(small**GAMMA + DARK), -1, 0)
        hue = _contrast(np.dstack([red - green, blue - green]), FAINT_HUE)
        bright = _contrast(np.dstack([red + green + blue]) / 3, FAINT)
        return np.dstack([hue, bright])


def of_other_frames(values: np.ndarray, shares: Sequence[np.ndarray], views: Sequence[int]) -> np.ndarray:
    """values [P,N,...] of points, each the mean of those of its view in other frames, its own without any.

    Grain that editor and camera leave where it was is in a captured picture and in its edit at the same pixels, and
    would say that nothing has moved. On the skin of other frames it lies elsewhere.
    """
    weights = np.stack(shares).reshape(*values.shape[:2], *[1] * (values.ndim - 2))
    out = np.empty_like(values)
    for view in sorted(set(views)):
        at = [p for p, one in enumerate(views) if one == view]
        own, heavy = weights[at], weights[at] * values[at]
        others = own.sum(0) - own
        out[at] = np.where(
            others > LEAST_SHARE, (heavy.sum(0) - heavy) / np.maximum(others, LEAST_SHARE), values[at]
        )
    return out


def _gradients(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Slopes [N,3,2] of a picture along x and y at pixels [N,2]."""
    steps = np.float32([1, 0]), np.float32([0, 1])
    both = [0.5 * (read(picture, pixels + step) - read(picture, pixels - step)) for step in steps]
    return np.stack(both, -1)


def _contrast(values: np.ndarray, faint: float) -> np.ndarray:
    """Values [h,w,D] without what is broad, beside how much they vary around."""
    detail = values - cv2.GaussianBlur(values, (0, 0), SURROUND).reshape(values.shape)
    energy = cv2.GaussianBlur((detail * detail).mean(-1), (0, 0), SURROUND)
    return detail / np.sqrt(energy + faint**2)[..., None]


def _projected(axes: np.ndarray, pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels [N,2,3] by which axes [N,3,3] in the world shift points at `pixels` [N,2]."""
    local = camera.w2c[:3, :3].astype(np.float32) @ axes
    inverse = (1 / depth).astype(np.float32)[:, None]
    x = (pixels[:, :1] - camera.K[0, 2]).astype(np.float32)
    y = (pixels[:, 1:] - camera.K[1, 2]).astype(np.float32)
    fx, fy = np.float32(camera.K[0, 0]), np.float32(camera.K[1, 1])
    across = (fx * local[:, 0] - x * local[:, 2]) * inverse
    return np.stack([across, (fy * local[:, 1] - y * local[:, 2]) * inverse], 1)
