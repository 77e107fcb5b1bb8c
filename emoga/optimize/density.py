"""Density control: where detail is missing Gaussians split, useless ones go, every triangle keeps one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from emoga.avatar.avatar import Gaussians
from emoga.geometry import quat_to_matrix
from emoga.optimize.splats import Splats

# A split Gaussian becomes two along its longest axis; together they cover what it covered.
SPLIT_SHIFT = 0.5
SPLIT_LENGTH = 0.55
SPLIT_WIDTH = 0.85


@dataclass(frozen=True)
class Density:
    """Limits of density control.

    budget: most Gaussians allowed; fixed [N] is passed beside it: those that neither split nor go.
    faint: opacity below which a Gaussian is removed; largest: local scale above which it is;
    growth: most that may be added at once, as a share of those present.
    """

    budget: int
    faint: float = 0.02
    largest: float = 6.0
    growth: float = 0.15


def refine(splats: Splats, density: Density, fixed: torch.Tensor) -> Splats:
    """Remove faint and oversized Gaussians, then split those whose pictures pull hardest at them.

    fixed [N] bool: eyes and teeth, which keep their number. Children inherit the parent's binding and label.
    Deterministic: ties are broken by index.
    """
    keep = ~removable(splats, density, fixed)
    splats, fixed = splats.select(keep), fixed[keep]
    room = min(density.budget - len(splats), int(density.growth * len(splats)))
    chosen = _hardest_pulled(splats, fixed, room)
    if len(chosen):
        children = split(splats.gaussians.select(chosen).detach())
        keep = torch.ones_like(fixed)
        keep[chosen] = False
        splats = splats.select(keep).extended(children)
    splats.forget()
    return splats


def removable(splats: Splats, density: Density, fixed: torch.Tensor) -> torch.Tensor:
    """bool [N]: faint or oversized, not fixed, and not the last Gaussian of its triangle or bone."""
    gaussians = splats.gaussians.detach()
    faint = gaussians.logit_opacities < math.log(density.faint / (1 - density.faint))
    huge = gaussians.log_scales.amax(1) > math.log(density.largest)
    going = (faint | huge) & ~fixed
    rows = splats.bindings.rows
    # The most opaque Gaussian of each triangle stays whatever happens.
    order = torch.argsort(gaussians.logit_opacities, descending=True, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    first = torch.ones_like(going)
    first[1:] = rows[order][1:] != rows[order][:-1]
    going[order[first]] = False
    return going


def split(gaussians: Gaussians) -> Gaussians:
    """Two children [2N] for each Gaussian, shifted along its longest axis, with its binding, label and colours."""
    scales = gaussians.log_scales.exp()
    longest = scales.argmax(1)
    axis = quat_to_matrix(gaussians.quats).gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
    shift = SPLIT_SHIFT * scales.gather(1, longest[:, None]) * axis
    shrink = torch.full_like(scales, SPLIT_WIDTH).scatter(1, longest[:, None], SPLIT_LENGTH)
    opacity = gaussians.logit_opacities.sigmoid()
    # Where the children overlap they should be about as opaque as the parent was.
    thinner = (1 - (1 - opacity).clamp_min(1e-4).sqrt()) * 0.5 + opacity * 0.5
    both = {
        "quats": gaussians.quats,
        "log_scales": gaussians.log_scales + shrink.log(),
        "logit_opacities": thinner.clamp(1e-4, 1 - 1e-4).logit(),
        "sh": gaussians.sh,
        "binding": gaussians.binding,
        "labels": gaussians.labels,
        "latents": gaussians.latents,
    }
    doubled = {name: torch.cat([value, value]) for name, value in both.items()}
    return Gaussians(means=torch.cat([gaussians.means + shift, gaussians.means - shift]), **doubled)


def _hardest_pulled(splats: Splats, fixed: torch.Tensor, room: int) -> torch.Tensor:
    """Indices, ascending, of at most `room` Gaussians with the largest mean pixel gradient."""
    pull = splats.slope / splats.seen.clamp_min(1)
    pull = torch.where(fixed | (splats.seen == 0), torch.zeros_like(pull), pull)
    order = torch.argsort(pull, descending=True, stable=True)[: max(room, 0)]
    return order[pull[order] > 0].sort().values
