"""What a single camera shows squarely tells what its rims look like: of a kind, near them or mirrored.

Rims are seen at a grazing angle, mixed with what stands behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from emoga.fitting.hidden import BEHIND
from emoga.fitting.visibility import GRAZING, facing_cosines
from emoga.head import Head
from emoga.optimize.regions import visible_faces
from emoga.optimize.sightings import told_by_seen
from emoga.optimize.training_pictures import Example

SQUARE = 0.35  # cosine from which on a triangle's colours are believed; below GRAZING they are not at all
SLANTED = 0.6  # cosine below which colours of others get mixed in, as mesh and pictures never quite agree
LOOSELY = 0.1  # firmness with which Gaussians keep to colours of what was seen squarely
# What looks alike; the skin of the face is all the rest.
APART = (("scalp",), ("ears",), ("neck", "shoulders", "boundary"))
LEFT_OUT = (*BEHIND, "lashes")
FEWEST = 8  # triangles of a kind, believed wholly: with fewer nothing is said about the others
OPAQUE, WHOLE = 0.97, 0.9  # alpha and weight from which on a pixel tells a colour


@dataclass(frozen=True)
class LitPicture:
    """A picture, the head [V,3] in it, and by how much light brightens its triangles there [F,3], if any does."""

    example: Example
    vertices: torch.Tensor
    shade: torch.Tensor | None


@dataclass(frozen=True)
class LikelyColors:
    """colors [F,3]: what triangles look like, in 0..1 and without light, as far as pictures tell.

    doubt [F]: 1 where nothing that is seen of a triangle is to be believed, and its kind tells instead; 0 where all
    is, or where nothing better is known. firmness [F]: how firmly Gaussians are to keep to colors, 1 at rims and where
    only clothing was seen, down to LOOSELY, and 0 where they say nothing, which is all but skin and hair.
    """

    colors: torch.Tensor
    doubt: torch.Tensor
    firmness: torch.Tensor

    @classmethod
    def of(cls, head: Head, squarely: np.ndarray, pictures: Iterable[LitPicture]) -> LikelyColors:
        """From some pictures; squarely [F]: see `shown_squarely`."""
        colors, seen = _seen_colors(head, pictures)
        squarely = np.where(seen, squarely, 0.0)
        doubt, kept = _below(SQUARE, squarely), np.zeros(len(head.faces))
        known = np.zeros(len(head.faces), bool)
        for kind in _kinds(head):
            telling, doubted = np.flatnonzero(kind & seen & (doubt == 0)), np.flatnonzero(kind & (doubt > 0))
            known[telling] = True
            if len(telling) >= FEWEST:
                colors[doubted] = told_by_seen(head, doubted, telling, colors[telling])
                kept[doubted], known[doubted] = doubt[doubted], True
        firmness = known * _below(SLANTED, squarely).clip(LOOSELY)
        return cls(*(torch.from_numpy(part).float() for part in (colors, kept, firmness)))

    def to(self, device: torch.device | str) -> LikelyColors:
        """The same on another device."""
        return LikelyColors(self.colors.to(device), self.doubt.to(device), self.firmness.to(device))


def _below(limit: float, squarely: np.ndarray) -> np.ndarray:
    """1 up to GRAZING, 0 from `limit` on, of cosines [F]."""
    return ((limit - squarely) / (limit - GRAZING)).clip(0, 1)


def numbers_of(head: Head, names: tuple[str, ...]) -> list[int]:
    """Labels of the regions with these names."""
    return [number for number, name in enumerate(head.region_names) if name in names]


def _kinds(head: Head) -> list[np.ndarray]:
    """bool [F] each: triangles that look alike."""
    named = {name for kind in (*APART, LEFT_OUT) for name in kind}
    skin = tuple(name for name in head.region_names if name not in named)
    regions = head.face_regions.numpy()
    return [np.isin(regions, numbers_of(head, kind)) for kind in (*APART, skin)]


def _seen_colors(head: Head, pictures: Iterable[LitPicture]) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours [F,3] of triangles, those seen head-on counting most, and which were seen [F]."""
    count = len(head.faces)
    total, weight = np.zeros((count, 3)), np.zeros(count)
    for picture in pictures:
        example = picture.example
        index = visible_faces(head, picture.vertices, example.camera)
        shows = (index >= 0) & (example.alpha.numpy() > OPAQUE) & (example.weight.numpy() > WHOLE)
        face, color = index[shows], example.target.numpy()[shows]
        if picture.shade is not None:
            color = color / picture.shade.numpy()[face]
        facing = facing_cosines(head, picture.vertices, example.camera)[face].clip(0, 1) ** 2
        weight += np.bincount(face, facing, count)
        for channel in range(3):
            total[:, channel] += np.bincount(face, facing * color[:, channel], count)
    seen = weight > 0
    return total / np.where(seen, weight, 1)[:, None], seen
