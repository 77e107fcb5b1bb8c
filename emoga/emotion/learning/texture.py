"""From what edits agree on to how an emotion colours the skin: detail kept, editors' bias taken out, light foretold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from emoga.emotion.learning.consensus import Consensus
from emoga.emotion.learning.fields import Sizes, emotions_own
from emoga.emotion.learning.surface import Surface, smoothed

FINE = 0.004  # metres: what is finer counts as detail
MOVES = 1.0  # millimetres of motion at which half of a crease is believed
CERTAIN = 3.0  # standard errors by which a crease must stand out
DEEPEST = 0.04  # sRGB 0..1: what is stronger than a crease is something that is not in place


@dataclass(frozen=True, eq=False)
class Skin:
    """One emotion on the skin: consensus of its edits; motion [N] mm; expected [N,3] changes of colour by light
    and blood; steady [N] bool: where edits can be believed beyond that.

    Lips are not: they roll and part, and what registration leaves of that looks like colour, but lands on other lips.
    """

    consensus: Consensus
    motion: np.ndarray
    expected: np.ndarray
    steady: np.ndarray


def colors_of(
    surface: Surface, skins: Sequence[Skin], *, debias: bool, detail: bool, seed: int = 0
) -> tuple[list[np.ndarray], Sizes | None]:
    """Change of colour [N,3] at full strength of each emotion.

    debias: take out what the editor does everywhere; otherwise what is agreed on is taken as it is.
    detail: separate detail, and believe only what several pictures draw alike.
    """
    if not debias and not detail:
        return [skin.consensus.change for skin in skins], None
    blur = surface.blur(FINE)
    broad, fine = [], []
    for skin in skins:
        agreed = skin.consensus
        low = smoothed(blur, agreed.change, np.minimum(agreed.evidence, 8) + 1e-4)
        moved = skin.motion / (skin.motion + MOVES)
        fine.append(_creases(blur, agreed, agreed.change - low, moved) if detail else agreed.change - low)
        broad.append(low)
    if not debias:
        return [low + high for low, high in zip(broad, fine, strict=True)], None
    own, sizes = emotions_own(
        surface,
        [low - skin.expected for low, skin in zip(broad, skins, strict=True)],
        [skin.consensus.evidence for skin in skins],
        seed,
    )
    return [
        skin.expected + skin.steady[:, None] * (part + high)
        for skin, part, high in zip(skins, own, fine, strict=True)
    ], sizes


def _creases(
    blur: scipy.sparse.csr_matrix, agreed: Consensus, detail: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Detail [N,3] without the editor's polish, shrunk to what stands out from noise, where skin moves [N] 0..1."""
    evidence = agreed.evidence
    pores = agreed.base - smoothed(blur, agreed.base, np.minimum(evidence, 8) + 1e-4)
    weight = np.minimum(evidence, 4)[:, None]
    # An edit that polishes takes away a share of the person's own detail, the same everywhere.
    polish = (weight * pores * detail).sum() / max((weight * pores * pores).sum(), 1e-9)
    detail = detail - min(polish, 0.0) * pores
    noise = np.median(np.abs(detail[evidence > 0.5])) * 1.48 if (evidence > 0.5).any() else 1.0
    size = np.sqrt(smoothed(blur, (detail**2).mean(1, keepdims=True), np.minimum(evidence, 8) + 1e-4))
    certain = np.clip(1 - (CERTAIN * noise / np.maximum(size, 1e-6)) ** 2, 0, 1) * moved[:, None]
    return np.clip(detail * certain, -DEEPEST, DEEPEST).astype(np.float32)
