"""What is to be registered, and what registration finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.camera import Camera
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning.performing import Frames
from emoga.emotion.learning.surface import Surface


@dataclass(frozen=True)
class Priors:
    """What offsets are expected to be, in millimetres of motion.

    spread, sparsity: how far units go where nothing is known of them, and the cost of a millimetre. near: how far
    they are from what the emotion's words stand for, more often far off than a bell curve says; intensity: how strong
    that may be. Words tell what to look for: edits that show nothing of it teach nothing.
    """

    spread: float = 6.0
    sparsity: float = 0.1
    near: float = 1.0
    intensity: float = 2.0


@dataclass(frozen=True, eq=False)
class Registered:
    """offset [E]; strengths [P], one where a picture plays it fully; trust [P] in 0..1 in whole pictures."""

    offset: torch.Tensor
    strengths: np.ndarray
    trust: np.ndarray

    @staticmethod
    def nothing(units: int, pictures: int) -> Registered:
        """Before any picture was looked at: no motion, every picture believed."""
        return Registered(torch.zeros(units), np.ones(pictures), np.ones(pictures))


@dataclass(frozen=True)
class Task:
    """What is to be registered: P edits at pairs (view, row among the frames), on the points of a surface.

    motion_mm [E]: how far units move the face; bounds [E] each of the offset. given [P,H,W] or None: weights to
    use as they are instead of robust ones. strengths: find how strongly each picture plays the emotion. meant [E]: the
    offset that the emotion's words stand for, or None.
    """

    surface: Surface
    frames: Frames
    cameras: Sequence[Camera]
    edits: EmotionEdits
    pairs: Sequence[tuple[int, int]]
    motion_mm: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    priors: Priors | None
    given: np.ndarray | None = None
    strengths: bool = True
    meant: np.ndarray | None = None
