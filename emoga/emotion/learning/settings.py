"""Every choice of how an emotion is learnt, with the thesis's values where they make sense."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from emoga.avatar.appearance import FORMS, Form
from emoga.errors import InputError
from emoga.optimize.perceptual import PATCH_WEIGHT

Weighting = Literal["consensus", "views", "even", "given"]
WEIGHTINGS: tuple[Weighting, ...] = ("consensus", "views", "even", "given")
# The thesis's weights by camera of its rig; a camera it does not name gets the common one.
VIEW_WEIGHTS = {0: 0.4, 1: 0.4, 2: 0.4, 3: 0.4, 8: 1.0, 9: 0.2, 12: 0.4, 13: 0.4, 14: 0.4, 15: 0.4}
OTHER_VIEW = 0.4


@dataclass(frozen=True)
class Learning:
    """How to learn emotions.

    iterations: steps of one picture, per emotion; few, for registration and the agreement on colours have found nearly
    all before the first. geometry, texture: what may change. shared_offset: one
    expression offset for all frames of an emotion, else one for each (nothing plays those afterwards: the avatar
    gets their mean). form: of the colour network, by default the avatar's own; a fresh one is "residual". weighting:
    where edits are believed:
    "consensus" works it out, "views" takes the thesis's weights per camera, "even" all alike, "given" the caller's.

    warm_up: share of the iterations in which the offset alone is learnt; cycles: how often geometry alone and
    geometry with texture take turns after it. offset_rate x offset_multiplier: millimetres of motion per step;
    latent_rate, network_rate, embedding_rate: Adam's, times color_multiplier, which makes up for a few thousand
    steps in place of the thesis's; last_rate: to what share rates decay. batch: pictures per update of colours.
    perceptual: weight of patches of the frontal camera; zero leaves them out.

    Each of these can be turned off: motion_prior (sparse, small motion), drift (each picture's own colours),
    debias (what the editor does to every face: tints, and its shape), detail (only creases that pictures agree
    on), registered (offset held near what the flow of the edits says), anchored (colours held near what was worked
    out on the skin), strengths (how strongly each picture plays the emotion; else all alike), named (offset expected
    near what the emotion's words stand for; else near nothing), lengthened (offset made up for what registration
    takes off a motion that is known), habit (offset less what all emotions share beyond their words).
    """

    iterations: int = 200
    geometry: bool = True
    texture: bool = True
    shared_offset: bool = True
    form: Form | None = None
    weighting: Weighting = "consensus"
    warm_up: float = 150 / 800
    cycles: int = 3
    offset_rate: float = 5e-3
    offset_multiplier: float = 20.0
    latent_rate: float = 1e-4
    network_rate: float = 1e-4
    embedding_rate: float = 1e-4
    color_multiplier: float = 20.0
    last_rate: float = 0.1
    batch: int = 4
    motion_prior: bool = True
    drift: bool = True
    debias: bool = True
    detail: bool = True
    registered: bool = True
    anchored: bool = True
    strengths: bool = True
    named: bool = True
    lengthened: bool = True
    habit: bool = True
    perceptual: float = PATCH_WEIGHT
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        ranges = {
            "iterations": (1, 10**7), "cycles": (1, 1000), "batch": (1, 1000), "checkpoint_every": (1, 10**7),
            "warm_up": (0, 1), "offset_rate": (0, 1), "offset_multiplier": (0, 1000), "latent_rate": (0, 1),
            "network_rate": (0, 1), "embedding_rate": (0, 1), "color_multiplier": (0, 1e4),
            "last_rate": (1e-6, 1), "perceptual": (0, 1e3),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"learning: {name} {value} is out of range; {low} to {high} are possible")
        for name, known in (("weighting", WEIGHTINGS), ("form", (None, *FORMS))):
            if getattr(self, name) not in known:
                raise InputError(
                    f"learning: {name} {getattr(self, name)!r} is unknown; known: {', '.join(filter(None, known))}"
                )
        if not (self.geometry or self.texture):
            raise InputError("learning: geometry or texture must be learnt, or nothing is")
