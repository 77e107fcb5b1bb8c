"""Which Gaussians at the foot of the neck turned into clothing, and do not belong to the head."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.capture import Track
from emoga.head import Head, HeadParams, Identity

FOOT = ("neck", "shoulders", "boundary")
LEAST_SHARE = 0.5  # of its sightings within the pictures that must lie in the head mask
MARGIN = 0.012  # of the picture's height around the mask: what stands at the edge reaches into it


@torch.no_grad()
def outside_head(
    gaussians: Gaussians,
    head: Head,
    identity: Identity,
    rig: Rig,
    params: HeadParams,
    track: Track,
    pairs: list[tuple[int, int]],
) -> torch.Tensor:
    """bool [N]: Gaussians of neck and shoulders that the pictures (view, frame) show beside the head mask.

    Shoulders that no picture holds count as outside as well. Without head masks nothing does.
    """
    labels = gaussians.labels.long()
    foot = torch.isin(labels, torch.tensor([head.region_names.index(name) for name in FOOT]))
    if track.head_masks is None:
        return torch.zeros_like(foot)
    held, inside = np.zeros((2, len(gaussians)))
    for view, frame in pairs:
        camera = track.cameras[view]
        _, frames = pose_frames(identity, rig, params, frame)
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
