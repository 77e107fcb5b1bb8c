"""What the words of an edit lead one to expect of each Gaussian, and how far pictures are believed beyond that.

An editor that repaints what it was not asked to change errs as much where it was asked to. What it did where the words
name nothing is therefore measured, colour by colour, and elsewhere

    change = s p + V (V + C)⁻¹ (a - s p)

p: what the parametric method would do; s: how strongly the pictures do it, by part of the head; a: what they agree on;
C: covariance of the editor's errors; V: what may well differ from s p. Without a plan, or where the parametric method
has no formula, change = a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.editing.abilities import can, parts_of
from emoga.editing.masks import part_mask
from emoga.editing.parametric import carry_out
from emoga.editing.shapes import SHAPES
from emoga.editing.subject import make_subject
from emoga.guidance import EditPlan, Operation
from emoga.optimize.agreement import Agreement
from emoga.render import SH_C0

PARTS = ("skin", "hair", "lips", "brows")
NAMED = 0.02  # sRGB 0..1 of an expected change below which a Gaussian counts as not named
DEVIATION = 0.6  # of what is expected, by which a true change may well differ from it
MARGIN = 1.5  # times the editor's errors, beyond which a difference from what was expected counts as true
USUAL_ERROR = 0.07  # sRGB 0..1: an editor's, where nothing shows it
ENOUGH = 300.0  # whole sightings of Gaussians that tell an editor's errors
GRAIN = 0.01  # sRGB 0..1: no colour is surer than this
MOST = 2.0  # times what is expected, at the most
WHOLE = 4.0  # sightings from which on a Gaussian counts no more


@dataclass(frozen=True, eq=False)
class Foretold:
    """change [N,3] sRGB of the Gaussians; parts [K,N] in 0..1, within each of which the strength is one; moves: whether
    the words may change shape."""

    change: np.ndarray
    parts: np.ndarray
    moves: bool


def foretell(avatar: Avatar, plan: EditPlan | None) -> Foretold | None:
    """What a plan leads one to expect, None when formulas do not cover all of it: then anything may change."""
    if plan is None or not plan.operations or not all(map(_formula, plan.operations)):
        return None
    after = carry_out(avatar, plan).avatar.gaussians.sh[: len(avatar.gaussians), 0]
    change = (SH_C0 * (after - avatar.gaussians.sh[:, 0]).detach()).double().numpy()
    subject = make_subject(avatar)
    parts = np.stack([part_mask(subject, name) for name in PARTS])
    rest = np.clip(1 - parts.sum(0), 0, 1)
    steps = [part for step in plan.operations for part in (step, *parts_of(step))]
    moves = any((step.target, step.attribute) in SHAPES for step in steps)
    return Foretold(change, np.concatenate([parts, rest[None]]), moves)


def _formula(step: Operation) -> bool:
    """Whether an operation changes what is there by a formula; things and materials are not foretold."""
    return step.action == "change" and step.attribute != "material" and can(step)


def believed(agreed: Agreement, foretold: Foretold | None) -> np.ndarray:
    """Change [N,3] of the Gaussians' colours."""
    if foretold is None:
        return agreed.agreed
    evidence = np.minimum(agreed.evidence, WHOLE) / WHOLE
    seen = np.minimum(agreed.evidence, 1.0)[:, None]
    expected, observed = foretold.change, agreed.agreed.astype(np.float64)
    errors = _errors(observed, evidence * (np.linalg.norm(expected, axis=1) < NAMED))
    inverse = np.linalg.inv(errors)
    change, total = np.zeros_like(observed), np.zeros(len(observed))
    for part in foretold.parts:
        weight = part * evidence
        size = np.einsum("n,ni,ij,nj->", weight, expected, inverse, expected)
        played = np.einsum("n,ni,ij,nj->", weight, expected, inverse, observed) / max(size, 1e-9)
        guess = float(np.clip(played, 0, MOST)) * expected
        spread = _spread(weight, expected, observed - guess, errors) * np.eye(3)
        share = np.linalg.solve(spread + errors, spread).T
        change += part[:, None] * (guess + seen * ((observed - guess) @ share.T))
        total += part
    return (change / np.maximum(total, 1e-6)[:, None]).astype(np.float32)


def _spread(weight: np.ndarray, expected: np.ndarray, left: np.ndarray, errors: np.ndarray) -> float:
    """Variance of a true change about the guess: by what was expected, and by what is left beyond usual errors."""
    total = max(3 * weight.sum(), 1e-6)
    expectation = (weight[:, None] * expected**2).sum() / total
    if expectation < NAMED**2:
        return DEVIATION**2 * expectation
    beyond = (weight[:, None] * left**2).sum() / total - MARGIN * np.trace(errors) / 3
    return max(DEVIATION**2 * expectation, beyond)


def _errors(observed: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Covariance [3,3] of what was changed though nothing named it; grey, of the usual size, where little tells."""
    if weight.sum() < ENOUGH:
        return np.full((3, 3), 0.9 * USUAL_ERROR**2) + np.eye(3) * (0.1 * USUAL_ERROR**2 + GRAIN**2)
    found = np.einsum("n,ni,nj->ij", weight, observed, observed) / weight.sum()
    return found + np.eye(3) * GRAIN**2


def recolored(avatar: Avatar, change: np.ndarray) -> Avatar:
    """The avatar with the constant colours of its Gaussians changed by [N,3] sRGB."""
    gaussians = avatar.gaussians.detach()
    sh = gaussians.sh.clone()
    sh[:, 0] += torch.from_numpy((change / SH_C0).astype(np.float32))
    gaussians.sh = sh
    return avatar.with_gaussians(gaussians)
