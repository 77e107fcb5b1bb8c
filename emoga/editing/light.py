"""Colours of Gaussians in linear light: changed like paint, so that shading and its dependence on the view stay."""

from __future__ import annotations

import math

import numpy as np
import torch

SH_C0 = math.sqrt(1 / (4 * math.pi))
LUMA = np.array([0.2126, 0.7152, 0.0722])
GAMMA = 2.2
DARKEST = 1e-3
# Colours so dark that a ratio to them says nothing.
BLACK = 0.04
MOST_RATIO = 3.0
MOST_VARIATION, SOLID_VARIATION = 0.6, 0.2


def to_linear(colour: np.ndarray) -> np.ndarray:
    """sRGB to linear light by a plain power, under which a gain of light is a gain of the stored value too."""
    return np.clip(colour, 0, None) ** GAMMA


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """The inverse of `to_linear`."""
    return np.clip(linear, 0, None) ** (1 / GAMMA)


def repainted(sh: torch.Tensor, linear: np.ndarray, weight: np.ndarray, solid: bool = False) -> torch.Tensor:
    """sh [N,K,3] with the base colour `linear` [N,3] where weight [N] is 1, the old one where it is 0.

    What depends on the view is multiplied as the base is; of a solid substance only its brightness varies, and less.
    Gaussians of weight 0 keep their bits.
    """
    weight = np.clip(weight, 0, 1)
    rows = np.flatnonzero(weight > 1e-4)
    if len(rows) == 0:
        return sh
    old = sh[rows].detach().double().numpy()
    base = 0.5 + SH_C0 * old[:, 0]
    light = to_linear(base)
    share = weight[rows, None]
    new = to_srgb((1 - share) * light + share * np.maximum(linear[rows], DARKEST))
    # A colour below black shows black, and stays as it is when it is painted black.
    new = np.where((base < 0) & (new < BLACK), base, new)
    changed = _view_dependence(old, base, new)
    if solid:
        changed = (1 - share[..., None]) * changed + share[..., None] * _varying(
            old, base, new, SOLID_VARIATION
        )
    changed[:, 0] = (new - 0.5) / SH_C0
    result = sh.clone()
    result[rows] = torch.from_numpy(changed).to(sh)
    return result


def _view_dependence(old: np.ndarray, base: np.ndarray, new: np.ndarray) -> np.ndarray:
    """SH [N,K,3] of which all but the first vary about the new base [N,3] as they did about the old one.

    A gain is a gain of all. A colour that turns into another one keeps how its brightness varies, not its hue: a
    channel that was almost black would otherwise be blown up with its noise.
    """
    ratio = np.clip(new / np.maximum(base, BLACK), 0, MOST_RATIO)
    gained = old * ratio[:, None, :]
    turned = _varying(old, base, new, MOST_VARIATION)
    change = ratio.max(1) / np.maximum(ratio.min(1), 1e-3)
    share = np.clip((change - 1.3) / 0.7, 0, 1)[:, None, None]
    return (1 - share) * gained + share * turned


def _varying(old: np.ndarray, base: np.ndarray, new: np.ndarray, most: float) -> np.ndarray:
    """SH [N,K,3] of the new base's hue, as bright from everywhere as the old ones were, in shares of at most `most`."""
    bright = np.maximum(base @ LUMA, BLACK)[:, None]
    return np.clip((old @ LUMA) / bright, -most, most)[..., None] * new[:, None, :]


def tinted(base: np.ndarray, colour: np.ndarray, reference: np.ndarray, texture: float = 0.7) -> np.ndarray:
    """Base colours [N,3] as paint of one `colour` [3] with their own shading; linear light.

    reference [3]: their usual colour, which becomes `colour`; texture: how much of their contrast is kept, 0..1.
    """
    shade = np.clip((base @ LUMA) / max(float(reference @ LUMA), 1e-3), 0.08, 6.0) ** texture
    return shade[:, None] * colour


def greyed(base: np.ndarray, amount: float) -> np.ndarray:
    """Colours with some of their hue taken out, 0..1."""
    return (1 - amount) * base + amount * (base @ LUMA)[:, None]
