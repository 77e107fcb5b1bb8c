"""Colours from a network while fitting (EMO-GA 4.4.2): every step asks it for the Gaussians' SH, and corrects it.

All frames of a capture count as neutral; emotions get rows of their own later, see `with_emotion_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.avatar.appearance import ColorMLP, start_color_mlp
from emoga.avatar.avatar import Gaussians
from emoga.avatar.conversion import wave_latents
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.rig import to_world
from emoga.fitting.presets import Rates, decayed
from emoga.optimize.adam import AdamState, adam_step
from emoga.optimize.emotion_colors import sh_in_training
from emoga.optimize.splats import PARAMETERS

# What is trained of the Gaussians: their latents instead of their SH.
TRAINED = (*(name for name in PARAMETERS if name != "sh"), "latents")
EMBEDDING = "embed_"  # begins the names of the weights that belong to the emotions


@dataclass
class ColorNetwork:
    """A network in training: its weights, which are leaves that record gradients, and their optimiser state."""

    mlp: ColorMLP
    states: dict[str, AdamState]

    @classmethod
    def of(cls, mlp: ColorMLP) -> ColorNetwork:
        """With fresh optimiser state."""
        leaves = {name: part.detach().clone().requires_grad_() for name, part in mlp.weights().items()}
        states = {name: AdamState.zeros_like(part) for name, part in leaves.items()}
        return cls(ColorMLP(**leaves, form=mlp.form), states)

    def to(self, device: torch.device | str) -> ColorNetwork:
        """Afresh on another device."""
        return ColorNetwork.of(self.mlp.to(device))

    def colored(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians with the SH that it gives them, differentiable in their latents and in the network."""
        mixture = torch.zeros(self.mlp.rows)
        return replace(gaussians, sh=sh_in_training(self.mlp, gaussians, mixture))

    def update(self, rates: Rates, progress: float) -> None:
        """One Adam step from the gradients at hand, which are then cleared."""
        for name, part in self.mlp.weights().items():
            fading = 1.0 if name.startswith(EMBEDDING) else decayed(1.0, rates.network_decay, progress)
            if part.grad is not None:
                adam_step(part, part.grad, self.states[name], rates.network * fading)
                part.grad = None

    @torch.no_grad()
    def finished(self, gaussians: Gaussians) -> tuple[Gaussians, ColorMLP]:
        """The Gaussians with what it gives without emotion as SH and latents at half precision, and the network."""
        gaussians, mlp = gaussians.detach().to("cpu"), self.mlp.detach().to("cpu")
        sh = ColorNetwork(mlp, {}).colored(gaussians).sh
        return replace(gaussians, sh=sh.contiguous(), latents=gaussians.latents.half()), mlp


def start_network(gaussians: Gaussians, bind: TriangleFrames, seed: int) -> tuple[Gaussians, ColorNetwork]:
    """The Gaussians with latents, and a network that gives each the base colour it has.

    Latents are waves over the head, but for three that are the base colour itself; six hidden units, a pair for
    each, hand it on: relu(x) - relu(-x) = x.
    """
    latents = wave_latents(to_world(gaussians, bind).means.double().numpy(), seed)
    latents[:, :3] = gaussians.sh[:, 0]
    mlp = start_color_mlp(0, gaussians.sh.shape[1], "absolute", seed)
    mlp.hidden[:, :6], mlp.out[:] = 0, 0
    for channel in range(3):
        for unit, sign in ((2 * channel, 1.0), (2 * channel + 1, -1.0)):
            mlp.hidden[channel, unit] = mlp.out[unit, channel] = sign
    return replace(gaussians, latents=latents), ColorNetwork.of(mlp)
