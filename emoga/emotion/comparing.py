"""What was learnt beside simply driving the head's preset: `warp` contains that preset, others may not beat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.emotions import emotion_mixtures, parse_emotion
from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.masks import head_mask
from emoga.emotion.naming import NamedEmotion
from emoga.optimize.backdrop import backdrops
from emoga.optimize.metrics import binary_mask, masked_psnr

PICTURES = 8


@dataclass(frozen=True)
class PresetComparison:
    """The result beside the input avatar driven by the preset, over some of the edited pictures, in the head mask.

    preset: what was driven, "preset" or "words" (the units that the words were read as). Millimetres are means
    over the face's vertices: how far the preset and the result move it from neutral and how far apart they end.
    picture_difference: mean absolute difference of 8-bit values. psnr_result, psnr_preset: against the edits, dB.
    """

    preset: str
    preset_mm: float
    result_mm: float
    apart_mm: float
    picture_difference: float
    psnr_result: float
    psnr_preset: float


def compare_with_preset(
    result: Avatar, before: Actor, track: Track, emotion: NamedEmotion, edits: EmotionEdits
) -> PresetComparison:
    """Compare the learnt emotion of `result` with `before`, the input avatar, driven by the preset of that name."""
    after = Actor(result, track)
    preset = emotion.offset if emotion.preset is None else emotion.preset
    learnt = result.emotions[emotion.name].offset.detach().cpu()
    driven, shown = before.acted(preset), after.acted(learnt)
    mixture = mixture_of(result, emotion.name)
    colors = backdrops(track)[0]
    chosen = np.unique(np.linspace(0, len(edits) - 1, PICTURES).round().astype(int))
    differences, with_result, with_preset = [], [], []
    for index in chosen:
        view, frame = edits.pairs[index]
        camera, mask = track.cameras[view], binary_mask(head_mask(track, view, frame))
        own = after.renderer.picture(shown, frame, camera, colors[view], mixture)
        other = before.renderer.picture(driven, frame, camera, colors[view])
        differences.append(np.abs(own.astype(np.int16) - other)[mask].mean())
        with_result.append(masked_psnr(own, edits.edited[index], mask))
        with_preset.append(masked_psnr(other, edits.edited[index], mask))
    moved = _moved(before, result.neutral.detach().cpu(), [preset, learnt])
    return PresetComparison(
        preset="words" if emotion.preset is None else "preset",
        preset_mm=_mean_mm(moved[0]),
        result_mm=_mean_mm(moved[1]),
        apart_mm=_mean_mm(moved[1] - moved[0]),
        picture_difference=float(np.mean(differences)),
        psnr_result=float(np.mean(with_result)),
        psnr_preset=float(np.mean(with_preset)),
    )


def mixture_of(avatar: Avatar, emotion: str) -> torch.Tensor | None:
    """Weights over the rows of the avatar's colour network at the emotion's full intensity."""
    if avatar.appearance is None:
        return None
    return emotion_mixtures(avatar, parse_emotion(emotion), torch.zeros(1, dtype=torch.float64))[0]


@torch.no_grad()
def _moved(actor: Actor, neutral: torch.Tensor, offsets: Sequence[torch.Tensor]) -> torch.Tensor:
    """Metres [K,F,3] by which offsets move the face's vertices from neutral."""
    identity, face = actor.renderer.puppet.identity, actor.head.regions["face"]
    expr = torch.stack([neutral, *((neutral + offset).clamp(0, 1) for offset in offsets)])
    posed = identity.pose(expr)[:, face]
    return posed[1:] - posed[:1]


def _mean_mm(moved: torch.Tensor) -> float:
    return float(1000 * moved.norm(dim=-1).mean())
