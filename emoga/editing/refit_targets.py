"""What edited pictures show of every Gaussian, and the pictures made fit to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.camera import stack_cameras
from emoga.editing.refit_scene import Scene
from emoga.optimize.agreement import Agreement, Sightings, agree
from emoga.optimize.splat_lifting import lift_onto
from emoga.render import rasterize

WELL_SEEN = 0.5  # of the pixels a Gaussian has where it is seen best, from which on it counts as seen wholly
LEAST = 0.05  # pixels below which a Gaussian counts as not seen


@torch.no_grad()
def _lifted(
    scene: Scene, p: int, move: torch.Tensor | None, pictures: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Colours [N,3] of the Gaussians in pictures [H,W,3], what lies behind the avatar taken out, and pixels [N]."""
    own = scene.puppet.gaussians
    alpha = scene.draw(own, p, move).alpha[0].numpy()
    behind = (1 - alpha) * scene.backdrops[p]
    planes = np.concatenate([alpha, *(picture - behind for picture in pictures)], -1)
    values, weight = lift_onto(scene.carried(own, p, move), scene.camera(p), planes)
    # Of a pixel that the avatar fills in part, it explains that part alone.
    colors = values[:, 1:] / np.maximum(values[:, :1], 1e-3)
    return list(colors.reshape(len(colors), -1, 3).swapaxes(0, 1).astype(np.float32)), weight * values[:, 0]


@torch.no_grad()
def sightings(scene: Scene, move: torch.Tensor) -> Sightings:
    """What the edits change on every Gaussian, read where it lies with and without a move of the rest."""
    values, base, places, shares = [], [], [], []
    own = scene.puppet.gaussians
    height, width = scene.edited.edited.shape[1:3]
    still = not bool(move.any())
    for p in range(len(scene)):
        before = scene.carried(own, p)
        pictures = [scene.edited.originals[p], *([scene.edited.edited[p]] if still else [])]
        found, weight = _lifted(scene, p, None, pictures)
        old = found[0]
        if still:
            new = found[1]
        else:
            (new,), moved_weight = _lifted(scene, p, move, [scene.edited.edited[p]])
            weight = np.minimum(weight, moved_weight)
        pixels, _ = scene.camera(p).project(before.means.double().numpy())
        values.append(new - old)
        base.append(old)
        places.append((pixels / [width, height] - 0.5).astype(np.float32))
        shares.append(weight)
    share = np.stack(shares)
    share = np.clip(share / np.maximum(WELL_SEEN * share.max(0), LEAST), 0, 1) * (share > LEAST)
    return Sightings(np.stack(values), np.stack(base), np.stack(places), share.astype(np.float32))


def agreement(scene: Scene, move: torch.Tensor) -> tuple[Sightings, Agreement]:
    """What is seen, and what of it the pictures agree on."""
    seen = sightings(scene, move)
    return seen, agree(seen)


@dataclass(frozen=True, eq=False)
class Targets:
    """pictures float32 [P,H,W,3] to be matched, weights float32 [P,H,W] of how far each pixel is believed."""

    pictures: np.ndarray
    weights: np.ndarray


@torch.no_grad()
def targets(
    scene: Scene, gaussians: Gaussians, move: torch.Tensor, seen: Sightings, agreed: Agreement, change: np.ndarray
) -> Targets:  # fmt: skip
    """The edits with what they change on the Gaussians brought to `change` [N,3]; their own edges and detail stay.

    gaussians: the moved avatar's, in whatever colours.
    """
    pictures, weights = np.empty_like(scene.edited.edited), np.empty_like(scene.edited.masks)
    for p in range(len(scene)):
        belief = np.where(seen.shares[p] > 0, agreed.weights[p] / np.maximum(seen.shares[p], 1e-6), 0)
        surplus = _drawn(scene, gaussians, p, move, seen.values[p] - change)
        trust = _drawn(scene, gaussians, p, move, np.repeat(belief[:, None], 3, 1))[..., 0]
        pictures[p] = np.clip(scene.edited.edited[p] - surplus, 0, 1)
        weights[p] = trust * scene.edited.masks[p]
    return Targets(pictures, weights)


def _drawn(scene: Scene, gaussians: Gaussians, p: int, move: torch.Tensor, values: np.ndarray) -> np.ndarray:
    """Values [N,3] of the Gaussians as picture p shows them, [H,W,3], over zero."""
    camera = scene.camera(p)
    splats = scene.carried(gaussians, p, move)
    colors = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, colors, *stack_cameras([camera]), camera.width,
        camera.height,
    ).image[0].numpy()  # fmt: skip
