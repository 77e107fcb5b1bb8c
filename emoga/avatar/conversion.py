"""An avatar whose colours are to depend on emotion: a ColorMLP put on top of its SH."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from emoga.avatar.appearance import LATENT, start_color_mlp
from emoga.avatar.avatar import Avatar, Emotion
from emoga.avatar.emotions import NEUTRAL
from emoga.avatar.rig import avatar_head, world_at_bind
from emoga.errors import InputError

# Wavelengths of latents over the surface, metres: from wrinkles to the whole face.
SHORTEST, LONGEST = 0.005, 0.3


def with_color_mlp(avatar: Avatar, emotions: Sequence[str], seed: int = 0) -> Avatar:
    """The avatar with a ColorMLP that knows `emotions` and, until it is trained, changes nothing.

    Emotions the avatar lacks begin with the offset of the head's preset of that name, or none. Latents begin as
    waves over the head, so that neighbours are coloured alike until pictures tell them apart.
    Raises InputError when the avatar has an appearance already, and for names that are empty, repeated or neutral.
    """
    if avatar.appearance is not None:
        raise InputError("the avatar already has colours that depend on emotion")
    if not emotions or len(set(emotions)) != len(emotions) or {"", NEUTRAL} & set(emotions):
        raise InputError(f"emotions {', '.join(emotions) or 'none'}: name each once, and neutral not at all")
    head = avatar_head(avatar)
    known = {name: replace(emotion, embedding=0) for name, emotion in avatar.emotions.items()}
    for row, name in enumerate(emotions, start=1):
        preset = head.emotion(name) if name in head.presets else torch.zeros(len(head.expr_names))
        known[name] = Emotion(known[name].offset if name in known else preset, row)
    gaussians = avatar.gaussians
    latents = _waves(world_at_bind(avatar, head).means, seed).to(gaussians.means.device)
    return replace(
        avatar,
        gaussians=replace(gaussians, latents=latents),
        emotions=dict(sorted(known.items())),
        appearance=start_color_mlp(len(emotions), gaussians.sh.shape[1], seed=seed),
    )


def _waves(points: np.ndarray, seed: int) -> torch.Tensor:
    """Latents [N,128] of points [N,3]: waves of random direction, length and phase, of unit variance."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((LATENT, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST), LATENT))
    waves = 2 * math.pi / lengths[:, None] * directions
    phases = rng.uniform(0, 2 * math.pi, LATENT)
    x, y, z = points.astype(np.float64).T[:, :, None]
    angles = x * waves[:, 0] + y * waves[:, 1] + z * waves[:, 2] + phases
    return torch.from_numpy((math.sqrt(2) * np.cos(angles)).astype(np.float32))
