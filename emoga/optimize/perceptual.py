"""Losses over random patches (EMO-GA, equations 4.1 and 4.6): features of a render against those of its target.

    L = 1/J Σ_j Σ_k mean |ζ_k(render_j) − ζ_k(target_j)|

ζ are VGG's features where the user has its weights, else bands of frequency, see `band_pass`. Both come to one or
two for pictures that have little in common, so that one weight of the loss serves for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from emoga.errors import InputError
from emoga.optimize.band_pass import LEVELS, band_distance
from emoga.optimize.vgg import ADVICE, Vgg, load_vgg

COUNT, SIDE = 16, 128
PATCH_WEIGHT = 0.001  # of the loss beside L1 and SSIM, as in the thesis
SURROUNDINGS = 32  # pixels around patches that coarse bands look at
BAND_PASS = "band-pass"


@dataclass(frozen=True)
class Patches:
    """J squares of `side` pixels: their picture in the batch and first row and column, int64 [J]."""

    picture: np.ndarray
    top: np.ndarray
    left: np.ndarray
    side: int

    def __len__(self) -> int:
        return len(self.picture)


def draw_patches(
    masks: np.ndarray, generator: np.random.Generator, count: int = COUNT, side: int = SIDE
) -> Patches:
    """`count` patches in each of the pictures whose masks are [B,H,W] bool, around random pixels of the mask.

    A patch lies inside its picture and is at most half as wide as it. Empty masks get none.
    """
    _, height, width = masks.shape
    side = max(1, min(side, (min(height, width) + 1) // 2))
    found = []
    for picture, mask in enumerate(masks):
        inside = np.flatnonzero(mask)
        if len(inside):
            middle = inside[generator.integers(len(inside), size=count)]
            found.append([np.full(count, picture), middle // width, middle % width])
    picture, row, column = np.concatenate(found, 1) if found else np.zeros((3, 0), np.int64)
    top, left = (row - side // 2).clip(0, height - side), (column - side // 2).clip(0, width - side)
    return Patches(picture, top, left, side)


class Perceptual(Protocol):
    """How far renders are from their targets in patches; `name` says by which features, for reports."""

    name: str

    def __call__(
        self,
        rendered: torch.Tensor,
        target: torch.Tensor,
        patches: Patches,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """L of rendered against target [B,H,W,3] in 0..1, a scalar; zero without patches.

        weights [B,H,W] multiply what differs at each pixel. Differentiable in `rendered`; pictures and weights
        of one device.
        """


def load_perceptual(weights: str | Path | None = None, device: torch.device | str = "cpu") -> Perceptual:
    """VGG from the folder `weights`, $EMOGA_WEIGHTS or torch hub's cache, or else the bands of frequency.

    Raises InputError when a file has VGG's name and is something else.
    """
    vgg = load_vgg(weights)
    return BandPass() if vgg is None else VggPatches(vgg.to(device))


def stack_note(perceptual: Perceptual) -> str:
    """A line for reports: by which features patches were compared, and how to have VGG's."""
    if perceptual.name == BAND_PASS:
        return f"patches were compared by {BAND_PASS} features; for VGG's, {ADVICE}"
    return f"patches were compared by features of {perceptual.name}"


@dataclass(frozen=True)
class BandPass:
    """Bands of frequency. They are local, so that patches that overlap are worked out once."""

    name: str = BAND_PASS

    def __call__(
        self,
        rendered: torch.Tensor,
        target: torch.Tensor,
        patches: Patches,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Perceptual`."""
        _check(rendered, target, weights)
        if not len(patches):
            return rendered.sum() * 0
        rows, columns = _around(patches, rendered.shape[1:3])
        worth = torch.from_numpy(_cover(patches, rendered.shape[:3])[:, rows, columns]).to(rendered)
        if weights is not None:
            worth = worth * weights[:, rows, columns]
        return band_distance(rendered[:, rows, columns], target[:, rows, columns], worth)


@dataclass(frozen=True)
class VggPatches:
    """Features of VGG."""

    vgg: Vgg

    @property
    def name(self) -> str:
        """The network's."""
        return self.vgg.name

    def __call__(
        self,
        rendered: torch.Tensor,
        target: torch.Tensor,
        patches: Patches,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Perceptual`."""
        _check(rendered, target, weights)
        total = rendered.sum() * 0
        if not len(patches):
            return total
        with torch.no_grad():
            wanted = self.vgg.features(_cut(target, patches))
        worth = None if weights is None else _cut(weights[..., None], patches).permute(0, 3, 1, 2)
        for own, other in zip(self.vgg.features(_cut(rendered, patches)), wanted, strict=True):
            apart = (own - other).abs()
            if worth is not None:
                apart = apart * torch.nn.functional.adaptive_avg_pool2d(worth, apart.shape[2:])
            total = total + apart.mean()
        return total


def _check(rendered: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> None:
    shapes = [tuple(part.shape) for part in (rendered, target, weights) if part is not None]
    fits = rendered.ndim == 4 and rendered.shape[-1] == 3 and target.shape == rendered.shape
    if not (fits and (weights is None or weights.shape == rendered.shape[:3])):
        raise InputError(f"patches: {', '.join(map(str, shapes))} must be [B,H,W,3] twice and [B,H,W]")


def _cover(patches: Patches, shape: torch.Size) -> np.ndarray:
    """float32 [B,H,W]: how much each pixel counts in the mean over all patches."""
    cover = np.zeros(shape, np.float32)
    share = np.float32(1 / (len(patches) * patches.side**2))
    for picture, top, left in zip(patches.picture, patches.top, patches.left, strict=True):
        cover[picture, top : top + patches.side, left : left + patches.side] += share
    return cover


def _around(patches: Patches, size: torch.Size) -> tuple[slice, slice]:
    """Rows and columns of all patches and their surroundings, so that every level halves as the whole would."""
    step, found = 2 ** (LEVELS - 1), []
    for begins, length in zip((patches.top, patches.left), size, strict=True):
        first = max(0, int(begins.min()) - SURROUNDINGS) // step * step
        found.append(slice(first, min(length, int(begins.max()) + patches.side + SURROUNDINGS)))
    return found[0], found[1]


def _cut(pictures: torch.Tensor, patches: Patches) -> torch.Tensor:
    """The patches [J,S,S,C] of pictures [B,H,W,C]."""
    side = patches.side
    places = zip(patches.picture.tolist(), patches.top.tolist(), patches.left.tolist(), strict=True)
    return torch.stack([pictures[p, y : y + side, x : x + side] for p, y, x in places])
