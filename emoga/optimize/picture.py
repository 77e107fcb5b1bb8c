"""From an avatar and head parameters to pictures: what fitting reports, reenactment and evaluation share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emoga.avatar.avatar import Avatar
from emoga.avatar.posing import Puppet, make_puppet, pose_frames
from emoga.camera import Camera, stack_cameras
from emoga.head import HeadParams
from emoga.images import to_uint8
from emoga.kernels import torch_on_one_thread
from emoga.optimize.carry import carry, sort_bindings
from emoga.render import Rendering, rasterize

WHITE = (1.0, 1.0, 1.0)


class AvatarRenderer:
    """Renders one avatar many times; the identity, the rig and the bindings are worked out once."""

    def __init__(self, avatar: Avatar, device: torch.device | str = "cpu", backend: str = "auto") -> None:
        self.puppet: Puppet = make_puppet(avatar, device)
        self.backend = backend
        self.device = torch.device(device)
        self._bindings = sort_bindings(self.puppet.gaussians.binding, self.puppet.head.faces.shape[0])

    @torch_on_one_thread()
    @torch.no_grad()
    def render(
        self,
        params: HeadParams,
        frame: int,
        cameras: Sequence[Camera],
        background: Sequence[float] | torch.Tensor = WHITE,
    ) -> Rendering:
        """Frame `frame` of `params` seen by C cameras of one size: image [C,H,W,3] over the background [3].

        The avatar keeps its own shape, whatever shape `params` holds.
        """
        puppet = self.puppet
        _, frames = pose_frames(puppet.identity, puppet.rig, params, frame)
        background = torch.as_tensor(background, dtype=torch.float32, device=self.device)
        viewmats, Ks = stack_cameras(cameras, self.device)
        splats = [
            carry(
                puppet.gaussians,
                self._bindings,
                frames,
                puppet.bind,
                torch.as_tensor(camera.position, dtype=torch.float32, device=self.device),
            )
            for camera in cameras
        ]
        first = splats[0]
        return rasterize(
            first.means,
            first.quats,
            first.scales,
            first.opacities,
            torch.stack([part.colors for part in splats]),
            viewmats,
            Ks,
            cameras[0].width,
            cameras[0].height,
            background=background,
            backend=self.backend,
        )

    def picture(
        self,
        params: HeadParams,
        frame: int,
        camera: Camera,
        background: Sequence[float] | torch.Tensor = WHITE,
    ) -> np.ndarray:
        """One frame from one camera as uint8 [H,W,3]."""
        image = self.render(params, frame, [camera], background).image[0]
        return to_uint8(image.cpu().numpy())
