"""From where a single camera never looked, Gaussians wear the colours of what it looked at squarely.

Nothing says how a colour goes on beyond the directions it was seen from. Without a word on that, the side of a head
filmed from the front is smeared and glitters.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.rig import binding_rows, to_world
from emoga.fitting.alike import LEFT_OUT, LikelyColors, numbers_of
from emoga.fitting.shown import PosedPictures
from emoga.head import Head
from emoga.render.sh import sh_basis

DIRECTIONS = 96  # all around
# Cosines from the middle of the directions seen, from which on and where fully others count
AWAY = (0.9, 0.5)
# Of all directions nobody looked from, beside all that were: little, for what was filmed shall stay as it is.
WEIGHT = 0.003


@torch.no_grad()
def seen_along(
    gaussians: Gaussians, head: Head, bind: TriangleFrames, pictures: PosedPictures
) -> torch.Tensor:
    """Unit directions [N,P,3] from cameras to Gaussians in each picture, as their colours know them."""
    rows = binding_rows(gaussians.binding, len(head.faces))
    found = []
    for view, _, frames in pictures.frames():
        position = torch.from_numpy(pictures.track.cameras[view].position).float()
        away = to_world(gaussians, frames).means - position
        turn = (frames.rotation @ bind.rotation.mT)[rows].float()
        found.append((torch.nn.functional.normalize(away, dim=-1)[:, None] @ turn)[:, 0])
    return torch.stack(found, 1)


@torch.no_grad()
def colors_all_round(
    gaussians: Gaussians, head: Head, normals: torch.Tensor, likely: LikelyColors, along: torch.Tensor
) -> torch.Tensor:
    """sh [N,B,3] as before along the directions `along` [N,P,3], and likely elsewhere on the side that shows.

    normals [N,3]: of what Gaussians hang on, in the bind pose. Least squares over what each looks like from all sides:
    itself where it was seen squarely, else what is likely there.
    """
    count = gaussians.sh.shape[1]
    seen = sh_basis(along, count)
    values = seen @ gaussians.sh
    face = gaussians.binding.long().clamp_min(0)
    elsewhere = torch.lerp(values.mean(1), likely.colors[face] - 0.5, likely.doubt[face][:, None])
    around = _all_around().to(values)
    others = sh_basis(around, count)
    near, far = AWAY
    middle = torch.nn.functional.normalize(along.mean(1), dim=-1)
    weight = (-normals @ around.T).clamp(min=0) * ((near - middle @ around.T) / (near - far)).clamp(0, 1)
    weight = WEIGHT * weight / weight.sum(1, keepdim=True).clamp_min(1e-6)
    products = (others[:, :, None] * others[:, None]).flatten(1)
    curvature = seen.mT @ seen / seen.shape[1] + (weight @ products).unflatten(1, (count, count))
    curvature += 1e-6 * torch.eye(count)
    pull = seen.mT @ values / seen.shape[1] + (weight @ others)[..., None] * elsewhere[:, None]
    result = torch.linalg.solve(curvature, pull)
    left = np.isin(gaussians.labels.numpy(), numbers_of(head, LEFT_OUT)) | (gaussians.binding.numpy() < 0)
    return torch.where(torch.from_numpy(left)[:, None, None], gaussians.sh, result)


def _all_around() -> torch.Tensor:
    """Unit directions [DIRECTIONS,3], evenly on the sphere (a Fibonacci lattice)."""
    number = torch.arange(DIRECTIONS, dtype=torch.float64) + 0.5
    z = 1 - 2 * number / DIRECTIONS
    turn = math.pi * (1 + math.sqrt(5)) * number
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * turn.cos(), ring * turn.sin(), z], -1)
