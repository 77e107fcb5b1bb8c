"""Structural similarity for GPUs: both blurs are products with a band matrix, in full float32.

A convolution would be the obvious way, but cuDNN may run it in TF32, whose 10 bits of mantissa do not survive
the difference E[x²] - E[x]² of a smooth patch. torch multiplies matrices in float32 unless told otherwise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from emoga.optimize.ssim import C1, C2, RADIUS, window_weights


@lru_cache(maxsize=32)
def _band(size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Symmetric [size,size] matrix that blurs a row of `size` pixels, zero outside."""
    matrix = np.zeros((size, size))
    for offset, weight in zip(range(-RADIUS, RADIUS + 1), window_weights(), strict=True):
        matrix += weight * np.eye(size, k=offset)
    return torch.as_tensor(matrix, dtype=dtype, device=device)


def ssim_map_banded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`ssim_map` [B,H,W,3] of pictures a, b [B,H,W,3] on any device and in any float dtype."""
    planes = torch.stack([a, b, a * a + b * b, a * b]).permute(0, 1, 4, 2, 3)
    lines, columns = (_band(size, a.device, a.dtype) for size in planes.shape[-2:])
    mean_a, mean_b, squares, product = (lines @ (planes @ columns)).unbind(0)
    both, each = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    similarity = (2 * both + C1) * (2 * (product - both) + C2)
    similarity = similarity / ((each + C1) * (squares - each + C2))
    return similarity.permute(0, 2, 3, 1)
