"""What pictures show of every Gaussian: the mean of their pixels by blending weight, splatting run backwards."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.optimize.carry import Carried
from emoga.render.contributions import gaussian_contributions


def lift_onto(splats: Carried, camera: Camera, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values [N,D] of a picture [H,W,D] on N carried Gaussians, and how many pixels of it each made up [N].

    Values of Gaussians that are not seen are zero.
    """
    viewmats, Ks = stack_cameras([camera])
    ones = np.ones((*planes.shape[:2], 1), np.float32)
    stack = np.concatenate([ones, planes.astype(np.float32)], -1)
    sums = [
        gaussian_contributions(
            splats.means, splats.quats, splats.scales, splats.opacities, viewmats, Ks, camera.width, camera.height,
            weights=torch.from_numpy(np.ascontiguousarray(stack[None, ..., at : at + 3])),
        )[0]
        for at in range(0, stack.shape[-1], 3)
    ]  # fmt: skip
    total = torch.cat(sums, -1).numpy()
    weight = total[:, 0]
    return total[:, 1:] / np.maximum(weight, 1e-6)[:, None], weight
