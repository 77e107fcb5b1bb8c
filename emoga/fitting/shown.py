"""How much of each Gaussian the pictures of a track show, by blending weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.head import HeadParams, Identity
from emoga.render import gaussian_contributions

Planes = Callable[[int, int], torch.Tensor]


@torch.no_grad()
def shown_pixels(
    gaussians: Gaussians,
    identity: Identity,
    rig: Rig,
    params: HeadParams,
    track: Track,
    pairs: list[tuple[int, int]],
    planes: Planes,
) -> torch.Tensor:
    """Pixels [N,D] that each Gaussian shows in the pictures (view, frame), each scaled by D planes.

    planes: the [H,W,D] of a view and a frame; ones count pixels, a mask those within it.
    """
    shown = 0
    for view, frame in pairs:
        camera = track.cameras[view]
        world = to_world(gaussians, pose_frames(identity, rig, params, frame)[1])
        shown += gaussian_contributions(
            world.means, world.quats, world.scales, world.opacities, *stack_cameras([camera]), camera.width,
            camera.height, weights=planes(view, frame)[None],
        )[0]  # fmt: skip
    return shown
