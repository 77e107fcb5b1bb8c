"""refit: an avatar that shows, in any pose, what edited pictures of it agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.editing.edited_pictures import EditedPictures
from emoga.editing.foretelling import believed, foretell, recolored
from emoga.editing.refit_scene import Scene
from emoga.editing.reshaping import MoveBasis, find_move
from emoga.errors import InputError
from emoga.guidance import EditPlan
from emoga.head import HeadParams
from emoga.kernels import torch_on_one_thread
from emoga.optimize.agreement import Agreement, Sightings, agree
from emoga.optimize.splat_lifting import lift_onto
from emoga.optimize.splats import Splats
from emoga.optimize.ssim import dssim_l1_loss
from emoga.progress import Reporter, Stage, Step, silent

RefitMethod = Literal["edit3dgs", "dynamicavatars"]
METHODS: tuple[RefitMethod, ...] = ("edit3dgs", "dynamicavatars")
WELL_SEEN = 0.5  # of the pixels a Gaussian has where it is seen best, from which on it counts as seen wholly
LEAST = 0.05  # pixels below which a Gaussian counts as not seen
REPORT_EVERY = 10


@dataclass(frozen=True)
class RefitOptions:
    """How edited pictures are learnt from.

    plan: of the words that were edited by, for what they do not name stays; None believes the pictures in all.
    geometry, colors: what the edit may change; None: what the plan says. rounds: how often what the pictures agree on
    is worked out, moved by what was found before. iterations: steps of fitting colours to pictures at the end; 0:
    none. rate: of their SH.
    """

    method: RefitMethod = "edit3dgs"
    plan: EditPlan | None = None
    geometry: bool | None = None
    colors: bool = True
    rounds: int = 2
    move_steps: int = 40
    iterations: int = 200
    rate: float = 0.002
    seed: int = 0


@torch_on_one_thread()
def refit(
    avatar: Avatar,
    motion: HeadParams,
    edited: EditedPictures,
    method: RefitOptions | None = None,
    report: Reporter = silent,
) -> Avatar:
    """An avatar of which `edited` could be pictures, in what they agree on; what it is bound to stays the same.

    motion: parameters of the frames that `edited.frames` counts in. Raises InputError for pictures that do not fit
    together, or an unknown method.
    """
    options = method or RefitOptions()
    if options.method not in METHODS:
        raise InputError(f"unknown method {options.method!r}; known: {', '.join(METHODS)}")
    if not len(edited.frames):
        raise InputError("no edited pictures to learn from")
    scene = Scene(avatar, motion, edited)
    foretold = foretell(avatar, options.plan)
    moves = options.geometry if options.geometry is not None else foretold is None or foretold.moves
    move = torch.zeros_like(scene.puppet.identity.rest)
    report(Stage("what the edits agree on", 1 + moves * options.rounds))
    agreed = _agreed(scene, move)
    if moves:
        basis = MoveBasis.of(scene.puppet.head)
        coefficients = torch.zeros(len(basis.columns))
        for number in range(options.rounds):
            # Whatever hue the edits have, it must not be explained by motion.
            shown = recolored(avatar, agreed.agreed).gaussians
            coefficients = find_move(
                scene, shown, basis, coefficients, agreed.trust, options.move_steps, seed=options.seed
            )
            move = basis.move(coefficients)
            agreed = _agreed(scene, move)
            report(Step(number + 1))
    moved = scene.moved(move) if moves else avatar
    if not options.colors:
        return moved
    moved = recolored(moved, believed(agreed, foretold))
    return _fitted(scene, moved, move, agreed, options, report)


@torch.no_grad()
def _agreed(scene: Scene, move: torch.Tensor) -> Agreement:
    """What the edits change on every Gaussian, read where it lies with and without the move."""
    values, base, places, shares = [], [], [], []
    own = scene.puppet.gaussians
    height, width = scene.edited.edited.shape[1:3]
    for p in range(len(scene)):
        before, after = scene.carried(own, p), scene.carried(own, p, move)
        old, weight = lift_onto(before, scene.camera(p), scene.edited.originals[p])
        new, moved_weight = lift_onto(after, scene.camera(p), scene.edited.edited[p])
        pixels, _ = scene.camera(p).project(before.means.double().numpy())
        values.append((new - old).astype(np.float32))
        base.append(old.astype(np.float32))
        places.append((pixels / [width, height] - 0.5).astype(np.float32))
        shares.append(np.minimum(weight, moved_weight))
    shares = np.stack(shares)
    best = shares.max(0)
    shares = np.clip(shares / np.maximum(WELL_SEEN * best, LEAST), 0, 1) * (shares > LEAST)
    return agree(Sightings(np.stack(values), np.stack(base), np.stack(places), shares.astype(np.float32)))


def _fitted(
    scene: Scene, avatar: Avatar, move: torch.Tensor, agreed: Agreement, options: RefitOptions, report: Reporter
) -> Avatar:  # fmt: skip
    """The avatar with SH fitted to the edits, 0.8 L1 + 0.2 D-SSIM, each counting as much as it is trusted."""
    if not options.iterations:
        return avatar
    splats = Splats.start(avatar.gaussians, len(scene.puppet.head.faces), ("sh",))
    edited, count = scene.edited, len(scene)
    report(Stage("fit", options.iterations))
    for step in range(options.iterations):
        turn, place = divmod(step, count)
        p = int(np.random.default_rng([options.seed, 7, turn]).permutation(count)[place])
        rendering = scene.draw(splats.gaussians, p, move)
        with torch.no_grad():
            own = scene.draw(scene.puppet.gaussians, p).image[0]
        target = own + torch.from_numpy(edited.edited[p] - edited.originals[p])
        weight = torch.from_numpy(edited.masks[p].astype(np.float32))
        loss = float(agreed.trust[p]) * dssim_l1_loss(rendering.image, target[None], weight[None])
        loss.backward()
        rate = torch.full_like(splats.gaussians.sh[0].detach(), 0.1 * options.rate)
        rate[0] = options.rate
        splats.update({"sh": rate * (1 - 0.9 * step / options.iterations)}, rendering.statistics.visible[0])
        if (step + 1) % REPORT_EVERY == 0:
            report(Step(step + 1, {"loss": float(loss.detach())}))
    return avatar.with_gaussians(splats.gaussians.detach())
