"""Clothing at the foot of the neck: which Gaussians turned into it, and what colour the skin beneath has."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.rig import to_world
from emoga.fitting.shown import PosedPictures
from emoga.head import Head

FOOT = ("neck", "shoulders", "boundary")
LEAST_SHARE = 0.5  # of its sightings within the pictures that must lie in the head mask
MARGIN = 0.012  # of the picture's height around the mask: what stands at the edge reaches into it
BARE, COVERED = 0.9, 0.5  # of what a Gaussian shows: skin from the one on, clothing up to the other
LEAST_SHOWN = 1.0  # pixels, in all pictures together, below which nobody knows
NEIGHBOURS = 8


@torch.no_grad()
def outside_head(gaussians: Gaussians, head: Head, pictures: PosedPictures) -> torch.Tensor:
    """bool [N]: Gaussians of neck and shoulders that the pictures show beside the head mask.

    Shoulders that no picture holds count as outside as well. Without head masks nothing does.
    """
    labels = gaussians.labels.long()
    foot = torch.isin(labels, torch.tensor([head.region_names.index(name) for name in FOOT]))
    track = pictures.track
    if track.head_masks is None:
        return torch.zeros_like(foot)
    held, inside = np.zeros((2, len(gaussians)))
    for view, frame, frames in pictures.frames():
        camera = track.cameras[view]
        pixels, _ = camera.project(to_world(gaussians, frames).means.double().numpy())
        column, line = np.floor(pixels).astype(int).T
        rows = np.flatnonzero((column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height))
        held[rows] += 1
        reach = round(MARGIN * camera.height)
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        inside[rows] += cv2.dilate(track.head_masks[view, frame], brush)[line[rows], column[rows]] > 127
    seen = torch.from_numpy(held > 0)
    outside = torch.from_numpy(inside < LEAST_SHARE * held)
    return foot & torch.where(seen, outside, labels != head.region_names.index("neck"))


def bare_share(gaussians: Gaussians, pictures: PosedPictures) -> tuple[torch.Tensor, torch.Tensor]:
    """Share [N] of what each Gaussian shows in the pictures that lies in the head masks, and how many
    pixels [N] it shows, by blending weights.
    """

    def all_and_head(view: int, frame: int) -> torch.Tensor:
        mask = torch.from_numpy(pictures.track.head_masks[view, frame].astype(np.float32) / 255)
        return torch.stack([torch.ones_like(mask), mask], -1)

    shown, inside = pictures.shown_pixels(gaussians, all_and_head).T
    return inside / shown.clamp_min(1e-6), shown


@torch.no_grad()
def skin_beneath(
    gaussians: Gaussians, head: Head, places: torch.Tensor, share: torch.Tensor, shown: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which Gaussians show clothing, rows [K], and the colour of the skin nearest to each of them [K,3], as SH of
    degree 0.

    places [N,3]: where they are; share, shown [N]: see `bare_share`.
    """
    labels, seen = gaussians.labels.long(), shown > LEAST_SHOWN
    foot = torch.isin(labels, torch.tensor([head.region_names.index(name) for name in FOOT]))
    skin = torch.nonzero((labels == head.region_names.index("neck")) & seen & (share > BARE))[:, 0]
    rows = torch.nonzero(foot & seen & (share < COVERED))[:, 0]
    if len(skin) < NEIGHBOURS:
        return rows[:0], gaussians.sh[:0, 0]
    nearest = torch.cdist(places[rows], places[skin]).topk(NEIGHBOURS, largest=False).indices
    return rows, gaussians.sh[skin[nearest], 0].mean(1)
