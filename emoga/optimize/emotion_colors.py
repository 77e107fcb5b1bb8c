"""Colours under emotions: what the ColorMLP adds to an avatar's SH, evaluated once per emotion for play."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch

from emoga.avatar.appearance import ColorMLP, blend_weights
from emoga.avatar.avatar import Gaussians
from emoga.kernels import kernel, run_parallel
from emoga.optimize.color_mlp import blend_colors


def residual_sh(mlp: ColorMLP, latents: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """What a mixture [E] of emotions adds to SH, [N,K,3]; differentiable in latents and network."""
    return blend_colors(mlp, latents, blend_weights(mixture))


def sh_in_training(mlp: ColorMLP, gaussians: Gaussians, mixture: torch.Tensor) -> torch.Tensor:
    """SH [N,K,3] under a mixture [E] while the network is trained, by its form; differentiable.

    "residual" without emotion gives the stored SH themselves. A network trained as "absolute" is finished by
    storing what it gives without emotion: from then on both forms are played alike.
    """
    if mlp.form == "absolute":
        return blend_colors(mlp, gaussians.latents, blend_weights(mixture, "absolute"))
    if not bool(mixture[1:].any()):
        return gaussians.sh
    return gaussians.sh + residual_sh(mlp, gaussians.latents, mixture)


class EmotionColors:
    """SH of one avatar under any mixture, for several threads: one residual per emotion, made on first use.

    arrange: how SH [N,K,3] are laid out for whoever shades them; must be linear.
    """

    def __init__(
        self,
        mlp: ColorMLP,
        gaussians: Gaussians,
        arrange: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.contiguous,
    ) -> None:
        self._mlp, self._latents, self._arrange = mlp.detach(), gaussians.latents, arrange
        self._base = arrange(gaussians.sh.detach())
        self._residuals: dict[int, torch.Tensor] = {}
        self._lock = threading.Lock()
        self._own = threading.local()

    def residual(self, row: int) -> torch.Tensor:
        """What the emotion of a row adds at full weight, arranged."""
        with self._lock:
            if row not in self._residuals:
                mixture = torch.nn.functional.one_hot(torch.tensor(row), self._mlp.rows)
                with torch.no_grad():
                    self._residuals[row] = self._arrange(residual_sh(self._mlp, self._latents, mixture))
            return self._residuals[row]

    def mixed(self, mixture: torch.Tensor) -> torch.Tensor:
        """Arranged SH under a mixture [E]; without emotion the avatar's own, to the bit.

        The next call from the same thread may overwrite them.
        """
        weights = {row: weight for row, weight in enumerate(mixture.tolist()) if row and weight}
        if not weights:
            return self._base
        if getattr(self._own, "weights", None) != weights:  # what stays the same is not mixed again
            self._own.sh, self._own.weights = self._mixed(weights), weights
        return self._own.sh

    def _mixed(self, weights: dict[int, float]) -> torch.Tensor:
        base = self._base
        if base.device.type != "cpu":
            return sum((weight * self.residual(row) for row, weight in weights.items()), base)
        residuals = [self.residual(row) for row in weights]  # before the buffer changes: this may fail
        self._own.weights = None
        out = getattr(self._own, "sh", None)
        out = torch.empty_like(base) if out is None else out
        for step, (residual, weight) in enumerate(zip(residuals, weights.values(), strict=True)):
            parts = (base if step == 0 else out, residual, out)
            run_parallel(_add, *(part.numpy().reshape(-1) for part in parts), np.float32(weight))
        return out


@kernel
def _add(worker, workers, base, residual, out, weight):
    """out = base + weight residual, flat."""
    for i in range(base.size * worker // workers, base.size * (worker + 1) // workers):
        out[i] = base[i] + weight * residual[i]
