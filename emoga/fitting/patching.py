"""Random patches of each training picture compared by their features (EMO-GA 4.4.3), beside L1 and SSIM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.fitting.pictures import Example
from emoga.optimize.perceptual import PATCH_WEIGHT, Perceptual, draw_patches
from emoga.render import Rendering

COUNTS, OPAQUE = 0.5, 0.5  # weight and alpha from which a pixel may be the middle of a patch


@dataclass(frozen=True)
class PatchTerm:
    """Compares patches in one of `every` steps, which then counts as often."""

    perceptual: Perceptual
    every: int
    seed: int

    def due(self, iteration: int) -> bool:
        """Whether this step compares patches."""
        return iteration % self.every == 0

    def loss(self, rendering: Rendering, example: Example, iteration: int) -> torch.Tensor:
        """What the step adds to its loss."""
        mask = (example.weight > COUNTS) & (example.alpha > OPAQUE)
        generator = np.random.default_rng([self.seed, iteration, 3])
        patches = draw_patches(mask[None].cpu().numpy(), generator)
        apart = self.perceptual(rendering.image, example.target[None], patches, example.weight[None])
        return PATCH_WEIGHT * self.every * apart
