"""The same performer with something about them changed: the truth that edits of pictures are measured against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from emoga.errors import InputError
from emoga.head import Head
from emoga.studio.appearance import Appearance
from emoga.studio.noise import gradient_noise

# Of a change of shape, as much again lies where the head's directions do not reach: nobody ages along a basis.
OWN_WAY = 0.25
COLLAR, COLLAR_FADE = -0.150, 0.05  # metres of template height below which the shirt fits as it did


@dataclass(frozen=True)
class Change:
    """directions: of the head's semantic ones, how far; looks: what becomes of the appearance."""

    directions: dict[str, float] = field(default_factory=dict)
    looks: Callable[[Appearance], Appearance] = lambda looks: looks


def _older(looks: Appearance) -> Appearance:
    grey = 0.55
    return replace(
        looks,
        age_lines=looks.age_lines + 1.6,
        oiliness=0.4 * looks.oiliness,
        eye_redness=looks.eye_redness + 0.2,
        lips=looks.lips * np.array([0.86, 0.95, 0.97]),
        melanin=tuple((1 - grey) * value for value in looks.melanin),
        hair_color=(1 - grey) * looks.hair_color + grey * np.array([0.19, 0.18, 0.17]),
    )


def _flushed(looks: Appearance) -> Appearance:
    return replace(looks, blush=looks.blush + 2.6)


def _lighter_hair(looks: Appearance) -> Appearance:
    return replace(
        looks,
        melanin=tuple(min(0.28 * value, 0.3) for value in looks.melanin),
        hair_color=0.35 * looks.hair_color + 0.65 * np.array([0.24, 0.17, 0.10]),
    )


CHANGES: dict[str, Change] = {
    "older": Change({"age": 1.0}, _older),
    "heavier": Change(
        {"weight": 2.4, "cheek_volume": 1.6, "neck_thickness": 0.8, "roundness": 0.8, "jaw_width": 0.6}
    ),
    "flushed": Change(looks=_flushed),
    "lighter-hair": Change(looks=_lighter_hair),
}


def known_change(name: str) -> Change:
    """The change of a name. Raises InputError for an unknown one, naming those there are."""
    if name not in CHANGES:
        raise InputError(f"studio: unknown change {name!r}; known: {', '.join(CHANGES)}")
    return CHANGES[name]


def change_of_shape(head: Head, change: Change, seed: int) -> np.ndarray:
    """[V,3] metres that the change moves the rest vertices by; eyes keep their place and the collar its width."""
    template = head.template.double().numpy()
    moved = np.zeros_like(template)
    if not change.directions:
        return moved
    for name, amount in change.directions.items():
        moved += amount * torch.tensordot(head.semantic[name].double(), head.shape_basis.double(), 1).numpy()
    moved -= moved[head.regions["eyeballs"].numpy()].mean(0)
    bumps = np.stack([gradient_noise(template, 0.05, seed * 23 + 301 + axis) for axis in range(3)], -1)
    size = np.linalg.norm(moved, axis=1, keepdims=True)
    moved = moved + OWN_WAY * size * bumps / np.sqrt((bumps**2).sum(-1).mean())
    return moved * np.clip((template[:, 1:2] - COLLAR) / COLLAR_FADE, 0, 1)
