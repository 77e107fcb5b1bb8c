"""Training pictures in memory: 8-bit, with mattes, at full and half resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture.track import Track
from emoga.optimize.backdrop import CERTAIN_EMPTY, CERTAIN_FULL, backdrops, on_backdrop
from emoga.progress import Reporter, tracked

CLOTHING_WEIGHT = 0.3
BYTE = np.float32(1 / 255)


@dataclass(frozen=True)
class Example:
    """One picture to fit: target [H,W,3] over backdrop [3], alpha [H,W], and weights [H,W] of both losses."""

    view: int
    frame: int
    camera: Camera
    target: torch.Tensor
    backdrop: torch.Tensor
    weight: torch.Tensor
    alpha: torch.Tensor
    alpha_weight: torch.Tensor


class TrainingPictures:
    """Every training view of every training frame of a track."""

    def __init__(
        self, track: Track, views: list[int], frames: list[int], report: Reporter, halves: bool = True
    ) -> None:
        self.cameras = track.cameras
        self.has_masks = track.masks is not None
        self.pairs = [(view, frame) for frame in frames for view in views]
        self.backdrops, self.flat = backdrops(track, frames)
        self._stacks: dict[tuple[int, int, bool], tuple[np.ndarray, ...]] = {}
        for view, frame in tracked(self.pairs, "load pictures", report):
            full = self._prepare(track, view, frame)
            self._stacks[view, frame, False] = full
            if halves:
                self._stacks[view, frame, True] = tuple(_half(part) for part in full)

    def _prepare(self, track: Track, view: int, frame: int) -> tuple[np.ndarray, ...]:
        """Picture on its backdrop, alpha, and how much each pixel counts, all uint8."""
        picture = track.picture(view, frame)
        if track.masks is None:
            full = np.full(picture.shape[:2], 255, np.uint8)
            return picture, full, full
        mask = track.masks[view, frame]
        weight = np.full(mask.shape, 255, np.uint8)
        if track.head_masks is not None:
            weight[(mask > 127) & (track.head_masks[view, frame] < 128)] = round(255 * CLOTHING_WEIGHT)
        if not self.flat[view]:
            weight[(mask >= CERTAIN_EMPTY) & (mask <= CERTAIN_FULL)] = 0
        return on_backdrop(picture, mask, self.backdrops[view]), weight, mask

    def example(self, view: int, frame: int, half: bool = False) -> Example:
        """The picture of one pair, converted to floats."""
        picture, weight, mask = self._stacks[view, frame, half]
        camera = self.cameras[view]
        if half:
            camera = camera.resized(picture.shape[1], picture.shape[0])
        certain = (mask < CERTAIN_EMPTY) | (mask > CERTAIN_FULL)
        floats = (picture * BYTE, self.backdrops[view], weight * BYTE, mask * BYTE)
        target, backdrop, weight, alpha = (torch.from_numpy(part) for part in floats)
        certain = torch.from_numpy(certain.astype(np.float32) * self.has_masks)
        return Example(view, frame, camera, target, backdrop, weight, alpha, certain)


def _half(picture: np.ndarray) -> np.ndarray:
    size = (max(1, picture.shape[1] // 2), max(1, picture.shape[0] // 2))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
