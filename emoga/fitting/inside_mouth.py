"""What is inside a mouth stays there: no tongue in colours of teeth, nothing that grows until it shows through skin.

Teeth that are longer than the head's, or shut where a track has them parted, are seen where the mesh has a tongue. It
would be taught their colours, and wear them openly once an emotion opens the mouth. Held to shades of the lips, it
leaves pale pixels to the teeth. And where a single camera sees one tooth, its Gaussians may grow behind the lips as
they please, up to the nose: a smile that stretches nostrils lets them through.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.avatar.avatar import Gaussians
from emoga.head import Head
from emoga.render.sh import SH_C0

LIPS = "lips"
DULL = {"tongue": 2 / 3, "mouth_interior": 0.0}  # the darkest shade there is, as a share of the usual one
INSIDE = ("teeth", *DULL)


@dataclass(frozen=True)
class InsideMouth:
    """Rules for the Gaussians of a head that hang inside its mouth; largest [F]: log of their scales, by triangle."""

    head: Head
    largest: torch.Tensor

    @classmethod
    def of(cls, head: Head, gaussians: Gaussians) -> InsideMouth:
        """Rules for what becomes of the first Gaussians, which cover what they hang on as they are."""
        inside = torch.stack([_are(gaussians, head, name) for name in INSIDE]).any(0)
        scales = gaussians.log_scales.detach()
        largest = torch.full((len(head.faces),), -torch.inf).to(scales)
        largest.scatter_reduce_(0, gaussians.binding[inside].long(), scales[inside].amax(1), "amax")
        return cls(head, largest.where(largest.isfinite(), torch.inf))

    @torch.no_grad()
    def hold_sizes(self, gaussians: Gaussians) -> None:
        """Let nothing inside grow larger than the first Gaussians there, in place."""
        largest = self.largest[gaussians.binding.long().clamp_min(0)]
        largest = largest.where(gaussians.binding >= 0, torch.inf)
        gaussians.log_scales.clamp_(max=largest[:, None])

    @torch.no_grad()
    def hold_colors(self, gaussians: Gaussians) -> None:
        """Put colours of all but teeth to the nearest shade of what most lips have, in place, the same from all sides.

        Tongues have no dark spots. Heads without lips are left alone.
        """
        head = self.head
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
