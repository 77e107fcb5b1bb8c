"""What an emotion is learnt from: captured pictures, what an editor made of them, and where it was let."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.errors import InputError


@dataclass(frozen=True)
class EmotionEdits:
    """P captured pictures of a track and their edits towards one emotion, all of one size.

    name: the emotion's short name. views, frames [P]: index of each picture's camera and frame in the track.
    captured, edited uint8 [P,H,W,3] sRGB. masks uint8 [P,H,W]: 255 where the editor might change the picture.
    meant [E]: expression units that the emotion's words stand for at full strength, None where they are unknown;
    flush -1..1: blood that they say comes to the face, or leaves it.
    Raises InputError when the parts do not fit together, or two are of the same camera and frame.
    """

    name: str
    views: np.ndarray
    frames: np.ndarray
    captured: np.ndarray
    edited: np.ndarray
    masks: np.ndarray
    meant: np.ndarray | None = None
    flush: float = 0.0

    def __post_init__(self) -> None:
        shape = self.captured.shape
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
            raise InputError(f"edits of {self.name}: pictures are {list(shape)}, not [P,H,W,3]")
        if self.edited.shape != shape:
            raise InputError(
                f"edits of {self.name} are {list(self.edited.shape)}, the captured pictures {list(shape)}"
            )
        if self.masks.shape != shape[:3]:
            raise InputError(f"masks of {self.name} are {list(self.masks.shape)}, not {list(shape[:3])}")
        for part, kind in ((self.captured, "captured"), (self.edited, "edited"), (self.masks, "masks")):
            if part.dtype != np.uint8:
                raise InputError(f"{kind} pictures of {self.name} are {part.dtype}, not uint8")
        if self.meant is not None and not (self.meant.ndim == 1 and np.isfinite(self.meant).all()):
            raise InputError(f"edits of {self.name}: the units that are meant must be finite and in one row")
        if not len(self.views) == len(self.frames) == len(self):
            raise InputError(f"edits of {self.name}: {len(self)} pictures need as many views and frames")
        if len(set(self.pairs)) != len(self):
            raise InputError(f"edits of {self.name}: one camera and frame is edited twice")

    def __len__(self) -> int:
        return len(self.captured)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(view, frame) of every picture."""
        return list(zip(map(int, self.views), map(int, self.frames), strict=True))
