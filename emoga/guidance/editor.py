"""The one contract of every editor: pictures, prompts, mask, strength and seed in, pictures out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from emoga.errors import InputError
from emoga.guidance.prompts import SUBJECT_SEED
from emoga.progress import Reporter

MAX_PROMPT = 4000


@dataclass(frozen=True, order=True)
class PictureName:
    """Which picture of a capture this is: its camera and its frame, counted from 0."""

    camera: str
    frame: int

    def __str__(self) -> str:
        return f"{self.camera}/{self.frame:06d}"


@dataclass(frozen=True)
class EditRequest:
    """What to edit, and how. Raises InputError when the parts do not fit together.

    pictures: uint8 [N,H,W,3] sRGB.
    names: camera and frame of each picture, N of them, no two alike.
    mask: [N,H,W], 1 where the editor may change the picture, 0 where it may not, in between at a soft seam;
        bool or float; None lets it change everything.
    strength: 0 returns the pictures as they are, 1 is the editor's full effect.
    seed: one for a whole subject, so that every view and frame starts from the same noise.
    """

    pictures: np.ndarray
    names: tuple[PictureName, ...]
    prompt: str = ""
    negative_prompt: str = ""
    mask: np.ndarray | None = None
    strength: float = 1.0
    seed: int = SUBJECT_SEED

    def __post_init__(self) -> None:
        pictures = self.pictures
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise InputError(f"pictures must be uint8 [N,H,W,3], not {pictures.dtype} {list(pictures.shape)}")
        if min(pictures.shape) == 0:
            raise InputError("there is no picture to edit")
        if len(self.names) != len(pictures):
            raise InputError(f"{len(pictures)} pictures but {len(self.names)} names")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InputError(f"picture {twice} is named twice")
        if max(len(self.prompt), len(self.negative_prompt)) > MAX_PROMPT:
            raise InputError(f"the prompt is longer than {MAX_PROMPT} characters")
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise InputError(f"strength {self.strength} must be between 0 and 1")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed} must be a whole number from 0 to 2^63 - 1")
        if self.mask is not None:
            _check_mask(self.mask, pictures.shape[:3])

    def mask_of(self, index: int) -> np.ndarray | None:
        """The mask of one picture, float32 [H,W] in 0..1, or None."""
        return None if self.mask is None else self.mask[index].astype(np.float32)


@dataclass(frozen=True)
class EditEstimate:
    """What an edit will need, known before anything is loaded.

    peak_bytes: memory at the worst moment, on the device that edits.
    weights_bytes: of the model, as it will be held.
    placement: "none" without a model, "resident", "offload" (one part on the device at a time) or
        "sequential" (one layer at a time).
    """

    pictures: int
    peak_bytes: int
    weights_bytes: int = 0
    placement: str = "none"
    device: str = "cpu"
    dtype: str = "uint8"
    needs: str = ""


@runtime_checkable
class Editor(Protocol):
    """Anything that edits pictures."""

    name: str

    def estimate(self, request: EditRequest) -> EditEstimate:
        """Memory and needs of `request`, without loading or editing. Raises what `edit` would raise early."""

    def edit(self, request: EditRequest, report: Reporter) -> np.ndarray:
        """The edited pictures, uint8 [N,H,W,3], in the request's order; unchanged where the mask is 0."""


def compose(original: np.ndarray, edited: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The edit inside the mask, the original outside it: uint8 [H,W,3] each, mask float [H,W] in 0..1."""
    if mask is None:
        return edited
    share = mask[..., None].astype(np.float32)
    mixed = original + (edited.astype(np.float32) - original) * share
    return (mixed + 0.5).astype(np.uint8)


def _check_mask(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    if mask.shape != shape:
        raise InputError(f"the mask is {list(mask.shape)}, the pictures are {list(shape)}")
    if mask.dtype == np.bool_:
        return
    if mask.dtype.kind != "f" or not (mask.min() >= 0 and mask.max() <= 1):
        raise InputError("the mask must be bool, or floats in 0..1")
