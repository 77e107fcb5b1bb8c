"""Training pictures in memory: 8-bit, with mattes, at full and half resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture.track import Track
from emoga.optimize.backdrop import CERTAIN_EMPTY, CERTAIN_FULL, backdrops, certain_matte, on_backdrop
from emoga.progress import Reporter, tracked

CLOTHING_WEIGHT = 0.3
UNCERTAIN_WEIGHT = np.float32(0.2)  # of the alpha where the matte is at an edge: else halos pass for skin
BYTE = np.float32(1 / 255)


@dataclass(frozen=True)
class Example:
    """One picture to fit: target [H,W,3] over backdrop [3], alpha [H,W], and weights [H,W] of both losses.

    head_only: clothing does not count here, and what soaks it up must not be drawn.
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
        for view, frame in tracked(self.pairs, "load pictures", report):
            full = self._prepare(track, view, frame)
            self._stacks[view, frame, False] = full
            if halves:
                self._stacks[view, frame, True] = tuple(_half(part) for part in full)

    def _prepare(self, track: Track, view: int, frame: int) -> tuple[np.ndarray, ...]:
        """Picture on its backdrop, how much each pixel counts, alpha, and which pixels are clothing, uint8."""
        picture = track.picture(view, frame)
        full = np.full(picture.shape[:2], 255, np.uint8)
        if track.masks is None:
            return picture, full, full, np.zeros_like(full)
        mask, weight = track.masks[view, frame], full
        clothing = np.zeros_like(full)
        if track.head_masks is not None:
            clothing = np.where((mask > 127) & (track.head_masks[view, frame] < 128), full, 0)
        if not self.flat[view]:
            weight[(mask >= CERTAIN_EMPTY) & (mask <= CERTAIN_FULL)] = 0
        target = on_backdrop(picture, mask, self.backdrops[view], bool(self.flat[view]))
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
        certain = np.where(certain_matte(mask), np.float32(1), UNCERTAIN_WEIGHT)
        counts = weight * BYTE
        counts[clothing > 0] *= 0 if head_only else CLOTHING_WEIGHT
        if head_only:
            certain[clothing > 0] = 0
        floats, own = picture * BYTE, self.backdrops[view]
        if backdrop is None or not self.has_masks:
            backdrop = own
        else:
            floats += (1 - mask * BYTE)[..., None] * (backdrop - own)
        arrays = (floats, backdrop, counts, mask * BYTE, certain * self.has_masks)
        target, backdrop, weight, alpha, certain = (torch.from_numpy(part) for part in arrays)
        return Example(view, frame, camera, target, backdrop, weight, alpha, certain, head_only)


def _half(picture: np.ndarray) -> np.ndarray:
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
