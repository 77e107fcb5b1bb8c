"""Latents whose colours no emotion changes, for things that must not flush with the face."""

from __future__ import annotations

import torch

from emoga.avatar import Avatar
from emoga.avatar.appearance import LATENT, emotion_terms

# How far below zero every hidden unit is held, whatever the emotion.
MARGIN = 0.5


def still_latents(avatar: Avatar, count: int) -> torch.Tensor:
    """Latents [count,128], or [count,0] for an avatar without a ColorMLP.

    A unit that is off for every emotion adds nothing to the difference between two of them; zeros would not do,
    since the emotion's own terms turn units on.
    """
    latents = avatar.gaussians.latents
    if avatar.appearance is None:
        return latents.new_zeros(count, 0)
    mlp = avatar.appearance.detach()
    highest = emotion_terms(mlp).double().amax(0)
    wanted = -(highest.clamp_min(0) + MARGIN)
    row = torch.linalg.pinv(mlp.hidden[:LATENT].double().T) @ wanted
    return row.to(latents).expand(count, -1).clone()
