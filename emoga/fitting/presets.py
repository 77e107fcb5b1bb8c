"""How long and how finely to fit: the presets, and the schedule that follows from one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from emoga.errors import InputError

Appearance = Literal["sh", "color_mlp"]
APPEARANCES: tuple[Appearance, ...] = ("sh", "color_mlp")


@dataclass(frozen=True)
class Preset:
    """iterations of one picture each; gaussians: budget; sh_degree: colour detail by direction.

    coarse: share of the iterations at half resolution; refine_every: iterations between density controls;
    refine_until: share of the iterations after which the number of Gaussians stays; checkpoint_every:
    iterations between checkpoints; refine_motion: correct pose and expression of training frames;
    turn_every: iterations between pictures turned to where the only camera never was, 0 for none; rehearse_every:
    iterations between faces under emotions nobody filmed, in which skin learns to hide what lies behind it, 0 for none.
    squares: weight of squared errors of colour beside absolute ones.
    appearance: "sh", or "color_mlp" for a network that gives the SH, fitted with patches in one of patch_every
    iterations (0: none). light: find the light in which the head turns, and let its colours follow.
    """

    iterations: int
    gaussians: int
    sh_degree: int = 1
    coarse: float = 0.35
    refine_every: int = 150
    refine_until: float = 0.7
    checkpoint_every: int = 500
    refine_motion: bool = True
    turn_every: int = 0
    squares: float = 0.0
    rehearse_every: int = 0
    appearance: Appearance = "sh"
    patch_every: int = 1
    light: bool = True


PRESETS = {
    "fast": Preset(iterations=2000, gaussians=40_000, refine_every=100, rehearse_every=4),
    "default": Preset(iterations=8000, gaussians=90_000, rehearse_every=4),
    "best": Preset(iterations=24_000, gaussians=160_000, sh_degree=2, refine_every=300, rehearse_every=4),
}


# Of what several cameras deserve, one camera gets these shares: with more, the Gaussians only rebuild its pictures
# from layers of blotches that come apart when the head turns.
ONE_CAMERA_ITERATIONS, ONE_CAMERA_GAUSSIANS = 0.4, 0.45
# Of one camera every frame shows hair, glints and folds a little elsewhere: squared errors average what absolute
# ones would settle one way or the other.
ONE_CAMERA_SQUARES = 100.0
ONE_CAMERA_SH_REST = 0.0018


def for_one_camera(preset: Preset) -> Preset:
    """The preset for a single camera: shorter, with fewer Gaussians, and with pictures turned aside.

    One camera cannot tell motion from form: Gaussians would settle on poses of their own, and be out of place
    wherever else the tracker has seen the head. So the motion stays the tracker's.
    """
    return replace(
        preset,
        iterations=max(1, round(ONE_CAMERA_ITERATIONS * preset.iterations)),
        gaussians=max(1, round(ONE_CAMERA_GAUSSIANS * preset.gaussians)),
        sh_degree=min(preset.sh_degree, 1),
        refine_motion=False,
        turn_every=1,
        squares=ONE_CAMERA_SQUARES,
    )


def preset(name: str) -> Preset:
    """A preset by name. Raises InputError listing the known ones."""
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True)
class Rates:
    """Learning rates at the start: Gaussians in local units, the head in radians, metres, unit weights."""

    means: float = 0.01
    quats: float = 0.002
    log_scales: float = 0.012
    logit_opacities: float = 0.05
    sh: float = 0.006
    sh_rest: float = 0.0006
    latents: float = 0.001
    network: float = 0.001
    expr: float = 0.001
    turn: float = 0.002
    eyes: float = 0.001
    translation: float = 0.0001
    color_decay: float = 0.15
    network_decay: float = 0.01
    decay: float = 0.03


def rates_for(cameras: int) -> Rates:
    """The rates for so many cameras: the little that one sees of each direction is learnt faster."""
    return Rates(sh_rest=ONE_CAMERA_SH_REST) if cameras == 1 else Rates()


def decayed(rate: float, final_share: float, progress: float) -> float:
    """Exponential decay from `rate` at progress 0 to `rate * final_share` at 1."""
    return rate * math.exp(math.log(final_share) * min(max(progress, 0.0), 1.0))
