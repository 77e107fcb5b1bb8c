"""Training pictures in memory: 8-bit, with mattes, at full and half resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture.track import Track
from emoga.kernels import kernel, run_parallel
from emoga.optimize.backdrop import (
    CERTAIN_EMPTY,
    CERTAIN_FULL,
    backdrops,
    certain_matte,
    on_backdrop,
    seen_through,
)
from emoga.progress import Reporter, tracked
from emoga.threads import finish, threads_for_pictures

CLOTHING_WEIGHT = 0.3
UNCERTAIN_WEIGHT = np.float32(0.2)  # of the alpha where the matte is at an edge: else halos pass for skin
BYTE = np.float32(1 / 255)
_HEM = np.ones((7, 7), np.uint8)  # pixels around clothing into which its soft edge reaches
# Bytes as floats, and of a matte what shines through: looked up, so that no compiler fuses their roundings.
_LEVELS = np.arange(256, dtype=np.uint8) * BYTE
_THROUGH = 1 - _LEVELS


@dataclass(frozen=True)
class Example:
    """One picture to fit: target [H,W,3] over backdrop [3], alpha [H,W], and weights [H,W] of both losses.

    head_only: clothing does not count here, and what soaks it up must not be drawn. hidden [F + bones]: frames whose
    Gaussians wear the colour disguise [3], for nothing of them can be seen here. bare: all others are black.
    """

    view: int
    frame: int
    camera: Camera
    target: torch.Tensor
    backdrop: torch.Tensor
    weight: torch.Tensor
    alpha: torch.Tensor
    alpha_weight: torch.Tensor
    head_only: bool = False
    hidden: torch.Tensor | None = None
    disguise: torch.Tensor | None = None
    bare: bool = False


class TrainingPictures:
    """Every training view of every training frame of a track."""

    def __init__(
        self, track: Track, views: list[int], frames: list[int], report: Reporter, halves: bool = True
    ) -> None:
        self.cameras = track.cameras
        self.has_masks = np.float32(track.masks is not None)
        self.pairs = [(view, frame) for frame in frames for view in views]
        self.backdrops, self.flat = backdrops(track, frames)
        self._stacks: dict[tuple[int, int, bool], tuple[np.ndarray, ...]] = {}

        def keep(read: tuple[int, int, np.ndarray]) -> None:
            view, frame, picture = read
            full = self._prepare(track, view, frame, picture)
            self._stacks[view, frame, False] = full
            if halves:
                self._stacks[view, frame, True] = tuple(_half(part) for part in full)

        pairs = tracked(self.pairs, "load pictures", report)
        largest = max(self.cameras, key=lambda camera: camera.width * camera.height)
        finish(
            ((view, frame, track.picture(view, frame)) for view, frame in pairs),
            keep,
            threads_for_pictures(largest.width, largest.height),
        )

    def _prepare(self, track: Track, view: int, frame: int, picture: np.ndarray) -> tuple[np.ndarray, ...]:
        """Picture on its backdrop, how much each pixel counts, alpha, and which pixels are clothing, uint8."""
        full = np.full(picture.shape[:2], 255, np.uint8)
        if track.masks is None:
            return picture, full, full, np.zeros_like(full)
        mask, weight = track.masks[view, frame], full
        clothing = np.zeros_like(full)
        if track.head_masks is not None:
            beside = track.head_masks[view, frame] < 128
            clothing = cv2.dilate(np.where((mask > 127) & beside, full, 0), _HEM) * beside
        if not self.flat[view]:
            weight[(mask >= CERTAIN_EMPTY) & (mask <= CERTAIN_FULL)] = 0
        else:
            mask = seen_through(picture, mask, self.backdrops[view])
        target = on_backdrop(picture, track.masks[view, frame], self.backdrops[view], bool(self.flat[view]))
        return target, weight, mask, clothing

    def example(
        self,
        view: int,
        frame: int,
        half: bool = False,
        head_only: bool = False,
        backdrop: np.ndarray | None = None,
    ) -> Example:
        """The picture of one pair, converted to floats; over another backdrop [3] by its matte, if given."""
        picture, weight, mask, clothing = self._stacks[view, frame, half]
        camera = self.cameras[view]
        if half:
            camera = camera.resized(picture.shape[1], picture.shape[0])
        own = self.backdrops[view]
        if backdrop is None or not self.has_masks:
            backdrop = own
        arrays = (picture, mask, weight, clothing, certain_matte(mask))
        added = _THROUGH[:, None] * (backdrop - own)
        height, width = mask.shape
        target = np.empty((height, width, 3), np.float32)
        counts, alpha, alpha_counts = (np.empty((height, width), np.float32) for _ in range(3))
        weigh = (np.float32(0 if head_only else CLOTHING_WEIGHT), np.float32(not head_only), self.has_masks)
        run_parallel(_convert, *arrays, _LEVELS, added, *weigh, target, counts, alpha, alpha_counts)
        parts = (torch.from_numpy(part) for part in (target, backdrop, counts, alpha, alpha_counts))
        return Example(view, frame, camera, *parts, head_only)


@kernel
def _convert(
    worker, workers, picture, mask, weight, clothing, certain, levels, added, clothed, clothed_alpha, has_masks,
    target, counts, alpha, alpha_counts,
):  # fmt: skip
    """Fill the float32 arrays of an Example from its bytes: target [H,W,3], the others [H,W].

    levels [256]: bytes as floats; added [256,3]: what another backdrop adds to the picture, by the matte.
    clothed, clothed_alpha: factors of both weights where clothing [H,W] is.
    """
    height, width = mask.shape
    for y in range(height * worker // workers, height * (worker + 1) // workers):
        for x in range(width):
            matte = mask[y, x]
            for k in range(3):
                target[y, x, k] = levels[picture[y, x, k]] + added[matte, k]
            alpha[y, x] = levels[matte]
            counted = levels[weight[y, x]]
            counted_alpha = has_masks if certain[y, x] else has_masks * UNCERTAIN_WEIGHT
            dressed = clothing[y, x] > 0
            counts[y, x] = counted * clothed if dressed else counted
            alpha_counts[y, x] = counted_alpha * clothed_alpha if dressed else counted_alpha


def _half(picture: np.ndarray) -> np.ndarray:
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
