"""Gaussians fitted to what edited pictures are believed to show, as either paper does it.

edit3dgs: 0.8 L1 + 0.2 D-SSIM, as avatars are fitted. dynamicavatars (eq. 17): the Gaussians that contribute to the
edited region, over all times and poses, by

    (λ1 L_rgb + λ2 L_gs + λ3 L_G) / (λ1 + λ2 + λ3)

L_rgb = λ L2 + (1 - λ) perceptual (eq. 11, λ 0.7 for edits); L_gs the squares of what positions, the translations of
their triangles and colours are off from where they began (eq. 13); L_G the adversary's verdict (eq. 15).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.editing.adversary import Adversary, corners, cut
from emoga.editing.contributors import contributions
from emoga.editing.refit_scene import Scene
from emoga.editing.refit_targets import Targets
from emoga.editing.reshaping import MoveBasis
from emoga.optimize.adam import AdamState, adam_step
from emoga.optimize.perceptual import Perceptual, draw_patches, load_perceptual
from emoga.optimize.splats import Splats
from emoga.optimize.ssim import dssim_l1_loss
from emoga.progress import Reporter, Step, silent
from emoga.render import SH_C0, Rendering

LAMBDA = 0.7  # of eq. 11 when editing
WEIGHTS = (1.0, 1.0, 0.002)  # λ1, λ2, λ3 of eq. 17
ANCHORS = {"positions": 0.05, "translations": 0.01, "colors": 2.0}  # λ_i of eq. 13
CONTRIBUTES = 0.02  # share of a Gaussian's blending weight in the edited region from which on it is trained
MEANS_RATE, MOVE_RATE = 0.002, 0.02  # local units, millimetres
REST_RATE = 0.1  # of the colours' rate, for SH beyond the constant term
REPORT_EVERY = 10


@dataclass(frozen=True)
class FitSettings:
    """iterations; rate of SH; seed of the order of pictures and of the adversary; moves: whether the rest may."""

    iterations: int
    rate: float
    seed: int
    moves: bool = True


def fit_colors(
    scene: Scene, gaussians: Gaussians, move: torch.Tensor, wanted: Targets, settings: FitSettings,
    report: Reporter = silent,
) -> Gaussians:  # fmt: skip
    """Edit3DGS: SH fitted to the targets, 0.8 L1 + 0.2 D-SSIM by their weights."""
    splats = Splats.start(gaussians, len(scene.puppet.head.faces), ("sh",))
    for step in range(settings.iterations):
        p = _picture(len(scene), step, settings.seed)
        rendering = scene.draw(splats.gaussians, p, move)
        target, weight = _target(wanted, p)
        loss = float(weight.mean()) * dssim_l1_loss(rendering.image, target, weight)
        loss.backward()
        _update_colors(splats, rendering, settings, step)
        if (step + 1) % REPORT_EVERY == 0:
            report(Step(step + 1, {"loss": float(loss.detach())}))
    return splats.gaussians.detach()


def fit_contributors(
    scene: Scene, gaussians: Gaussians, basis: MoveBasis, coefficients: torch.Tensor, wanted: Targets,
    regions: np.ndarray, settings: FitSettings, report: Reporter = silent,
) -> tuple[Gaussians, torch.Tensor]:  # fmt: skip
    """DynamicAvatars: Gaussians, and coefficients [C] of the rest's move, by eq. 17; regions [P,H,W] are edited."""
    share, _ = contributions(scene, regions)
    chosen = torch.from_numpy(share > CONTRIBUTES)
    splats = Splats.start(gaussians, len(scene.puppet.head.faces), ("means", "sh"))
    place, moving = coefficients.clone()[None], AdamState.zeros_like(coefficients[None])
    start = Gaussians(**{name: value.clone() for name, value in vars(gaussians.detach()).items()})
    adversary, perceptual = Adversary(settings.seed), load_perceptual()
    for step in range(settings.iterations):
        p = _picture(len(scene), step, settings.seed)
        generator = np.random.default_rng([settings.seed, 11, step])
        free = place[0].clone().requires_grad_(True)
        rendering = scene.draw(splats.gaussians, p, basis.move(free))
        loss = _edit_loss(scene, p, rendering, wanted, regions[p], adversary, perceptual, generator)
        anchor = _anchor(splats.gaussians, start, chosen, free - coefficients)
        loss = (loss + WEIGHTS[1] * anchor) / sum(WEIGHTS)
        loss.backward()
        _keep_others(splats.gaussians, chosen)
        fading = 1 - 0.9 * step / settings.iterations
        splats.update({"means": MEANS_RATE * fading}, rendering.statistics.visible[0])
        _update_colors(splats, rendering, settings, step)
        if settings.moves:
            adam_step(place, free.grad[None], moving, MOVE_RATE * fading)
        if (step + 1) % REPORT_EVERY == 0:
            report(Step(step + 1, {"loss": float(loss.detach())}))
    return splats.gaussians.detach(), place[0]


def _edit_loss(
    scene: Scene, p: int, rendering: Rendering, wanted: Targets, region: np.ndarray, adversary: Adversary,
    perceptual: Perceptual, generator: np.random.Generator,
) -> torch.Tensor:  # fmt: skip
    """λ1 L_rgb + λ3 L_G of one picture, and a step of the adversary."""
    target, weight = _target(wanted, p)
    image = rendering.image
    worth = weight[..., None]
    squares = (worth * (image - target) ** 2).sum() / (3 * worth.sum()).clamp_min(1.0)
    patches = draw_patches((weight > 0.3).numpy(), generator)
    rgb = LAMBDA * squares + (1 - LAMBDA) * perceptual(image, target, patches, weight)
    total = WEIGHTS[0] * float(weight.mean() / max(float(wanted.weights.mean()), 1e-6)) * rgb
    places = corners(region * weight[0].numpy() > 0.3, generator)
    if not places:
        return total
    with torch.no_grad():
        # Beside the head, edits show what editors do to walls: there the adversary must see no difference.
        real = worth * target + (1 - worth) * image
    original = torch.from_numpy(scene.edited.originals[p])
    cuts = [cut(part, places) for part in (real[0], image[0], original)]
    adversary.learn(*cuts)
    return total + WEIGHTS[2] * adversary.judge(cuts[1], cuts[2])


def _anchor(
    gaussians: Gaussians, start: Gaussians, chosen: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """Eq. 13 over the chosen Gaussians; shift [C] millimetres of the coefficients that carry their triangles."""
    count = chosen.sum().clamp_min(1)
    positions = ((gaussians.means - start.means)[chosen] ** 2).sum() / count
    colors = ((SH_C0 * (gaussians.sh - start.sh)[chosen]) ** 2).sum() / count
    translations = (shift**2).mean()
    return (
        ANCHORS["positions"] * positions + ANCHORS["translations"] * translations + ANCHORS["colors"] * colors
    )


def _keep_others(gaussians: Gaussians, chosen: torch.Tensor) -> None:
    """No gradient for what does not contribute to the region."""
    for value in (gaussians.means, gaussians.sh):
        value.grad[~chosen] = 0


def _update_colors(splats: Splats, rendering: Rendering, settings: FitSettings, step: int) -> None:
    rate = torch.full_like(splats.gaussians.sh[0].detach(), REST_RATE * settings.rate)
    rate[0] = settings.rate
    fading = 1 - 0.9 * step / settings.iterations
    splats.update({"sh": rate * fading}, rendering.statistics.visible[0])


def _target(wanted: Targets, p: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(wanted.pictures[p])[None], torch.from_numpy(wanted.weights[p])[None]


def _picture(count: int, step: int, seed: int) -> int:
    """Each picture once before any comes again."""
    turn, place = divmod(step, count)
    return int(np.random.default_rng([seed, 7, turn]).permutation(count)[place])
