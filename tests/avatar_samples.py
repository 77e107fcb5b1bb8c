"""A small avatar for tests of files and exports: random Gaussians all over the open head."""

from __future__ import annotations

from dataclasses import replace

import torch

from emoga.avatar import Avatar, Emotion, Gaussians, with_color_mlp
from emoga.avatar.light import Light
from emoga.head import Head, HeadParams, load_head
from emoga.motion import Motion


def sample_avatar(
    count: int = 500, sh_degree: int = 1, seed: int = 0, rig: str = "smooth", motion: bool = True
) -> Avatar:
    """`count` Gaussians on random triangles, a few of them on bones, with every optional part filled."""
    generator = torch.Generator().manual_seed(seed)
    head = load_head("open")

    def normal(*size: int, spread: float = 1.0) -> torch.Tensor:
        return torch.randn(*size, generator=generator) * spread

    binding = torch.randint(0, len(head.faces), (count,), generator=generator)
    labels = head.face_regions[binding].to(torch.uint8)
    binding[:5] = torch.arange(-1, -6, -1)
    gaussians = Gaussians(
        means=normal(count, 3, spread=0.3),
        quats=torch.nn.functional.normalize(normal(count, 4), dim=1),
        log_scales=normal(count, 3, spread=0.3) - 0.5,
        logit_opacities=normal(count),
        sh=normal(count, (sh_degree + 1) ** 2, 3, spread=0.3),
        binding=binding,
        labels=labels,
    )
    return Avatar(
        gaussians,
        head.name,
        head.version,
        head.checksum,
        shape=normal(len(head.shape_names), spread=0.5),
        neutral=normal(len(head.expr_names), spread=0.05).clamp_min(0),
        static_offset=normal(len(head.template), 3, spread=1e-4),
        rig=rig,
        emotions={"happy": Emotion(head.emotion("happy")), "ärgerlich": Emotion(head.emotion("angry"))},
        motion=sample_motion(head) if motion else None,
        light=sample_light(),
        provenance={"commands": [["emoga", "fit"]], "figure": 1.5},
    )


def sample_light() -> Light:
    """Brighter from one side and above, of a head that was filmed a little turned."""
    logarithm = torch.zeros(8, 3)
    logarithm[0], logarithm[1, 0] = torch.tensor([0.5, 0.4, 0.3]), 0.2
    return Light(logarithm, torch.tensor([0.0, 0.3, 0.0]))


def colored_avatar(avatar: Avatar, *emotions: str, spread: float = 0.05, seed: int = 0) -> Avatar:
    """The avatar with a ColorMLP that shows something, as if it had been trained."""
    avatar = with_color_mlp(avatar, emotions or ("happy", "angry"), seed)
    generator = torch.Generator().manual_seed(seed)
    mlp = avatar.appearance
    for name in ("out", "out_bias", "embed_in_bias", "hidden_bias"):
        value = getattr(mlp, name)
        setattr(mlp, name, value + spread * torch.randn(value.shape, generator=generator))
    return replace(avatar, appearance=mlp)


def sample_motion(head: Head, frames: int = 6) -> Motion:
    """A mouth that opens while the head turns."""
    params = HeadParams.zeros(head, frames)
    ramp = torch.linspace(0, 1, frames)
    params.expr[:, head.unit("jawOpen")] = 0.6 * ramp
    params.rotation[:, 1] = 0.5 * ramp
    params.translation[:, 2] = 0.02 * ramp
    return Motion(head.name, head.version, head.checksum, params, 25.0)
