"""Emotions on top of a performance, for playback and for training alike: in range, blinks and shut lips kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.head import HeadParams, Identity
from emoga.motion.lips import Lips, bring_together, lips_of
from emoga.motion.speech import Speech, listen

BLINKS, WIDES = ("eyeBlinkLeft", "eyeBlinkRight"), ("eyeWideLeft", "eyeWideRight")


@dataclass(frozen=True)
class Performance:
    """What a person does in T frames without emotion: expr [T,E], jaw [T,3], speech; neutral [E] is his own."""

    lips: Lips
    neutral: torch.Tensor
    expr: torch.Tensor
    jaw: torch.Tensor
    speech: Speech

    def select(self, frames: torch.Tensor | slice | list[int]) -> Performance:
        """Some of the frames."""
        return replace(self, expr=self.expr[frames], jaw=self.jaw[frames], speech=self.speech.select(frames))


def own_performance(identity: Identity, neutral: torch.Tensor, params: HeadParams, fps: float) -> Performance:
    """The performance of a person's own motion, all frames of it: speech shows only in what lies around a frame."""
    lips = lips_of(identity)
    expr, jaw = params.expr.detach().to(identity.rest), params.jaw.detach().to(identity.rest)
    return Performance(lips, neutral.detach().to(expr), expr, jaw, listen(lips, expr, jaw, fps))


def express(performance: Performance, offset: torch.Tensor) -> torch.Tensor:
    """Expressions [T,E] of the performance under an emotion at full intensity, offset [E] or [T,E].

    Units stay within 0..1, widened eyes still close in a blink, and lips and teeth that words bring together stay
    so; the emotion may part them where nothing is said. An offset of zero gives performance.expr to the bit.
    Differentiable in the offset: a unit that has left 0..1 hears the gradients that call it back, and no others.
    """
    expr, head = performance.expr, performance.lips.corners.head
    if "jawOpen" not in head.expr_names:
        return expr + offset
    moved = _let_lids_close(performance, _within(performance, offset))
    return _keep_lips_shut(performance, _keep_teeth_near(performance, moved), offset.detach())


@torch.no_grad()
def let_through(performance: Performance, offset: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What shows [T] in 0..1 of a little more than an emotion does, offset [E] or [T,E]: parting lips, and teeth."""
    if "jawOpen" not in performance.lips.corners.head.expr_names:
        return torch.ones_like(performance.speech.lips.words), torch.ones_like(performance.speech.teeth.words)
    lips, teeth = performance.speech.lips, performance.speech.teeth
    moved = _within(performance, offset)
    bitten = _keep_teeth_near(performance, moved)
    of_lips = 1 - lips.words * (1 - lips.let_through(_opening(performance, bitten)))
    of_teeth = 1 - teeth.words * (1 - teeth.let_through(_opening_of_teeth(performance, moved)))
    return of_lips, of_lips * of_teeth


def mix(performance: Performance, offsets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Expressions [T,E] of the performance under K emotions, offsets [K,E], weighed in each frame by [T,K].

    With weights of sum 1 at most, each frame lies between the performance and it under each emotion, on straight
    lines: what is in range at both ends is so all along, and faces move one way. Frames without weight keep
    performance.expr to the bit.
    """
    start = _acting(performance, performance.expr)
    mixed = start
    for offset, weight in zip(offsets, weights.T, strict=True):
        frames = torch.nonzero(weight)[:, 0]
        if not len(frames):
            continue
        part = performance.select(frames)
        change = _acting(part, express(part, offset)) - start[frames]
        mixed = mixed.index_add(0, frames, weight[frames, None] * change)
    return torch.where((weights != 0).any(1, keepdim=True), mixed, performance.expr)


class _Within(torch.autograd.Function):
    """values clamped to [low, high]; at and beyond a border gradients pass if descent leads inwards."""

    @staticmethod
    def forward(ctx, values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values <= low, values >= high)
        return torch.minimum(torch.maximum(values, low), high)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        below, above = ctx.saved_tensors
        outwards = (below & (gradient > 0)) | (above & (gradient < 0))
        return gradient.masked_fill(outwards, 0), None, None


def _within(performance: Performance, offset: torch.Tensor) -> torch.Tensor:
    """Expressions [T,E] with an offset on top, units in 0..1 or where the performance had them."""
    expr = performance.expr
    return _Within.apply(expr + offset, expr.clamp_max(0), expr.clamp_min(1))


def _let_lids_close(performance: Performance, moved: torch.Tensor) -> torch.Tensor:
    """moved [T,E] with what the emotion widens the eyes by faded as lids close: a surprised face still blinks."""
    blinks, wides = _columns(performance, BLINKS), _columns(performance, WIDES)
    before, blink = performance.expr[:, wides], moved[:, blinks]
    shutting = (blink - performance.expr[:, blinks]).clamp_min(0)
    wide = before * (1 - shutting) + (moved[:, wides] - before) * (1 - blink)
    return moved.index_copy(1, wides, wide)


def _keep_teeth_near(performance: Performance, moved: torch.Tensor) -> torch.Tensor:
    """moved [T,E] with the jaw as near as words need it, which bring teeth together for other sounds than lips."""
    teeth, jaw = performance.speech.teeth, _columns(performance, ("jawOpen",))
    held = teeth.words * teeth.held(_opening_of_teeth(performance, moved))
    before = performance.expr[:, jaw]
    more = moved[:, jaw] - before
    return moved.index_copy(1, jaw, before + torch.where(more > 0, 1 - held[:, None], 1) * more)


def _keep_lips_shut(performance: Performance, moved: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """moved [T,E] with the lips as near as in the performance where they are shut there."""
    held = performance.speech.lips.held(_opening(performance, moved))
    frames = torch.nonzero(held > 0)[:, 0]
    if not len(frames):
        return moved
    part, lips = performance.select(frames), performance.lips
    with torch.no_grad():
        silent = (1 - part.speech.lips.words) * _opening_at_rest(performance, offset)[frames]
        limit = lips.gap(part.expr, part.jaw) + silent
    closed = bring_together(lips, moved[frames], part.jaw, limit, held[frames])
    return moved.index_copy(0, frames, closed)


@torch.no_grad()
def _opening(performance: Performance, moved: torch.Tensor) -> torch.Tensor:
    """How much further apart lips are in moved [T,E] than in the performance, [T] metres."""
    lips, jaw = performance.lips, performance.jaw
    return (lips.gap(moved, jaw) - lips.gap(performance.expr, jaw)).clamp_min(0)


@torch.no_grad()
def _opening_of_teeth(performance: Performance, moved: torch.Tensor) -> torch.Tensor:
    """How much further apart the jaw has teeth in moved [T,E] than in the performance, [T] metres."""
    lips = performance.lips
    return (lips.gap_of_jaw(moved) - lips.gap_of_jaw(performance.expr)).clamp_min(0)


@torch.no_grad()
def _opening_at_rest(performance: Performance, offset: torch.Tensor) -> torch.Tensor:
    """How far an emotion opens a face that is silent and at rest in each frame, [T] metres."""
    lips, rest = performance.lips, performance.neutral
    acted, neutral = ((rest + part).expand_as(performance.expr) for part in (offset, 0 * offset))
    wide = lips.gap(acted.clamp(0, 1), performance.jaw) - lips.gap(neutral, performance.jaw)
    return wide.clamp_min(0)


def _acting(performance: Performance, expr: torch.Tensor) -> torch.Tensor:
    """expr [T,E] of the same faces with mouthClose as it acts, no more than jawOpen, so that faces add up."""
    head = performance.lips.corners.head
    if "mouthClose" not in head.expr_names:
        return expr
    column = _columns(performance, ("mouthClose",))
    acting = torch.minimum(expr[:, column], expr[:, [head.unit("jawOpen")]].clamp_min(0))
    return expr.index_copy(1, column, acting)


def _columns(performance: Performance, names: tuple[str, ...]) -> torch.Tensor:
    head = performance.lips.corners.head
    return torch.tensor([head.unit(name) for name in names], device=performance.expr.device)
