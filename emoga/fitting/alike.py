"""What a single camera shows squarely tells what its rims look like: of a kind, near them or mirrored.

Rims are seen at a grazing angle, mixed with what stands behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.fitting.hidden import BEHIND
from emoga.fitting.visibility import GRAZING
from emoga.head import Head
from emoga.optimize.sightings import tellers

SQUARE = 0.35  # cosine from which on a triangle's colours are believed; below GRAZING they are not at all
# What looks alike; the skin of the face is all the rest.
APART = (("scalp",), ("ears",), ("neck", "shoulders", "boundary"))
LEFT_OUT = (*BEHIND, "lashes")
FEWEST = 8  # of a kind, believed wholly: with fewer nothing is said about the others


@dataclass(frozen=True)
class Rims:
    """Gaussians that were not seen squarely, and which others tell about them.

    rows [M] of these Gaussians; doubt [M]: 1 where nothing seen of them is believed, towards 0 where nearly all is;
    tellers, shares [M,K]: rows of the Gaussians that tell what they look like, and how much each has to say.
    """

    rows: torch.Tensor
    doubt: torch.Tensor
    tellers: torch.Tensor
    shares: torch.Tensor

    @classmethod
    def of(cls, gaussians: Gaussians, head: Head, squarely: np.ndarray) -> Rims:
        """Those of Gaussians bound to the head; squarely [F]: see `shown_squarely`."""
        labels, binding = gaussians.labels.long().cpu().numpy(), gaussians.binding.cpu().numpy()
        doubt = (
            ((SQUARE - squarely) / (SQUARE - GRAZING)).clip(0, 1).astype(np.float32)[np.maximum(binding, 0)]
        )
        rows, told, shares = [], [], []
        for kind in _kinds(head):
            inside = np.flatnonzero(np.isin(labels, kind) & (binding >= 0))
            known, doubted = inside[doubt[inside] == 0], inside[doubt[inside] > 0]
            if len(known) < FEWEST:
                continue
            nearest, share = tellers(head, binding[doubted], binding[known])
            rows.append(doubted)
            told.append(known[nearest])
            shares.append(share.astype(np.float32))
        if not rows:
            nobody = torch.zeros(0, dtype=torch.int64)
            return cls(nobody, torch.zeros(0), nobody[:, None], torch.zeros(0, 1))
        index = np.concatenate(rows)
        parts = (index, doubt[index], np.concatenate(told), np.concatenate(shares))
        return cls(*(torch.from_numpy(part) for part in parts)).to(gaussians.binding.device)

    def to(self, device: torch.device) -> Rims:
        """The same on another device."""
        return Rims(*(getattr(self, name).to(device) for name in ("rows", "doubt", "tellers", "shares")))

    def told(self, colors: torch.Tensor) -> torch.Tensor:
        """What the rims likely look like [M,D], where all Gaussians have these `colors` [N,D]."""
        return (self.shares[..., None] * colors[self.tellers]).sum(1)


def numbers_of(head: Head, names: tuple[str, ...]) -> list[int]:
    """Labels of the regions with these names."""
    return [number for number, name in enumerate(head.region_names) if name in names]


def _kinds(head: Head) -> list[list[int]]:
    """Labels of what looks alike."""
    named = {name for kind in (*APART, LEFT_OUT) for name in kind}
    skin = tuple(name for name in head.region_names if name not in named)
    return [numbers_of(head, kind) for kind in (*APART, skin)]
