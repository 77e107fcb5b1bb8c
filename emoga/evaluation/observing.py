"""Landmarks of an emotion seen in pictures: by optical flow from the neutral ones, or by the user's detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture.detector import NoFace, detect_landmarks
from emoga.head import Head, HeadParams
from emoga.optimize.metrics_landmarks import project_landmarks

SCHEME = "mediapipe478"
FINEST = 512  # pixels of the pictures in which flow is sought
FLOW = "optical flow from the neutral pictures of the same views and frames"

# A picture before, one after and pixels [L,2] to how far what is there has moved [L,2], NaN where unknown.
Displacer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def followed(
    head: Head,
    neutral: HeadParams,
    cameras: Sequence[Camera],
    pictures: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    displacement: Displacer | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [C,T,L,2] of the emotion, and which of them may be believed [C,T,L].

    neutral: of the T frames, whose landmarks, projected, are displaced by what `displacement` sees (default
    `flow_at`). pictures(c, t): the neutral and the emotional uint8 [H,W,3] of one view and frame.
    """
    at, believed = project_landmarks(head.to("cpu", torch.float32), neutral, cameras, SCHEME)
    for c in range(at.shape[0]):
        for t in range(at.shape[1]):
            moved = (displacement or flow_at)(*pictures(c, t), at[c, t])
            believed[c, t] &= np.isfinite(moved).all(-1)
            at[c, t] += np.nan_to_num(moved)
    return at, believed


def detector_at(model: str | Path) -> Displacer:
    """What MediaPipe's landmarks have moved by between two pictures; its habits are in both and cancel.

    Nothing (NaN) where it finds no face. Raises, when first used, MissingComponent without MediaPipe.
    """

    def displacement(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> np.ndarray:
        pair = [_OnePicture(part) for part in (before, after)]
        try:
            found = detect_landmarks(pair, np.zeros(1, np.int64), model)
        except NoFace:
            return np.full_like(points, np.nan)
        return (
            (found.points[1, 0] - found.points[0, 0]) if found.valid.all() else np.full_like(points, np.nan)
        )

    return displacement


class _OnePicture:
    """A picture in memory as a sequence of one."""

    path, fps = Path("render"), 1.0

    def __init__(self, picture: np.ndarray) -> None:
        self._picture = np.ascontiguousarray(picture)
        self.height, self.width = picture.shape[:2]

    def __len__(self) -> int:
        return 1

    def picture(self, frame: int) -> np.ndarray:
        return self._picture


def flow_at(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far (x, y) what is at pixels [L,2] of one picture uint8 [H,W,3] has moved in another, [L,2]."""
    factor = max(1.0, FINEST / max(before.shape[:2]))
    grey = [
        cv2.resize(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        for part in (before, after)
    ]  # fmt: skip
    seeker = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = seeker.calc(*grey, None)
    where = (points * factor - 0.5).astype(np.float32).reshape(-1, 1, 2)
    found = cv2.remap(flow, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 2) / factor
