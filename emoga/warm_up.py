"""Compile every kernel ahead of time: the CPU's by doing once, at thumbnail size, what they are for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from emoga.avatar import Avatar, Gaussians, with_color_mlp
from emoga.camera import look_at
from emoga.capture import Track
from emoga.fitting import fit
from emoga.head import HeadParams, load_head
from emoga.images import to_uint8, write_png
from emoga.optimize.emotion_colors import EmotionColors, residual_sh
from emoga.optimize.picture import AvatarRenderer
from emoga.progress import Reporter, Stage, silent
from emoga.render.gsplat_kernels import resolve_device

SIZE = 32
ITERATIONS = 3


def warm_up(report: Reporter = silent) -> None:
    """Render a grey head, fit an avatar to it and colour it; what was compiled stays in the cache.

    Where there is a GPU, gsplat's kernels are compiled too.
    """
    report(Stage("compiling kernels"))
    with tempfile.TemporaryDirectory(prefix="emoga-warm-up-") as folder:
        track = _film(_grey_avatar(), Path(folder))
        settings = {"preset": "fast", "iterations": ITERATIONS, "gaussians": 2000, "device": "cpu"}
        fit(track, None, appearance="color_mlp", **settings)  # what plain SH need is needed here too
    _color_emotions(with_color_mlp(_grey_avatar(), ["happy"]))
    resolve_device("auto")


def _color_emotions(avatar: Avatar) -> None:
    """One evaluation of what an emotion adds to colours, with gradients, and one mixture for play."""
    mixture = torch.tensor([0.0, 1.0])
    latents = avatar.gaussians.latents.clone().requires_grad_()
    residual_sh(avatar.appearance, latents, mixture).sum().backward()
    EmotionColors(avatar.appearance, avatar.gaussians).mixed(mixture)


def _grey_avatar() -> Avatar:
    """One grey Gaussian on every triangle of the open head."""
    head = load_head("open")
    count = len(head.faces)
    gaussians = Gaussians(
        means=torch.zeros(count, 3),
        quats=torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        log_scales=torch.full((count, 3), -1.0),
        logit_opacities=torch.full((count,), 3.0),
        sh=torch.zeros(count, 4, 3),
        binding=torch.arange(count),
        labels=head.face_regions.to(torch.uint8),
    )
    shape, neutral = torch.zeros(len(head.shape_names)), torch.zeros(len(head.expr_names))
    return Avatar(gaussians, head.name, head.version, head.checksum, shape, neutral)


def _film(avatar: Avatar, folder: Path) -> Track:
    """Two frames of it from one camera, as the perfect track of them."""
    camera = look_at((0, 0, 0.9), (0, -0.02, -0.05), 0.45, SIZE, SIZE)
    head = load_head("open")
    params = HeadParams.zeros(head, 2)
    renderer = AvatarRenderer(avatar)
    masks = np.zeros((1, 2, SIZE, SIZE), np.uint8)
    for frame in range(2):
        rendering = renderer.render(params, frame, [camera])
        write_png(folder / f"{frame:06d}.png", rendering.image[0].numpy())
        masks[0, frame] = to_uint8(rendering.alpha[0, ..., 0].numpy())
    return Track(
        head.name, head.version, head.checksum, params, [camera], [folder], np.arange(2), 25.0,
        masks=masks, head_masks=masks,
    )  # fmt: skip
