"""A filmed mannequin: a track whose pictures are our own renders of a known avatar."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.camera import Camera, look_at
from emoga.capture import HeldOut, Landmarks, Track
from emoga.head import HeadParams, load_head
from emoga.images import to_uint8, write_png
from emoga.optimize.metrics_landmarks import project_landmarks
from emoga.optimize.picture import AvatarRenderer

SIZE = 96
TARGET, FOV_Y = (0.0, -0.02, -0.05), 0.45


def ring(count: int, size: int = SIZE) -> list[Camera]:
    """Cameras on an arc in front of the head."""
    angles = [0.0] if count == 1 else np.linspace(-0.6, 0.6, count)
    return [
        look_at(
            (0.9 * math.sin(a), 0, 0.9 * math.cos(a)), (0, -0.02, -0.05), 0.45, size, size, name=f"cam{i}"
        )
        for i, a in enumerate(angles)
    ]


def film(
    avatar: Avatar, folder: Path, views: int = 2, frames: int = 5, held_out: HeldOut | None = None
) -> Track:
    """Pictures of a talking, turning avatar under `folder`, as the perfect track of them."""
    head = load_head(avatar.head_name)
    params = HeadParams.zeros(head, frames)
    params.shape, params.static_offset = avatar.shape, avatar.static_offset
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.5, frames)
    params.expr[:, head.unit("browInnerUp")] = torch.linspace(0.5, 0, frames)
    params.rotation[:, 1] = torch.linspace(-0.2, 0.2, frames)
    cameras, renderer = ring(views), AvatarRenderer(avatar)
    masks = np.zeros((views, frames, SIZE, SIZE), np.uint8)
    for frame in range(frames):
        rendering = renderer.render(params, frame, cameras)
        for view, camera in enumerate(cameras):
            path = folder / "images" / camera.name / f"{frame:06d}.png"
            write_png(path, rendering.image[view].numpy())
            masks[view, frame] = to_uint8(rendering.alpha[view, ..., 0].numpy())
    points, _ = project_landmarks(head, params, cameras, "mediapipe478")
    return Track(
        head_name=head.name,
        head_version=head.version,
        head_checksum=head.checksum,
        params=params,
        cameras=cameras,
        media=[folder / "images" / camera.name for camera in cameras],
        frames=np.arange(frames),
        fps=10.0,
        masks=masks,
        head_masks=masks,
        landmarks=Landmarks(points.astype(np.float32), np.ones((views, frames), bool), "mediapipe478"),
        held_out=held_out or HeldOut(),
    )
