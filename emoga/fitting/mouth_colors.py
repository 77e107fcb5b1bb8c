"""What is inside a mouth and no tooth has the hue of the lips around it, and is no brighter, whatever shows there.

Teeth that are longer than the head's, or shut where a track has them parted, are seen where the mesh has a tongue. It
would be taught their colours, and wear them openly once an emotion opens the mouth. Held to this, it leaves pale
pixels to the teeth.
"""

from __future__ import annotations

import torch

from emoga.avatar.avatar import Gaussians
from emoga.head import Head
from emoga.render.sh import SH_C0

LIPS = "lips"
DULL = {"tongue": 2 / 3, "mouth_interior": 0.0}  # the darkest shade there is, as a share of the usual one


@torch.no_grad()
def hold_mouth(gaussians: Gaussians, head: Head) -> None:
    """Put colours in place to the nearest shade of what most lips have, the same from wherever they are looked at.

    Tongues have no dark spots. Heads without lips are left alone.
    """
    if LIPS not in head.region_names:
        return
    colors = SH_C0 * gaussians.sh[:, 0] + 0.5
    lips = _usual(colors, _are(gaussians, head, LIPS)).clamp_min(1e-3)
    shades = (colors @ lips / (lips @ lips)).clamp(0, 1)
    for name, least in DULL.items():
        mine = _are(gaussians, head, name)
        shade = torch.maximum(shades, least * _usual(shades[:, None], mine))
        held = torch.zeros_like(gaussians.sh)
        held[:, 0] = (shade[:, None] * lips - 0.5) / SH_C0
        mine &= lips.isfinite().all()  # or no lips are left
        gaussians.sh.copy_(torch.where(mine[:, None, None], held, gaussians.sh))


def _usual(values: torch.Tensor, mine: torch.Tensor) -> torch.Tensor:
    """Medians [D] of values [N,D] among those that are `mine` [N]."""
    return torch.where(mine[:, None], values, torch.nan).nanmedian(0).values


def _are(gaussians: Gaussians, head: Head, name: str) -> torch.Tensor:
    """bool [N]: Gaussians on the head's triangles of a region, none where it has no such."""
    mine = gaussians.binding >= 0
    if name not in head.region_names:
        return torch.zeros_like(mine)
    return mine & (gaussians.labels == head.region_names.index(name))
