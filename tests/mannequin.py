"""A test avatar: one coloured Gaussian on every triangle of the open head, so that it looks like a head."""

from __future__ import annotations

import torch

from emoga.avatar import Avatar, Gaussians
from emoga.head import load_head
from emoga.motion import Motion

COLOURS = {
    "lips": (0.7, 0.25, 0.25), "teeth": (0.95, 0.95, 0.9), "tongue": (0.8, 0.4, 0.4), "eyeballs": (0.95,) * 3,
    "irises": (0.1, 0.3, 0.5), "mouth_interior": (0.25, 0.05, 0.05), "brows": (0.3, 0.2, 0.1),
    "scalp": (0.25, 0.18, 0.1), "lashes": (0.1, 0.1, 0.1),
}  # fmt: skip
SKIN = (0.85, 0.65, 0.55)
SH_C0 = 0.28209479177387814


def make_mannequin(seed: int = 0, motion: Motion | None = None) -> Avatar:
    """A person of random shape, neutral at rest, skin mottled by `seed`."""
    torch.manual_seed(seed)
    head = load_head("open")
    count = head.faces.shape[0]
    colours = torch.tensor([COLOURS.get(name, SKIN) for name in head.region_names])
    colours = colours[head.face_regions.long()] + 0.05 * torch.randn(count, 3)
    gaussians = Gaussians(
        means=torch.zeros(count, 3),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        log_scales=torch.tensor([0.55, 0.55, 0.08]).log().repeat(count, 1),
        logit_opacities=torch.full((count,), 4.0),
        sh=((colours - 0.5) / SH_C0)[:, None, :],
        binding=torch.arange(count),
        labels=head.face_regions.clone(),
    )
    return Avatar(
        gaussians=gaussians,
        head_name=head.name,
        head_version=head.version,
        head_checksum=head.checksum,
        shape=0.7 * torch.randn(len(head.shape_names)),
        neutral=torch.zeros(len(head.expr_names)),
        motion=motion,
    )
