"""Latents known beforehand: the principal components of a picture's blocks, each of unit spread.

An autoencoder left to itself spends its few channels on edges and loses hues; told what its latents are to be, it
learns them in minutes, and the denoiser need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pixel_unshuffle

BLOCK = 4  # pixels on a side, one latent


@dataclass(frozen=True)
class Components:
    """mean [48] of blocks and axes [48,C] onto which they are laid."""

    mean: torch.Tensor
    axes: torch.Tensor

    def latents(self, pictures: torch.Tensor) -> torch.Tensor:
        """[P,C,H/4,W/4] of pictures [P,3,H,W] in -1..1."""
        blocks = pixel_unshuffle(pictures, BLOCK).permute(0, 2, 3, 1) - self.mean
        return (blocks @ self.axes).permute(0, 3, 1, 2).contiguous()


def components_of(pictures: torch.Tensor, count: int) -> Components:
    """The first `count` of pictures [P,3,H,W] in -1..1."""
    blocks = pixel_unshuffle(pictures, BLOCK).permute(0, 2, 3, 1).reshape(-1, 3 * BLOCK * BLOCK)
    mean = blocks.mean(0)
    _, spread, axes = torch.linalg.svd(blocks - mean, full_matrices=False)
    return Components(mean, axes[:count].T / (spread[:count] / len(blocks) ** 0.5))
