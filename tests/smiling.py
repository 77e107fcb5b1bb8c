"""A mannequin that talks before four cameras, and pictures of it with another mannequin's smile put on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from mannequin import make_mannequin

from emoga.avatar import Avatar
from emoga.camera import look_at
from emoga.capture import Track
from emoga.emotion.edits import EmotionEdits
from emoga.head import HeadParams, load_head
from emoga.motion import Motion
from emoga.optimize.picture import AvatarRenderer

SIZE, VIEWS, FRAMES = 96, 4, 3


def talking_person() -> tuple[Avatar, Track]:
    """An avatar that talks, and the track it talks in."""
    head = load_head("open")
    params = HeadParams.zeros(head, FRAMES)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0.05, 0.3, FRAMES)
    params.rotation[:, 1] = torch.linspace(-0.1, 0.1, FRAMES)
    avatar = make_mannequin(motion=Motion(head.name, head.version, head.checksum, params, 25.0))
    params.shape = avatar.shape
    cameras = [
        look_at([0.8 * np.sin(a), 0, 0.8 * np.cos(a)], [0, -0.03, -0.04], 0.35, SIZE, SIZE)
        for a in np.linspace(-0.6, 0.6, VIEWS)
    ]
    masks = np.full((VIEWS, FRAMES, SIZE, SIZE), 255, np.uint8)
    track = Track(
        head.name, head.version, head.checksum, params, cameras, [], np.arange(FRAMES), 25.0, masks, masks
    )  # fmt: skip
    track.picture = lambda view, frame: np.full((SIZE, SIZE, 3), 255, np.uint8)
    return avatar, track


def smile(strength: float = 1.0) -> torch.Tensor:
    """The preset of happy [E], some of it."""
    head = load_head("open")
    return strength * head.emotion("happy")


def edits_of(
    person: tuple[Avatar, Track], name: str = "happy", offset: torch.Tensor | None = None, tint: float = 0.0
) -> EmotionEdits:
    """Pictures without and with an offset, the latter with a tint of the cheeks."""
    avatar, track = person
    offset = smile() if offset is None else offset
    acted = replace(track.params, expr=(track.params.expr + offset).clamp(0, 1))
    pairs = [(view, frame) for view in range(VIEWS) for frame in range(FRAMES)]
    sh = avatar.gaussians.sh.clone()
    cheeks = avatar.gaussians.labels == load_head("open").region_names.index("cheeks")
    sh[cheeks, 0] += tint * torch.tensor([1.0, -0.5, -0.5])
    blushed = AvatarRenderer(avatar.with_gaussians(replace(avatar.gaussians, sh=sh)))
    plain = AvatarRenderer(avatar)
    captured = [plain.picture(track.params, f, track.cameras[v]) for v, f in pairs]
    edited = [blushed.picture(acted, f, track.cameras[v]) for v, f in pairs]
    views, frames = np.array(pairs).T
    masks = np.full((len(pairs), SIZE, SIZE), 255, np.uint8)
    return EmotionEdits(name, views, frames, np.stack(captured), np.stack(edited), masks)
