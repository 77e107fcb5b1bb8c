"""Which Gaussians make up a region of pictures, over all times and poses, by blending weights (DynamicAvatars 4.2).

The paper's mapping net takes a mask at one time and pose to the mask at any other. The renderer says the same exactly:
a mask chooses Gaussians by how much of their blending weight falls into it, and these, drawn anywhere, are the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.editing.refit_scene import Scene
from emoga.optimize.splat_lifting import lift_onto
from emoga.render import rasterize


@torch.no_grad()
def contributions(
    scene: Scene, masks: np.ndarray, pictures: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Share [N] of each Gaussian's blending weight that lies in masks [P,H,W], over some pictures or all; and that
    weight [N] in pixels."""
    inside, total = np.zeros(len(scene.puppet.gaussians)), np.zeros(len(scene.puppet.gaussians))
    for p in range(len(scene)) if pictures is None else pictures:
        splats = scene.carried(scene.puppet.gaussians, p)
        share, weight = lift_onto(splats, scene.camera(p), masks[p][..., None])
        inside += share[:, 0] * weight
        total += weight
    return inside / np.maximum(total, 1e-9), total


@torch.no_grad()
def mask_at(scene: Scene, share: np.ndarray, p: int) -> np.ndarray:
    """Where Gaussians of shares [N] show in picture p: float32 [H,W] in 0..1."""
    splats, camera = scene.carried(scene.puppet.gaussians, p), scene.camera(p)
    colors = torch.from_numpy(np.repeat(share[:, None], 3, 1).astype(np.float32))
    return rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, colors, *stack_cameras([camera]), camera.width,
        camera.height,
    ).image[0, ..., 0].numpy()  # fmt: skip


def overlap(found: np.ndarray, parsed: np.ndarray) -> float:
    """Intersection over union of two masks bool [...]; one when both are empty."""
    union = (found | parsed).sum()
    return float((found & parsed).sum() / union) if union else 1.0
