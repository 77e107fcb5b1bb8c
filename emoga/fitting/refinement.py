"""Small corrections of the tracked motion, learnt together with the Gaussians on training frames only."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from emoga.avatar.posing import MOTION
from emoga.head import HeadParams
from emoga.optimize.adam import AdamState, adam_step

SHRINK = 0.002  # share by which a correction fades with every update of its frame


@dataclass
class MotionRefinement:
    """Corrections [T,...] to the motion of `base`; only frames that train ever move."""

    base: HeadParams
    rates: dict[str, float]
    limits: tuple[float, float] = (0.0, 1.0)  # of the expression's entries
    corrections: dict[str, torch.Tensor] = field(default_factory=dict)
    states: dict[str, AdamState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in MOTION:
            zeros = torch.zeros_like(getattr(self.base, name))
            self.corrections.setdefault(name, zeros)
            self.states.setdefault(name, AdamState.zeros_like(zeros))

    def of_frame(self, frame: int, learning: bool) -> HeadParams:
        """One frame's parameters as HeadParams of length 1; leaves that record gradients while learning."""
        motion = {}
        for name in MOTION:
            value = getattr(self.base, name)[frame : frame + 1] + self.corrections[name][frame : frame + 1]
            if name == "expr":
                value = value.clamp(*self.limits)
            motion[name] = value.requires_grad_(learning)
        return HeadParams(self.base.shape, self.base.static_offset, **motion)

    def update(self, frame: int, params: HeadParams, scale: float) -> None:
        """One Adam step for a frame from the gradients on what `of_frame` gave; `scale` multiplies rates."""
        here = slice(frame, frame + 1)
        for name in MOTION:
            gradient = getattr(params, name).grad
            if gradient is None:
                continue
            value, state = self.corrections[name][here], self.states[name].select(here)
            adam_step(value, gradient, state, self.rates[name] * scale)
            value *= 1 - SHRINK

    def centre(self, frames: list[int]) -> None:
        """Take the mean over training frames out: what all frames share belongs into the Gaussians.

        Held-out frames are not corrected; a shift common to all training frames would leave them behind.
        """
        for name in MOTION:
            value = self.corrections[name]
            value[frames] -= value[frames].mean(0, keepdim=True)

    def refined(self) -> HeadParams:
        """The whole motion with its corrections."""
        motion = {name: getattr(self.base, name) + self.corrections[name] for name in MOTION}
        motion["expr"] = motion["expr"].clamp(*self.limits)
        return HeadParams(self.base.shape, self.base.static_offset, **motion)
