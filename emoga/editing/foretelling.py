"""What the words of an edit lead one to expect of each Gaussian, and how far pictures are believed beyond that.

An editor that repaints what it was not asked to change errs as much where it was asked to. What it did where the words
name nothing is therefore measured, colour by colour, and elsewhere

    change = s p + V (V + C)⁻¹ (a - s p)

p: what the parametric method would do; s: how strongly the pictures do it, by part of the head; a: what they agree on;
C: covariance of the editor's errors; V: what may well differ from s p. Without a plan, or where the parametric method
has no formula, change = a. How the head's rest moves is believed alike, vertex by vertex.
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
STILL = 0.7e-3  # metres of an expected move up to which a vertex tells the editor's errors
USUAL_SHIFT = 1e-3  # metres: an editor's errors, where too few vertices should stay
ENOUGH_STILL = 200.0  # vertices
INNER = ("eyeballs", "irises", "lashes", "teeth", "tongue", "mouth_interior", "shoulders", "boundary")


@dataclass(frozen=True, eq=False)
class Foretold:
    """change [N,3] sRGB of the Gaussians; parts [K,N] in 0..1, within each of which the strength is one; move [V,3]
    metres of the head's rest, None where the words change no shape; skin [V] bool: vertices that pictures show."""

    change: np.ndarray
    parts: np.ndarray
    move: torch.Tensor | None
    skin: torch.Tensor


def foretell(avatar: Avatar, plan: EditPlan | None) -> Foretold | None:
    """What a plan leads one to expect, None when formulas do not cover all of it: then anything may change."""
    if plan is None or not plan.operations or not all(map(_formula, plan.operations)):
        return None
    after = carry_out(avatar, plan).avatar
    sh = after.gaussians.sh[: len(avatar.gaussians), 0]
    change = (SH_C0 * (sh - avatar.gaussians.sh[:, 0]).detach()).double().numpy()
    subject = make_subject(avatar)
    parts = np.stack([part_mask(subject, name) for name in PARTS])
    rest = np.clip(1 - parts.sum(0), 0, 1)
    steps = [part for step in plan.operations for part in (step, *parts_of(step))]
    moves = any((step.target, step.attribute) in SHAPES for step in steps)
    regions = subject.head.regions
    inner = torch.stack([regions[name] for name in INNER if name in regions]).any(0)
    move = _moved(avatar, after) if moves else None
    return Foretold(change, np.concatenate([parts, rest[None]]), move, ~inner)


def _moved(before: Avatar, after: Avatar) -> torch.Tensor:
    """[V,3] metres between the rests of two avatars of one shape."""
    moved = after.static_offset.detach().float()
    return moved if before.static_offset is None else moved - before.static_offset.detach().float()


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


def believed_move(found: torch.Tensor, foretold: Foretold | None) -> torch.Tensor:
    """How the rest moves [V,3], of what pictures say."""
    if foretold is None or foretold.move is None:
        return found
    expected, skin = foretold.move, foretold.skin.float()
    played = (skin[:, None] * expected * found).sum() / (skin[:, None] * expected**2).sum().clamp_min(1e-12)
    guess = float(played.clamp(0, MOST)) * expected
    size = expected.norm(dim=-1)
    still = skin * torch.exp(-((size / STILL) ** 2))
    errors = torch.tensor(USUAL_SHIFT**2)
    if still.sum() > ENOUGH_STILL:
        errors = (still * (found**2).sum(-1)).sum() / still.sum()
    spread = (DEVIATION * size) ** 2
    return guess + (spread / (spread + errors).clamp_min(1e-12))[:, None] * (found - guess)


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
