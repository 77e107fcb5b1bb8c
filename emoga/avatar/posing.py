"""A puppet: an avatar with everything that does not change from frame to frame already worked out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.avatar.avatar import Avatar, Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.rig import (
    Rig,
    WorldGaussians,
    avatar_head,
    bind_pose,
    binding_rows,
    rig_of,
    to_world,
    turn_since_bind,
)
from emoga.head import Head, HeadParams, Identity

MOTION = ("expr", "rotation", "neck", "jaw", "eyes", "translation")


@dataclass(frozen=True)
class Posed:
    """One posed frame: vertices [V,3], the Gaussians in the world, and turn [N,3,3] since the bind pose.

    shade [N,3]: factors of their colours there; None where light changes nothing.
    """

    vertices: torch.Tensor
    world: WorldGaussians
    turn: torch.Tensor
    shade: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Puppet:
    """An avatar ready to be posed many times: its identity, rig and bind frames in float32 on one device."""

    avatar: Avatar
    head: Head
    identity: Identity
    rig: Rig
    bind: TriangleFrames
    gaussians: Gaussians

    @torch.no_grad()
    def pose(self, params: HeadParams, frame: int = 0) -> Posed:
        """The avatar in frame `frame` of `params`; its own shape is used, whatever shape `params` holds."""
        vertices, frames = pose_frames(self.identity, self.rig, params, frame)
        binding = self.gaussians.binding
        shade = None
        if frames.shade is not None:
            shade = frames.shade[binding_rows(binding, self.head.faces.shape[0])]
        world = to_world(self.gaussians, frames)
        return Posed(vertices, world, turn_since_bind(frames, self.bind, binding), shade)


def make_puppet(avatar: Avatar, device: torch.device | str = "cpu") -> Puppet:
    """Prepare an avatar for posing. Raises InputError when its head model is not at hand."""
    head = avatar_head(avatar)
    bind = bind_pose(avatar, head)
    moved = head.to(torch.device(device))
    offset = None if avatar.static_offset is None else avatar.static_offset.to(device)
    identity = moved.identify(avatar.shape.to(device), offset)
    bind = bind.map(lambda part: part.to(device))
    rig = rig_of(head, avatar.rig).lit(avatar.light, bind)
    bind = bind.map(torch.Tensor.float)
    return Puppet(avatar, moved, identity, rig, bind, avatar.gaussians.detach().to(device))


def pose_frames(
    identity: Identity, rig: Rig, params: HeadParams, frame: int
) -> tuple[torch.Tensor, TriangleFrames]:
    """Vertices [V,3] and frames of one frame of `params`; differentiable in them and in the identity."""
    motion = [getattr(params, name)[frame : frame + 1] for name in MOTION]
    vertices = identity.pose(*motion)[0]
    return vertices, rig.frames(vertices, identity.bones(*motion)[0])
