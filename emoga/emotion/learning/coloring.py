"""From colours of points on the skin to those of an avatar's Gaussians."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.avatar.posing import Puppet
from emoga.avatar.rig import to_world
from emoga.emotion.learning.surface import SKIN, Surface
from emoga.render.sh import SH_C0

NEIGHBOURS = 6
REACH = 0.005  # metres from the skin at which a Gaussian's share in its colours has halved


def gaussian_colors(surface: Surface, puppet: Puppet, values: np.ndarray) -> torch.Tensor:
    """Change [N,3] of the SH's constant term for each Gaussian, from values [P,3] of the surface's points.

    Hair, eyes, teeth and what lies beyond the skin keep their colours.
    """
    gaussians, head = puppet.gaussians, puppet.head
    frames = puppet.rig.frames(puppet.identity.rest, puppet.identity.bones(head.bind_expr()[None] * 0)[0])
    means = to_world(gaussians, frames).means.double().numpy()
    distance, near = cKDTree(surface.rest).query(means, NEIGHBOURS)
    spacing = np.maximum(distance.mean(1, keepdims=True), 1e-5)
    weights = np.exp(-0.5 * (distance / spacing) ** 2)
    mixed = np.einsum("nk,nkd->nd", weights / weights.sum(1, keepdims=True), values[near])
    share = 1 / (1 + (distance[:, 0] / REACH) ** 4)
    labels = [head.region_names.index(name) for name in SKIN if name in head.region_names]
    share *= np.isin(gaussians.labels.numpy(), labels)
    return torch.from_numpy((mixed * share[:, None] / SH_C0).astype(np.float32))
