"""From the words for an emotion to what editors need: its name, its expression, its looks and its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from emoga.errors import InputError
from emoga.guidance import NEGATIVE_PROMPT, EmotionPlan, plan_emotion, plan_emotion_by_model, prompt_of
from emoga.head import Head

# Blood that comes to the face (above 0) or leaves it, at an emotion's full weight.
FLUSH = {"happy": 0.15, "sad": 0.1, "angry": 0.45, "surprised": -0.05, "fear": -0.35, "disgust": -0.1}
# What `warp` can show of a plan's appearance; editors that read the prompt know the rest too.
SHOWN = {"flush": 1.0, "pallor": -1.0}


@dataclass(frozen=True)
class LanguageModel:
    """An endpoint that reads words in place of the built-in rules, such as http://localhost:8080/v1."""

    url: str
    name: str = "default"
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class NamedEmotion:
    """One emotion to be learnt.

    name: short, for files and --emotion; offset [E]: expression units at full strength; flush -1..1: blood that
    comes or leaves; preset: the head's preset of this very name, if there is one.
    """

    name: str
    text: str
    offset: torch.Tensor
    flush: float
    prompt: str
    negative_prompt: str
    preset: torch.Tensor | None = None
    not_understood: tuple[str, ...] = ()
    not_shown: tuple[str, ...] = ()


def name_emotions(
    texts: Sequence[str],
    head: Head,
    model: LanguageModel | None = None,
    prompts: dict[str, str] | None = None,
    negative_prompt: str | None = None,
) -> list[NamedEmotion]:
    """Understand what was asked for, by a language model where one is named, else by rules.

    prompts: by emotion's name, in place of the usual ones. Raises InputError for a text that means nothing,
    listing the known emotions, for two of one name, and for a prompt of no emotion.
    """
    if not texts:
        raise InputError(f"name an emotion to learn; known are: {', '.join(sorted(head.presets))}")
    found = [_named(_read(text, head, model), head, prompts or {}, negative_prompt) for text in texts]
    names = [emotion.name for emotion in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two emotions are named {name}; give one a label of its own: 'label: description'"
            )
    for name in prompts or {}:
        if name not in names:
            raise InputError(f"the prompt for {name!r} belongs to no emotion asked for: {', '.join(names)}")
    return found


def expression_of(plan: EmotionPlan, head: Head) -> torch.Tensor:
    """Unit weights [E], within the head's limits, of a plan: its emotions' presets, its own units on top."""
    offset = torch.zeros(len(head.expr_names))
    for emotion, weight in plan.emotions.items():
        offset += head.emotion(emotion, weight).cpu()
    for unit, weight in plan.units.items():
        index = head.unit(unit)
        offset[index] = max(float(offset[index]), weight)
    for unit in plan.without:
        offset[head.unit(unit)] = 0
    return offset.clamp(*head.expr_limits)


def _read(text: str, head: Head, model: LanguageModel | None) -> EmotionPlan:
    known = tuple(head.presets)
    if model is None:
        return plan_emotion(text, head.expr_names, known)
    return plan_emotion_by_model(text, head.expr_names, model.url, model.name, model.key, known)


def _named(
    plan: EmotionPlan, head: Head, prompts: dict[str, str], negative_prompt: str | None
) -> NamedEmotion:
    flush = sum(FLUSH.get(emotion, 0.0) * weight for emotion, weight in plan.emotions.items())
    flush += sum(SHOWN.get(kind, 0.0) * amount for kind, amount in plan.appearance.items())
    return NamedEmotion(
        name=plan.name,
        text=plan.text,
        offset=expression_of(plan, head),
        flush=max(-1.0, min(1.0, flush)),
        prompt=prompts.get(plan.name) or prompt_of(plan.text),
        negative_prompt=NEGATIVE_PROMPT if negative_prompt is None else negative_prompt,
        preset=head.emotion(plan.name).cpu() if plan.name in head.presets else None,
        not_understood=plan.not_understood,
        not_shown=tuple(sorted(plan.appearance.keys() - SHOWN.keys())),
    )
