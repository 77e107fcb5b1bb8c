"""Which Gaussians at the foot of the neck turned into clothing, and do not belong to the head."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.head import Head, HeadParams, Identity
from emoga.render import gaussian_contributions

FOOT = ("neck", "shoulders", "boundary")
LEAST_SHARE = 0.5  # of what a Gaussian shows that must lie in the head masks
LEAST_SHOWN = 0.1  # pixels, in all, below which nobody saw it
MARGIN = 0.004  # of the picture's height around the mask: tracks and masks err by as much


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
    """bool [N]: Gaussians of neck and shoulders that in the pictures (view, frame) show mostly beside the head mask.

    Shoulders that no picture shows count as outside as well. Without head masks nothing does.
    """
    labels = gaussians.labels.long()
    foot = torch.isin(labels, torch.tensor([head.region_names.index(name) for name in FOOT]))
    if track.head_masks is None:
        return torch.zeros_like(foot)
    shown, inside = torch.zeros(2, len(gaussians))
    for view, frame in pairs:
        camera = track.cameras[view]
        world = to_world(gaussians, pose_frames(identity, rig, params, frame)[1])
        both = gaussian_contributions(
            world.means, world.quats, world.scales, world.opacities, *stack_cameras([camera]), camera.width,
            camera.height, weights=_ones_and(_widened(track.head_masks[view, frame])),
        )[0]  # fmt: skip
        shown += both[:, 0]
        inside += both[:, 1]
    outside = inside < LEAST_SHARE * shown
    return foot & torch.where(shown > LEAST_SHOWN, outside, labels != head.region_names.index("neck"))


def _widened(mask: np.ndarray) -> np.ndarray:
    """A mask uint8 [H,W] with a margin, as 0..1."""
    reach = round(MARGIN * len(mask))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask, brush).astype(np.float32) / 255


def _ones_and(mask: np.ndarray) -> torch.Tensor:
    """[1,H,W,2]: one everywhere, and the mask [H,W]."""
    return torch.from_numpy(np.stack([np.ones_like(mask), mask], -1)[None])
