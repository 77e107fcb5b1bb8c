"""From an avatar and head parameters to pictures: what fitting reports, reenactment and evaluation share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from emoga.avatar.avatar import Avatar
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.posing import MOTION, Puppet, make_puppet
from emoga.camera import Camera, stack_cameras
from emoga.head import HeadParams
from emoga.images import to_uint8
from emoga.kernels import torch_on_one_thread
from emoga.optimize.baked import BakedGaussians, in_blocks
from emoga.optimize.carry import Bindings, Carried, carry, sort_bindings
from emoga.optimize.emotion_colors import EmotionColors
from emoga.optimize.pose_tables import PoseTables
from emoga.render import Rendering, rasterize

WHITE = (1.0, 1.0, 1.0)
# One posed frame as `draw` takes it: a table of PoseTables on CPU, frames [F] elsewhere.
Pose = np.ndarray | TriangleFrames


class AvatarRenderer:
    """Renders one avatar many times; the identity, the rig and the bindings are worked out once."""

    def __init__(self, avatar: Avatar, device: torch.device | str = "cpu", backend: str = "auto") -> None:
        self.puppet: Puppet = make_puppet(avatar, device)
        self.backend = backend
        self.device = torch.device(device)
        gaussians, bind = self.puppet.gaussians, self.puppet.bind
        self._bindings: Bindings = sort_bindings(gaussians.binding, self.puppet.head.faces.shape[0])
        on_cpu = self.device.type == "cpu"
        self._baked = BakedGaussians(gaussians, self._bindings.rows, bind) if on_cpu else None
        self._tables = PoseTables(self.puppet.rig, bind) if on_cpu else None
        self._colors: EmotionColors | None = None
        if avatar.appearance is not None:
            arrange = _in_blocks if on_cpu else torch.Tensor.contiguous
            self._colors = EmotionColors(avatar.appearance.to(device), gaussians, arrange)

    @torch_on_one_thread()
    def render(
        self,
        params: HeadParams,
        frame: int,
        cameras: Sequence[Camera],
        background: Sequence[float] | torch.Tensor = WHITE,
        mixture: torch.Tensor | None = None,
    ) -> Rendering:
        """Frame `frame` of `params` seen by C cameras of one size: image [C,H,W,3] over the background [3].

        The avatar keeps its own shape, whatever shape `params` holds. mixture [E]: weights of the rows of its
        ColorMLP, see `emotion_mixtures`.
        """
        return self.draw(self.pose(params, frame, frame + 1)[0], cameras, background, mixture)

    @torch.no_grad()
    def pose(self, params: HeadParams, start: int, stop: int) -> list[Pose]:
        """Frames start … stop - 1 of `params`, to be drawn; several at once take less time each.

        The last bits of a pose may depend on which frames were asked for together.
        """
        motion = [getattr(params, name)[start:stop].to(self.device) for name in MOTION]
        vertices, bones = self.puppet.identity.pose(*motion), self.puppet.identity.bones(*motion)
        if self._tables is not None:
            return list(self._tables.of(vertices, bones))
        parts = self.puppet.rig.frames(vertices, bones).parts()
        return [TriangleFrames(*(part[t] for part in parts)) for t in range(len(vertices))]

    @torch.no_grad()
    def draw(
        self,
        pose: Pose,
        cameras: Sequence[Camera],
        background: Sequence[float] | torch.Tensor = WHITE,
        mixture: torch.Tensor | None = None,
    ) -> Rendering:
        """A posed frame seen by C cameras of one size, as in `render`; may be called by several threads."""
        viewmats, Ks = stack_cameras(cameras, self.device)
        splats = self.carry(pose, np.stack([camera.position for camera in cameras]), mixture)
        return rasterize(
            splats.means,
            splats.quats,
            splats.scales,
            splats.opacities,
            splats.colors,
            viewmats,
            Ks,
            cameras[0].width,
            cameras[0].height,
            background=torch.as_tensor(background, dtype=torch.float32, device=self.device),
            backend=self.backend,
        )

    @torch.no_grad()
    def carry(self, pose: Pose, positions: np.ndarray, mixture: torch.Tensor | None = None) -> Carried:
        """Gaussians in the world, with colors [C,N,3] towards cameras at positions [C,3].

        On CPU the next call from the same thread overwrites them.
        """
        sh = None if mixture is None or self._colors is None else self._colors.mixed(mixture)
        if self._baked is not None:
            return self._baked.carry(pose, positions, None if sh is None else sh.numpy())
        puppet = self.puppet
        gaussians = puppet.gaussians if sh is None else replace(puppet.gaussians, sh=sh)
        parts = [
            carry(gaussians, self._bindings, pose, puppet.bind, position)
            for position in torch.as_tensor(positions, dtype=torch.float32, device=self.device)
        ]
        first = parts[0]
        colors = torch.stack([part.colors for part in parts])
        return Carried(first.means, first.quats, first.scales, first.opacities, colors)

    def picture(
        self,
        params: HeadParams,
        frame: int,
        camera: Camera,
        background: Sequence[float] | torch.Tensor = WHITE,
        mixture: torch.Tensor | None = None,
    ) -> np.ndarray:
        """One frame from one camera as uint8 [H,W,3]."""
        image = self.render(params, frame, [camera], background, mixture).image[0]
        return to_uint8(image.cpu().numpy())


def _in_blocks(sh: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(in_blocks(sh.numpy()))
