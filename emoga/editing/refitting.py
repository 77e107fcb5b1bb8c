"""refit: an avatar that shows, in any pose, what edited pictures of it agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.editing.contributors import mask_at
from emoga.editing.edited_pictures import EditedPictures
from emoga.editing.fitting_gaussians import FitSettings, fit_colors, fit_contributors
from emoga.editing.foretelling import NAMED, Foretold, believed, believed_move, foretell, recolored
from emoga.editing.refit_scene import Scene
from emoga.editing.refit_targets import agreement, targets
from emoga.editing.reshaping import ROUNDS, MoveBasis, find_move
from emoga.editing.shading import shading_change
from emoga.errors import InputError
from emoga.guidance import EditPlan
from emoga.head import HeadParams
from emoga.kernels import torch_on_one_thread
from emoga.optimize.agreement import Agreement
from emoga.progress import Reporter, Stage, Step, silent

RefitMethod = Literal["edit3dgs", "dynamicavatars"]
METHODS: tuple[RefitMethod, ...] = ("edit3dgs", "dynamicavatars")


@dataclass(frozen=True)
class RefitOptions:
    """How edited pictures are learnt from.

    plan: of the words that were edited by, for what they do not name stays; None believes the pictures in all.
    geometry, colors: what the edit may change; None: what the plan says. move_steps: at every level of detail;
    iterations: steps of fitting colours to pictures at the end; 0: none. rate: of their SH.
    """

    method: RefitMethod = "edit3dgs"
    plan: EditPlan | None = None
    geometry: bool | None = None
    colors: bool = True
    move_steps: int = 60
    iterations: int = 60
    rate: float = 0.001
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
    moves = (
        options.geometry if options.geometry is not None else foretold is None or foretold.move is not None
    )
    basis = MoveBasis.of(scene.puppet.head, foretold.move if moves and foretold else None)
    coefficients = torch.zeros(len(basis.columns))
    report(Stage("what the edits agree on", 1 + moves * len(ROUNDS)))
    seen, agreed = agreement(scene, basis.move(coefficients))
    for number, levels in enumerate(ROUNDS if moves else ()):
        # Whatever hue the edits have must not be explained by motion, nor motion by colours.
        shown = recolored(avatar, _by_region(avatar, agreed)).gaussians
        coefficients = find_move(
            scene, shown, basis, coefficients, agreed.trust, options.move_steps, levels, options.seed
        )
        seen, agreed = agreement(scene, basis.move(coefficients))
        report(Step(number + 1))
    if moves and foretold is not None:
        basis = basis.about(believed_move(basis.move(coefficients), foretold))
        coefficients = torch.zeros_like(coefficients)
        seen, agreed = agreement(scene, basis.move(coefficients))
    if not options.colors:
        return scene.moved(basis.move(coefficients))
    shade = np.zeros_like(agreed.agreed)
    if moves and foretold is not None:
        shade = shading_change(avatar, scene.moved(basis.move(coefficients)))
    change = shade + believed(replace(agreed, agreed=agreed.agreed - shade), foretold)
    own = recolored(avatar, change).gaussians
    settings = FitSettings(options.iterations, options.rate, options.seed, moves)
    wanted = targets(scene, own, basis.move(coefficients), seen, agreed, change)
    report(Stage("fit", options.iterations))
    if options.method == "edit3dgs":
        own = fit_colors(scene, own, basis.move(coefficients), wanted, settings, report)
    else:
        regions = _regions(scene, foretold)
        own, coefficients = fit_contributors(
            scene, own, basis, coefficients, wanted, regions, settings, report
        )
    return (scene.moved(basis.move(coefficients)) if moves else avatar).with_gaussians(own)


def _by_region(avatar: Avatar, agreed: Agreement) -> np.ndarray:
    """What the pictures agree on, averaged over each region of the head: change [N,3]."""
    labels = avatar.gaussians.labels.cpu().numpy()
    weight = np.bincount(labels, agreed.evidence)
    sums = np.stack([np.bincount(labels, agreed.evidence * column) for column in agreed.agreed.T], -1)
    return (sums / np.maximum(weight, 1e-6)[:, None])[labels].astype(np.float32)


def _regions(scene: Scene, foretold: Foretold | None) -> np.ndarray:
    """Where the edit acts [P,H,W] in 0..1: where editors might, and there where what the words name shows."""
    if foretold is None or foretold.move is not None:
        return scene.edited.masks
    named = (np.linalg.norm(foretold.change, axis=1) > NAMED).astype(np.float32)
    return np.stack([scene.edited.masks[p] * mask_at(scene, named, p) for p in range(len(scene))])
