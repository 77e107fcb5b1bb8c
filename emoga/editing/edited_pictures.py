"""Pictures of an avatar that an editor changed, with the poses and cameras they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.camera import Camera


@dataclass(frozen=True)
class EditedPictures:
    """N edited pictures of one size, each of one frame of a track seen by one camera.

    `edited` and `originals` [N,H,W,3] float32 sRGB 0..1: after and before the edit. `masks` [N,H,W] float32 0..1:
    where the edit may change something. `frames` [N]: which frame of the track each shows. `views` [N]: which
    camera of the track, -1 for a camera that is not among them.
    """

    edited: np.ndarray
    originals: np.ndarray
    masks: np.ndarray
    cameras: list[Camera]
    frames: np.ndarray
    views: np.ndarray
