"""The parametric method: a plan carried out by formulas, in seconds, without any weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.rig import avatar_head
from emoga.editing.abilities import MADE_THINGS, can, nearest, parts_of
from emoga.editing.history import DRAWN, Worn, take_off, worn_things
from emoga.editing.light import SH_C0, repainted, to_linear
from emoga.editing.masks import part_mask
from emoga.editing.materials import material_paint
from emoga.editing.painting import PAINTED_AWAY, PAINTED_THINGS, PAINTS, Paint
from emoga.editing.shapes import SHAPES, reshaped, vertex_mask
from emoga.editing.subject import Subject, make_subject
from emoga.editing.surface import joined
from emoga.editing.tattoos import tattoo
from emoga.errors import InputError
from emoga.guidance import EditPlan, Operation
from emoga.guidance.edit_names import HOME
from emoga.guidance.edit_plan import PARTS
from emoga.head import Head
from emoga.progress import Reporter, silent, tracked

# Regions of the head's mesh that hold a part which must stay.
MESH_PARTS: dict[str, tuple[str, ...]] = {
    "hair": ("scalp",), "skin": ("face", "cheeks", "nose", "forehead", "jaw", "ears", "neck"),
    "face": ("face", "cheeks", "nose", "forehead", "jaw"), "brows": ("brows",), "cheekbones": ("cheeks",),
    "eyes": ("eyelids", "eyeballs", "irises", "lashes"), "lips": ("lips",), "mouth": ("lips", "mouth_interior"),
    "chin": ("jaw",), "temples": ("scalp",),
}  # fmt: skip
KEEP_FADE = 12.0
THINGS_STAGE = 3
OTHER_SIDE = {"left": "right", "right": "left"}


@dataclass
class Outcome:
    """An edited avatar, and what became of the plan: done in words, refused with the reason.

    missed: operations that turned out to be impossible on this avatar.
    """

    avatar: Avatar
    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    missed: list[Operation] = field(default_factory=list)
    things: list[Worn] = field(default_factory=list)
    seed: int = 0


@dataclass(frozen=True)
class Limits:
    """Where an edit may act: nowhere on `keep`, and when `region` is given only there."""

    keep: tuple[str, ...] = ()
    region: tuple[str, ...] = ()

    def weight(self, subject: Subject) -> np.ndarray:
        """[N] in 0..1 for Gaussians."""
        inside = np.ones(len(subject.points))
        if self.region:
            inside = np.max([part_mask(subject, part) for part in self.region], axis=0)
        for part in self.keep:
            inside = inside * (1 - part_mask(subject, part))
        return inside

    def kept_vertices(self, head: Head) -> np.ndarray | None:
        """[V] in 0..1, or None: vertices that must stay."""
        kept = np.zeros(len(head.template))
        for part in self.keep:
            kept = np.maximum(kept, vertex_mask(head, regions_of(part), KEEP_FADE))
        if self.region:
            kept = np.maximum(
                kept, 1 - np.max([vertex_mask(head, regions_of(p), KEEP_FADE) for p in self.region], 0)
            )
        return kept if kept.any() else None


def regions_of(part: str) -> tuple[str, ...]:
    """The regions of the head's mesh that hold a part."""
    return MESH_PARTS.get(part, (part,))


def carry_out(
    avatar: Avatar,
    plan: EditPlan,
    strength: float = 1.0,
    region: tuple[str, ...] = (),
    picture: np.ndarray | None = None,
    seed: int = 0,
    report: Reporter = silent,
) -> Outcome:
    """Do what a plan asks. strength multiplies that of every operation; picture: [H,W,4] for tattoos.

    What cannot be done is in the outcome's `refused`; operations that can are done.
    """
    outcome = Outcome(avatar, things=worn_things(avatar), seed=seed)
    known = [step for step in plan.operations if can(step)]
    outcome.refused += [nearest(step) for step in plan.operations if not can(step)]
    limits = Limits(tuple(part for part in plan.keep if part != "person"), region)
    named = {(step.action, step.target, step.attribute) for step in known}
    steps = [(part, weight * strength) for step in known for part, weight in _expanded(step, named)]
    _check_labels(avatar)
    shape = [(s.target, s.attribute, _signed(s, amount), s.side) for s, amount in steps if _is_shape(s)]
    if shape:
        kept = limits.kept_vertices(avatar_head(avatar))
        outcome.avatar = reshaped(avatar, shape, kept)
    worn = {thing.target for thing in outcome.things}
    rest = sorted(
        ((_stage(step, worn), step, amount) for step, amount in steps if not _is_shape(step)),
        key=lambda row: row[0],
    )
    paints = [(step, amount) for stage, step, amount in rest if stage < THINGS_STAGE]
    if paints:
        outcome.avatar = _painted(outcome, paints, limits, report)
    things = [(step, amount) for stage, step, amount in rest if stage == THINGS_STAGE]
    for step, amount in tracked(things, "things", report) if things else ():
        _handle(outcome, step, amount, picture, limits)
    outcome.done = [step.words() for step in known if replace(step, strength=1.0) not in outcome.missed]
    return outcome


def _expanded(step: Operation, named: set[tuple[str, str, str]]) -> list[tuple[Operation, float]]:
    """The operation and those it implies, each with its strength; what the plan itself names is not implied."""
    implied = [part for part in parts_of(step) if (part.action, part.target, part.attribute) not in named]
    return [
        (replace(step, strength=1.0), step.strength),
        *((part, part.strength * step.strength) for part in implied),
    ]


def _is_shape(step: Operation) -> bool:
    return step.action == "change" and (step.target, step.attribute) in SHAPES


def _signed(step: Operation, amount: float) -> float:
    return -amount if step.direction == "less" else amount


def _stage(step: Operation, worn: set[str]) -> int:
    """Substances first, then paint on large parts, on small ones, then things; `worn` come off, not painted over."""
    if step.attribute == "material":
        return 0
    if step.action == "change":
        return 1 if step.target in ("skin", "hair") else 2
    if step.action == "remove":
        return 2 if step.target in PAINTED_AWAY and step.target not in worn else THINGS_STAGE
    return 2 if step.action == "add" and step.target in PAINTED_THINGS else THINGS_STAGE


def _painted(
    outcome: Outcome, steps: list[tuple[Operation, float]], limits: Limits, report: Reporter
) -> Avatar:
    """The avatar with the colours of its Gaussians changed, one operation after the other."""
    avatar = outcome.avatar
    subject = make_subject(avatar, outcome.seed)
    allowed = limits.weight(subject) * ~subject.things
    sh = avatar.gaussians.sh
    for step, amount in tracked(steps, "colours", report):
        base = to_linear(0.5 + SH_C0 * sh[:, 0].detach().double().numpy())
        paint = _paint(subject, base, step, amount)
        if paint is not None:
            sh = repainted(sh, paint.base, paint.weight * allowed, paint.solid)
    return avatar.with_gaussians(replace(avatar.gaussians, sh=sh))


def _paint(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint | None:
    if step.attribute == "material":
        return material_paint(subject, base, step.material, amount)
    if step.action == "add":
        return (
            PAINTED_THINGS[step.target](subject, base, step, amount)
            if step.target in PAINTED_THINGS
            else None
        )
    if step.action == "remove":
        return PAINTED_AWAY[step.target](subject, base, step, amount)
    painter = PAINTS.get((step.target, step.attribute))
    return painter(subject, base, step, _signed(step, amount)) if painter else None


def _handle(
    outcome: Outcome, step: Operation, amount: float, picture: np.ndarray | None, limits: Limits
) -> None:
    """Put a thing on, take one off, or move one."""
    if step.target not in MADE_THINGS:
        return
    if step.action == "add":
        _put_on(outcome, step, amount, picture, limits)
        return
    mine = [thing for thing in outcome.things if thing.target == step.target]
    if step.action == "remove" and step.side in OTHER_SIDE:
        mine = [thing for thing in mine if thing.side in (step.side, "", "both")]
    if not mine:
        outcome.missed.append(step)
        outcome.refused.append(
            f"{step.words()}: this avatar wears no {step.target} that emoga edit put on; "
            "what was filmed cannot be taken off"
        )
        return
    outcome.avatar, outcome.things = take_off(outcome.avatar, outcome.things, mine)
    if step.action == "move":
        for thing in mine:
            _put_on(outcome, _moved(Operation(**thing.operation), step), thing.amount, picture, limits)


def _moved(before: Operation, step: Operation) -> Operation:
    side = OTHER_SIDE.get(before.side or "left", "") if step.side == "other" else step.side or before.side
    return replace(before, side=side, position=step.position or before.position)


def _put_on(
    outcome: Outcome, step: Operation, amount: float, picture: np.ndarray | None, limits: Limits
) -> None:
    if amount <= 0:
        return
    places = {*HOME[step.target], *step.position}
    if limits.region and step.target not in DRAWN and not places & set(limits.region):
        outcome.missed.append(step)
        outcome.refused.append(f"{step.words()}: lies outside of --region {','.join(limits.region)}")
        return
    subject = make_subject(outcome.avatar, outcome.seed)
    if step.target == "tattoo":
        made = tattoo(subject, step, amount, picture)
    else:
        made = MADE_THINGS[step.target](subject, step, amount)
    begin = len(outcome.avatar.gaussians)
    grown = outcome.avatar.with_gaussians(joined([outcome.avatar.gaussians, made]))
    if step.target in DRAWN and (limits.keep or limits.region):
        inside = limits.weight(make_subject(grown)) > 0.5
        inside[:begin] = True
        grown = grown.with_gaussians(grown.gaussians.select(torch.from_numpy(inside)))
    count = len(grown.gaussians) - begin
    if count:
        outcome.avatar = grown
        outcome.things.append(Worn.of(step, begin, count, amount))


def _check_labels(avatar: Avatar) -> None:
    labels = avatar.gaussians.labels
    if int(labels.min()) == int(labels.max()):
        raise InputError(
            "the avatar's Gaussians carry no region labels, so nothing can be found on it; "
            "make it with emoga fit, or edit a file that was"
        )


def region_parts(text: str | None) -> tuple[str, ...]:
    """`lips,brows` as parts of the head. Raises InputError for a name that is none."""
    parts = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    for part in parts:
        if part not in PARTS:
            raise InputError(
                f"--region {text}: {part!r} is no part of the head; known are {', '.join(PARTS)}"
            )
    return parts
