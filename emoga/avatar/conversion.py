"""An avatar whose colours are to depend on emotion: a ColorMLP put on top of its SH, and rows for emotions."""

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

    Emotions the avatar lacks begin with the offset of the head's preset of that name, or none; see
    `with_emotion_rows` for the rest. Raises InputError when the avatar has an appearance already, and for names
    that are empty, repeated or neutral.
    """
    if avatar.appearance is not None:
        raise InputError("the avatar already has colours that depend on emotion")
    head = avatar_head(avatar)
    presets = {name: Emotion(head.emotion(name)) for name in emotions if name in head.presets}
    return with_emotion_rows(replace(avatar, emotions=presets | avatar.emotions), emotions, seed)


def with_emotion_rows(avatar: Avatar, emotions: Sequence[str], seed: int = 0) -> Avatar:
    """The avatar with a row of its ColorMLP for each of `emotions`; until they are trained nothing changes.

    An avatar without a ColorMLP gets a fresh residual one, with latents that begin as waves over the head, so
    that neighbours are coloured alike until pictures tell them apart. One that has it, from an earlier emotion
    or from `fit --appearance color_mlp`, keeps what it learnt: emotions with a row keep theirs, new rows begin
    as neutral's. Emotions the avatar lacks begin without an offset. Raises InputError for names that are empty,
    repeated or neutral.
    """
    if not emotions or len(set(emotions)) != len(emotions) or {"", NEUTRAL} & set(emotions):
        raise InputError(f"emotions {', '.join(emotions) or 'none'}: name each once, and neutral not at all")
    known, gaussians, mlp = dict(avatar.emotions), avatar.gaussians, avatar.appearance
    if mlp is None:
        known = {name: replace(emotion, embedding=0) for name, emotion in known.items()}
        points = world_at_bind(avatar, avatar_head(avatar)).means
        gaussians = replace(gaussians, latents=wave_latents(points, seed).to(gaussians.means.device))
        mlp = start_color_mlp(len(emotions), gaussians.sh.shape[1], seed=seed)
        free = iter(range(1, mlp.rows))
    else:
        lacking = [name for name in emotions if name not in known or known[name].embedding == 0]
        free = iter(range(mlp.rows, mlp.rows + len(lacking)))
        own = mlp.embed_in[:1].expand(len(lacking), -1)
        mlp = replace(mlp, embed_in=torch.cat([mlp.embed_in, own]))
    for name in emotions:
        emotion = known.get(name, Emotion(torch.zeros_like(avatar.neutral)))
        known[name] = emotion if emotion.embedding else replace(emotion, embedding=next(free))
    known = dict(sorted(known.items()))
    return replace(avatar, gaussians=gaussians, emotions=known, appearance=mlp)


def wave_latents(points: np.ndarray, seed: int) -> torch.Tensor:
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
