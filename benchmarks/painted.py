"""A capture made in seconds, without a path tracer: the open head with painted skin, filmed by our mesh renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from emoga.camera import look_at, stack_cameras
from emoga.capture import HeldOut, Track
from emoga.head import Head, HeadParams, load_head
from emoga.images import write_png
from emoga.render import interpolate, rasterize_mesh

BACKDROP = torch.tensor([0.8, 0.85, 0.9])


def talk(head: Head, frames: int) -> HeadParams:
    """A head that turns, opens its mouth and blinks."""
    params, time = HeadParams.zeros(head, frames), torch.linspace(0, 6.3, frames)
    params.neck[:, 1] = 0.25 * torch.sin(time)
    params.rotation[:, 0] = 0.08 * torch.sin(2 * time)
    params.expr[:, head.unit("jawOpen")] = 0.3 + 0.3 * torch.sin(3 * time)
    for side in ("Left", "Right"):
        params.expr[:, head.unit(f"eyeBlink{side}")] = (torch.sin(4 * time) - 0.6).clamp_min(0) / 0.4
        params.expr[:, head.unit(f"mouthSmile{side}")] = 0.4 * torch.sin(time).clamp_min(0)
    return params


def film(folder: Path, views: int, frames: int, size: int) -> Track:
    """Pictures and masks under `folder` with the true track; the last view and a fifth of the frames held out."""
    head, angles = load_head(), np.linspace(-0.7, 0.7, views)
    params = talk(head, frames)
    cameras = [
        look_at([0.8 * np.sin(a), 0.05, 0.8 * np.cos(a)], [0, -0.03, -0.04], 0.45, size, size, name=f"c{i}")
        for i, a in enumerate(angles)
    ]
    viewmats, Ks = stack_cameras(cameras)
    waves = torch.tensor([[130.0, 40.0, 75.0], [170.0, 310.0, 90.0], [150.0, 60.0, 280.0]])
    paint = 0.55 + 0.2 * torch.sin(head.template @ waves)
    paint[head.regions["scalp"]] = torch.tensor([0.2, 0.15, 0.1])
    masks = np.zeros((2, views, frames, size, size), np.uint8)
    below = torch.tensor([head.region_names.index(name) for name in ("shoulders", "boundary")])
    for frame, vertices in enumerate(head.vertices(params)):
        seen = rasterize_mesh(vertices, head.faces, viewmats, Ks, size, size)
        images = torch.where(seen.covered[..., None], interpolate(seen, paint), BACKDROP)
        clothing = torch.isin(head.face_regions[seen.face_index.clamp_min(0)].long(), below)
        masks[:, :, frame] = 255 * torch.stack([seen.covered, seen.covered & ~clothing]).numpy()
        for view in range(views):
            write_png(folder / f"c{view}" / f"{frame:06d}.png", images[view].numpy())
    held_out = HeldOut((views // 2,), tuple(range(frames - frames // 5, frames)))
    return Track(
        head.name, head.version, head.checksum, params, cameras, [folder / f"c{v}" for v in range(views)],
        np.arange(frames), 25.0, masks[0], masks[1], held_out=held_out,
    )  # fmt: skip
