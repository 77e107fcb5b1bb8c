"""Of eyeballs, mouth and nostrils, what pictures hardly show takes its colours from what they show well.

A few pixels between lips or lids are all that many Gaussians of teeth, tongue or eyeballs are ever fitted to. They soak
up whatever is left over there, and wear it openly once an emotion opens the mouth or the eyes further. So do the walls
of nostrils, brighter than any skin, once a smile draws them out; but pictures do have colours where these show.
"""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.fitting.shown import PosedPictures
from emoga.head import Head
from emoga.optimize.sightings import told_by_seen
from emoga.render.sh import SH_C0

GLIMPSED = ("mouth_interior", "teeth", "tongue", "eyeballs")  # irises are seen, and few of them are alike
ENOUGH = 3.5e-6  # of all pixels looked at: a Gaussian that shows this much is believed half
WALLED = "nose"
FAINT = 0.01 * ENOUGH  # so little that pictures do not say either what is there
FEWEST = 8  # of a region, known well: with fewer nothing is said about the others


def shown_share(gaussians: Gaussians, pictures: PosedPictures) -> np.ndarray:
    """Share [N] of all pixels of the pictures that each Gaussian shows in, by blending weights."""
    cameras = pictures.track.cameras

    def everywhere(view: int, frame: int) -> torch.Tensor:
        return torch.ones(cameras[view].height, cameras[view].width, 1)

    shown = pictures.shown_pixels(gaussians, everywhere)[:, 0]
    return (shown / sum(cameras[view].width * cameras[view].height for view, _ in pictures.pairs)).numpy()


def shown_colors(gaussians: Gaussians, pictures: PosedPictures) -> np.ndarray:
    """Colours [N,3] in 0..1 that the pictures have where each Gaussian shows, times its `shown_share`."""
    cameras, track = pictures.track.cameras, pictures.track
    shown = pictures.shown_pixels(gaussians, lambda view, frame: torch.from_numpy(track.image(view, frame)))
    return (shown / sum(cameras[view].width * cameras[view].height for view, _ in pictures.pairs)).numpy()


def believable_colors(gaussians: Gaussians, head: Head, share: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """Rows [K] of what lies behind lips and lids, and the sh [K,B,3] they should have; share [N]: see `shown_share`."""
    labels, binding = gaussians.labels.long().numpy(), gaussians.binding.numpy()
    rows, colors = [np.zeros(0, np.int64)], [gaussians.sh[:0]]
    for name in GLIMPSED:
        inside = np.flatnonzero((labels == head.region_names.index(name)) & (binding >= 0))
        known = inside[share[inside] > ENOUGH]
        if len(known) < FEWEST:
            continue
        sh = gaussians.sh[inside].numpy().copy()
        likely = told_by_seen(head, binding[inside], binding[known], gaussians.sh[known, 0].numpy())
        belief = (share[inside] / (share[inside] + ENOUGH))[:, None]
        sh[:, 0] = belief * sh[:, 0] + (1 - belief) * likely
        sh[:, 1:] *= belief[:, None]
        rows.append(inside)
        colors.append(torch.from_numpy(sh.astype(np.float32)))
    return np.concatenate(rows), torch.cat(colors)


def believable_walls(
    gaussians: Gaussians, head: Head, share: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, torch.Tensor]:
    """Rows [K] of the nose, and the sh [K,B,3] they should have; share [N], colors [N,3]: see `shown_colors`."""
    labels, binding = gaussians.labels.long().numpy(), gaussians.binding.numpy()
    inside = np.flatnonzero((labels == head.region_names.index(WALLED)) & (binding >= 0))
    known = inside[share[inside] > ENOUGH]
    if len(known) < FEWEST:
        return inside[:0], gaussians.sh[:0]
    around = told_by_seen(head, binding[inside], binding[known], colors[known] / share[known, None])
    shown = share[inside, None]
    likely = (colors[inside] + FAINT * around) / (shown + FAINT)
    belief = (shown / (shown + ENOUGH))[..., None]
    flat = np.zeros(gaussians.sh[inside].shape)
    flat[:, 0] = (likely - 0.5) / SH_C0
    sh = belief * gaussians.sh[inside].numpy() + (1 - belief) * flat
    return inside, torch.from_numpy(sh.astype(np.float32))
