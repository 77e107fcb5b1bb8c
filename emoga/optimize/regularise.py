"""Regularisers that keep Gaussians near and small beside their triangle, added straight to the gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.kernels import kernel, run_parallel


@dataclass(frozen=True)
class Tether:
    """How far and how large a Gaussian may be beside its triangle before it is pulled back.

    distance: local distance (per Gaussian [N] or one for all) above which the excess is penalised with
    weight distance_weight; scale and scale_weight likewise for each local scale.
    """

    distance: torch.Tensor
    scale: float = 0.6
    distance_weight: float = 0.01
    scale_weight: float = 1.0


def add_tether(gaussians: Gaussians, visible: torch.Tensor, tether: Tether) -> None:
    """Add to the gradients of means and log_scales those of the mean excess over visible [N] Gaussians."""
    if gaussians.means.device.type != "cpu":
        _add_tether_torch(gaussians, visible, tether)
        return
    count = max(1, int(visible.sum()))
    means, log_scales = gaussians.means, gaussians.log_scales
    distance = tether.distance.expand(len(gaussians)).contiguous()
    run_parallel(
        _tether_rows, means.detach().numpy(), log_scales.detach().numpy(), visible.numpy(), distance.numpy(),
        np.float32(tether.scale), np.float32(tether.distance_weight / count),
        np.float32(tether.scale_weight / count), means.grad.numpy(), log_scales.grad.numpy(),
    )  # fmt: skip


@torch.no_grad()
def _add_tether_torch(gaussians: Gaussians, visible: torch.Tensor, tether: Tether) -> None:
    """The same on any device, without asking it for numbers."""
    means, log_scales = gaussians.means, gaussians.log_scales
    share = visible / visible.sum().clamp_min(1)
    length = means.norm(dim=1)
    pull = torch.where(length > tether.distance, tether.distance_weight * share / length, 0)
    means.grad.addcmul_(pull[:, None], means)
    scales = log_scales.exp()
    pull = torch.where(scales > tether.scale, tether.scale_weight * share[:, None], 0)
    log_scales.grad.addcmul_(pull, scales)


@kernel
def _tether_rows(
    worker, workers, means, log_scales, visible, reach, limit, by_distance, by_scale, g_means, g_scales
):  # fmt: skip
    count = means.shape[0]
    for i in range(count * worker // workers, count * (worker + 1) // workers):
        if not visible[i]:
            continue
        x, y, z = means[i, 0], means[i, 1], means[i, 2]
        length = math.sqrt(x * x + y * y + z * z)
        if length > reach[i]:
            pull = by_distance / length
            g_means[i, 0] += pull * x
            g_means[i, 1] += pull * y
            g_means[i, 2] += pull * z
        for axis in range(3):
            scale = math.exp(log_scales[i, axis])
            if scale > limit:
                g_scales[i, axis] += by_scale * scale
