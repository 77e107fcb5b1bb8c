"""The conditional discriminator of DynamicAvatars (eqs. 14, 15): which patches were edited and which drawn."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

WIDTHS = (24, 48, 64)
RATE = 4e-4
SIDE = 96  # pixels of a patch
COUNT = 4  # patches of a picture


class Adversary:
    """Small and trained in the run: edited pictures are real, renders fake, the original is the condition."""

    def __init__(self, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            before = 6
            for width in WIDTHS:
                layers += [nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(0.2)]
                before = width
            self._net = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, 1, 1))
        self._optimiser = torch.optim.Adam(self._net.parameters(), RATE, betas=(0.5, 0.99))

    def learn(self, edited: torch.Tensor, drawn: torch.Tensor, original: torch.Tensor) -> float:
        """One step of eq. 14 on patches [B,S,S,3]; returns the loss: E max(0, 1 - D(x)) + E max(0, 1 + D(G))."""
        self._optimiser.zero_grad()
        real, fake = self._score(edited, original), self._score(drawn.detach(), original)
        loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())

    def judge(self, drawn: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        """Eq. 15 of patches [B,S,S,3]: -E D(G)."""
        return -self._score(drawn, original).mean()

    def _score(self, picture: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        both = torch.cat([picture, original], -1).permute(0, 3, 1, 2)
        return self._net(2 * both - 1)


def corners(mask: np.ndarray, generator: np.random.Generator) -> list[tuple[int, int]]:
    """First row and column of COUNT patches about random pixels of a mask bool [H,W]; none of an empty one."""
    height, width = mask.shape
    inside = np.flatnonzero(mask)
    if not len(inside):
        return []
    side = min(SIDE, height, width)
    middle = inside[generator.integers(len(inside), size=COUNT)]
    rows, columns = middle // width, middle % width
    return [
        (int(np.clip(row - side // 2, 0, height - side)), int(np.clip(column - side // 2, 0, width - side)))
        for row, column in zip(rows, columns, strict=True)
    ]


def cut(picture: torch.Tensor, places: list[tuple[int, int]]) -> torch.Tensor:
    """Patches [B,S,S,3] of a picture [H,W,3]."""
    side = min(SIDE, *picture.shape[:2])
    return torch.stack([picture[row : row + side, column : column + side] for row, column in places])
