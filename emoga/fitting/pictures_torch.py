"""Training pictures in a GPU's memory, converted to examples there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from emoga.optimize.backdrop import certain_matte
from emoga.optimize.training_pictures import (
    BYTE,
    CLOTHING_WEIGHT,
    UNCERTAIN_WEIGHT,
    Example,
    TrainingPictures,
)
from emoga.optimize.upload import send

MEMORY_SHARE = 0.5  # of what is free on the device; pictures that need more stay in the host's memory


class DevicePictures(TrainingPictures):
    """The same pictures as 8-bit tensors on `device`: examples differ from the original's only in where they are."""

    def __init__(self, pictures: TrainingPictures, device: torch.device) -> None:
        self.cameras, self.pairs, self.has_masks = pictures.cameras, pictures.pairs, pictures.has_masks
        self.device, self.flat = device, pictures.flat
        self.backdrops = torch.from_numpy(pictures.backdrops).to(device)
        home = device if _fits(pictures, device) else torch.device("cpu")
        self._stacks: dict[Any, tuple[torch.Tensor, ...]] = {}
        for key, stack in pictures._stacks.items():
            certain = certain_matte(stack[2]).astype(np.uint8)
            self._stacks[key] = tuple(torch.from_numpy(part).to(home) for part in (*stack, certain))

    def example(
        self,
        view: int,
        frame: int,
        half: bool = False,
        head_only: bool = False,
        backdrop: np.ndarray | None = None,
    ) -> Example:
        """See `TrainingPictures.example`; every tensor is on the device."""
        planes = (part.to(self.device) for part in self._stacks[view, frame, half])
        picture, weight, mask, clothing, certain = planes
        camera = self.cameras[view]
        if half:
            camera = camera.resized(picture.shape[1], picture.shape[0])
        byte, dressed = float(BYTE), clothing > 0
        alpha, floats, counts = mask * byte, picture * byte, weight * byte
        counts = torch.where(dressed, counts * (0 if head_only else CLOTHING_WEIGHT), counts)
        trusted = torch.where(certain > 0, 1.0, float(UNCERTAIN_WEIGHT)) * float(self.has_masks)
        if head_only:
            trusted = torch.where(dressed, 0.0, trusted)
        own = self.backdrops[view]
        if backdrop is None or not self.has_masks:
            other = own
        else:
            other = send(backdrop, self.device)
            floats = floats + (1 - alpha)[..., None] * (other - own)
        return Example(view, frame, camera, floats, other, counts, alpha, trusted, head_only)


def _fits(pictures: TrainingPictures, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    needed = sum(part.nbytes for stack in pictures._stacks.values() for part in (*stack, stack[2]))
    return needed < MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
