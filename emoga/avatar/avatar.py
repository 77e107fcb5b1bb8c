"""The avatar record: Gaussians bound to a head, appearance, neutral, named emotions, provenance."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from emoga.avatar.appearance import LATENT, ColorMLP
from emoga.avatar.light import Light
from emoga.errors import InputError
from emoga.motion import Motion


@dataclass
class Gaussians:
    """N Gaussians in the local frames of what they are bound to.

    means [N,3] and log_scales [N,3] in units of the frame's size k; quats [N,4] wxyz relative to the frame;
    logit_opacities [N]; sh [N,K,3], DC first, world axes at the bind pose; binding [N] int64: triangle index,
    or -1 - joint for Gaussians that ride on a joint; labels [N] uint8: index into the head's region names;
    latents [N,128] float32 or float16: what a ColorMLP colours them by, [N,0] without one.
    """

    means: torch.Tensor
    quats: torch.Tensor
    log_scales: torch.Tensor
    logit_opacities: torch.Tensor
    sh: torch.Tensor
    binding: torch.Tensor
    labels: torch.Tensor
    latents: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    def __post_init__(self) -> None:
        # Every array has a row for every Gaussian, so that none is left behind when some are chosen or added.
        if self.latents.shape[1] == 0:
            self.latents = self.labels.new_zeros(len(self), 0, dtype=torch.float32)

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def sh_degree(self) -> int:
        """0 to 3."""
        return round(self.sh.shape[1] ** 0.5) - 1

    def select(self, rows: torch.Tensor) -> Gaussians:
        """Some of the Gaussians, by index or by mask."""
        return Gaussians(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def to(self, device: torch.device | str) -> Gaussians:
        """The same Gaussians on another device."""
        return Gaussians(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})

    def detach(self) -> Gaussians:
        """Without gradient history."""
        return Gaussians(**{item.name: getattr(self, item.name).detach() for item in fields(self)})


@dataclass
class Emotion:
    """A named emotion: the expression offset [E] added at intensity one, and its row in the ColorMLP's embedding.

    Row 0 is neutral: such an emotion moves the face and leaves its colours alone.
    """

    offset: torch.Tensor
    embedding: int = 0


@dataclass
class Avatar:
    """A drivable head.

    shape [S] and static_offset [V,3] metres give the person's mesh; neutral [E] is the person's own relaxed
    expression; rig is "smooth" or "ga"; motion is the training motion, kept so the avatar plays by itself.
    appearance: what emotions add to the Gaussians' SH, by their latents; None when they change no colours.
    light: in which the head turns, so that its colours change; None when they stay as they are stored.
    """

    gaussians: Gaussians
    head_name: str
    head_version: str
    head_checksum: str
    shape: torch.Tensor
    neutral: torch.Tensor
    static_offset: torch.Tensor | None = None
    rig: str = "smooth"
    emotions: dict[str, Emotion] = field(default_factory=dict)
    motion: Motion | None = None
    appearance: ColorMLP | None = None
    light: Light | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.appearance is not None and self.gaussians.latents.shape[1] != LATENT:
            raise InputError("the avatar's colours depend on emotion, but its Gaussians carry no latents")

    def with_gaussians(self, gaussians: Gaussians) -> Avatar:
        """The same avatar with other Gaussians."""
        return replace(self, gaussians=gaussians)
