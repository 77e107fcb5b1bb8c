"""Pictures a head is fitted to, posed: where its Gaussians are in them, and how much of each shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.head import HeadParams, Identity
from emoga.render import gaussian_contributions

Planes = Callable[[int, int], torch.Tensor]


@dataclass(frozen=True)
class PosedPictures:
    """The pictures `pairs` (view, frame) of a track, in which params [T] pose a person by a rig."""

    identity: Identity
    rig: Rig
    params: HeadParams
    track: Track
    pairs: list[tuple[int, int]]

    def frames(self) -> Iterator[tuple[int, int, TriangleFrames]]:
        """View, frame and the frames that Gaussians hang on, picture by picture."""
        for view, frame in self.pairs:
            yield view, frame, pose_frames(self.identity, self.rig, self.params, frame)[1]

    @torch.no_grad()
    def shown_pixels(self, gaussians: Gaussians, planes: Planes) -> torch.Tensor:
        """Pixels [N,D] that each Gaussian shows by its blending weights, each scaled by D planes, in all pictures.

        planes: the [H,W,D] of a view and a frame; ones count pixels, a mask those within it.
        """
        shown = 0
        for view, frame, frames in self.frames():
            camera, world = self.track.cameras[view], to_world(gaussians, frames)
            shown += gaussian_contributions(
                world.means, world.quats, world.scales, world.opacities, *stack_cameras([camera]), camera.width,
                camera.height, weights=planes(view, frame)[None],
            )[0]  # fmt: skip
        return shown
