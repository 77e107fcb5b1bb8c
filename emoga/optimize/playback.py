"""Play an avatar on a GPU: many frames per call, posed by a CUDA graph, brought to the host while drawing goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from emoga.avatar.avatar import Avatar, Gaussians
from emoga.avatar.frames_torch import FrameMaker
from emoga.avatar.posing import MOTION, Puppet, make_puppet
from emoga.avatar.rig import binding_rows
from emoga.camera import Camera, stack_cameras
from emoga.head import HeadParams
from emoga.optimize.carry_torch import carry_frames
from emoga.optimize.emotion_colors import EmotionColors
from emoga.optimize.graphs import Captured
from emoga.optimize.upload import send
from emoga.render.rasterize import Backend, rasterize_frames

BATCH = 16  # frames per call: enough to hide what the host does for each


class Player:
    """Draws one avatar in batches of frames, each seen by a camera of its own.

    Posing the head, carrying the Gaussians and colouring them have fixed shapes and are recorded as one CUDA
    graph. gsplat is called outside of it: it asks the GPU how many tiles the Gaussians touch, and memory of
    that size cannot be part of a recording.
    """

    def __init__(
        self,
        avatar: Avatar,
        device: torch.device | str = "cuda",
        backend: Backend = "auto",
        batch: int = BATCH,
    ) -> None:
        self.puppet: Puppet = make_puppet(avatar, device)
        self.device, self.backend, self.batch = torch.device(device), backend, batch
        self._maker = FrameMaker.of(self.puppet.rig, device)
        self._rows = binding_rows(self.puppet.gaussians.binding, self.puppet.head.faces.shape[0])
        self._posed = Captured(self._pose)
        self._expressed = Captured(self._express)
        self._residuals = self._emotions(avatar)

    @property
    def refusal(self) -> str:
        """Why posing could not be recorded as a CUDA graph; empty when it was, or on the CPU."""
        return self._posed.refusal or self._expressed.refusal

    def _emotions(self, avatar: Avatar) -> torch.Tensor | None:
        """What every row of the avatar's ColorMLP adds to its SH at full weight, [E,N,K,3]."""
        if avatar.appearance is None:
            return None
        colors = EmotionColors(avatar.appearance.to(self.device), self.puppet.gaussians)
        return torch.stack([colors.residual(row) for row in range(avatar.appearance.rows)])

    def _pose(self, positions: torch.Tensor, *motion: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Means, quats, scales, opacities and colours of a batch, from camera positions [B,1,3] and motion."""
        return self._carry(self.puppet.gaussians, positions, *motion)

    def _express(
        self, mixtures: torch.Tensor, positions: torch.Tensor, *motion: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """`_pose` under mixtures [B,E] of emotions."""
        gaussians = self.puppet.gaussians
        sh = gaussians.sh + torch.tensordot(mixtures, self._residuals, 1)
        return self._carry(replace(gaussians, sh=sh[:, None]), positions, *motion)

    def _carry(
        self, gaussians: Gaussians, positions: torch.Tensor, *motion: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        identity = self.puppet.identity
        frames = self._maker.frames(identity.pose(*motion), identity.bones(*motion))
        carried = carry_frames(gaussians, self._rows, frames, self.puppet.bind, positions)
        return carried.means, carried.quats, carried.scales, carried.opacities, carried.colors

    @torch.no_grad()
    def draw(
        self,
        params: HeadParams,
        frames: Sequence[int],
        cameras: Sequence[Camera],
        background: Sequence[float] | None = (1.0, 1.0, 1.0),
        mixtures: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Frames of `params`, at most a batch, each by its camera (all of one size), as uint8 on the device.

        [B,H,W,3] over the background [3], or [B,H,W,4] with straight alpha when that is None. The avatar keeps
        its own shape, whatever shape `params` holds. mixtures [T,E]: weights of the rows of its ColorMLP in
        every frame of `params`, see `emotion_mixtures`.
        """
        count = len(frames)
        rows = [*frames, *[frames[-1]] * (self.batch - count)]  # a recording knows one size only
        seen = [*cameras, *[cameras[-1]] * (self.batch - count)]
        chosen = send(np.array(rows), self.device)
        motion = [getattr(params, name).to(self.device).index_select(0, chosen) for name in MOTION]
        viewmats, Ks = (send(part[:, None], self.device) for part in stack_cameras(seen))
        positions = np.stack([camera.position for camera in seen])[:, None].astype(np.float32)
        inputs = [send(positions, self.device), *motion]
        if mixtures is None or self._residuals is None:
            posed = self._posed(*inputs)
        else:
            posed = self._expressed(send(mixtures[rows], self.device), *inputs)
        ground = send(np.array(background or (0, 0, 0), np.float32), self.device)
        image, alpha = rasterize_frames(
            *posed, viewmats, Ks, cameras[0].width, cameras[0].height, background=ground, backend=self.backend
        )
        image, alpha = image[:count, 0], alpha[:count, 0]
        if background is None:
            image = torch.cat([image / alpha.clamp_min(1e-4), alpha], -1)
        return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8)

    def play(
        self,
        params: HeadParams,
        frames: Sequence[int],
        cameras: Sequence[Camera],
        background: Sequence[float] | None = (1.0, 1.0, 1.0),
        mixtures: torch.Tensor | None = None,
    ) -> Iterator[np.ndarray]:
        """Any number of frames one after the other on the host, each uint8 as `draw` gives it."""
        params = params.to(self.device)
        ahead: list[tuple[torch.Tensor, torch.cuda.Event | None]] = []
        for start in range(0, len(frames), self.batch):
            part = slice(start, start + self.batch)
            ahead.append(self._leaving(self.draw(params, frames[part], cameras[part], background, mixtures)))
            if len(ahead) > 1:
                yield from _arrived(*ahead.pop(0))
        for last in ahead:
            yield from _arrived(*last)

    def _leaving(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
        """Pictures on their way to the host, and what tells that they are there."""
        if self.device.type != "cuda":
            return pictures, None
        there = torch.empty(pictures.shape, dtype=torch.uint8, pin_memory=True)
        there.copy_(pictures, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return there, event


def _arrived(pictures: torch.Tensor, event: torch.cuda.Event | None) -> Iterator[np.ndarray]:
    if event is not None:
        event.synchronize()
    yield from pictures.numpy()
