"""Random patches of each training picture compared by their features (EMO-GA 4.4.3), beside L1 and SSIM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emoga.fitting.presets import Preset
from emoga.optimize.perceptual import (
    BAND_PASS,
    COUNT,
    PATCH_WEIGHT,
    Perceptual,
    draw_patches,
    load_perceptual,
    stack_note,
)
from emoga.optimize.training_pictures import Example
from emoga.render import Rendering

COUNTS, OPAQUE = 0.5, 0.5  # weight and alpha from which a pixel may be the middle of a patch
FEW = 1  # patches of a step where each takes a network on a CPU about 0.2 s


@dataclass(frozen=True)
class PatchTerm:
    """Compares `count` patches in one of `every` steps, which then counts as often."""

    perceptual: Perceptual
    every: int
    seed: int
    count: int = COUNT

    @classmethod
    def of(cls, preset: Preset, weights: str | Path | None, device: str, seed: int) -> PatchTerm | None:
        """As a preset has it, with VGG where it is found; None for a preset without."""
        if preset.appearance == "sh" or not preset.patch_every:
            return None
        perceptual = load_perceptual(weights, device)
        slow = perceptual.name != BAND_PASS and torch.device(device).type == "cpu"
        return cls(perceptual, preset.patch_every, seed, FEW if slow else COUNT)

    def note(self) -> str:
        """For the report: by what was compared, and how much of it."""
        few = f", {self.count} in a step: on a CPU more would take long" if self.count < COUNT else ""
        return stack_note(self.perceptual) + few

    def due(self, iteration: int) -> bool:
        """Whether this step compares patches."""
        return iteration % self.every == 0

    def loss(self, rendering: Rendering, example: Example, iteration: int) -> torch.Tensor:
        """What the step adds to its loss."""
        mask = (example.weight > COUNTS) & (example.alpha > OPAQUE)
        generator = np.random.default_rng([self.seed, iteration, 3])
        patches = draw_patches(mask[None].cpu().numpy(), generator, self.count)
        apart = self.perceptual(rendering.image, example.target[None], patches, example.weight[None])
        return PATCH_WEIGHT * self.every * apart
