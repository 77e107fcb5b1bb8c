"""Free text to a plan of an emotion by a language model behind an endpoint that the user names."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import Any

from emoga.errors import InputError
from emoga.guidance.chat import BadAnswer, Endpoint, ask, one_line
from emoga.guidance.wording import APPEARANCE, EMOTIONS, MAX_STRENGTH, MAX_TEXT, EmotionPlan, short_name

# Environment variable that names the endpoint where no option does.
ADDRESS_VARIABLE = "EMOGA_LLM"
SECTIONS = ("emotions", "units", "appearance")
INSTRUCTION = (
    "You turn a description of a facial expression into numbers. Answer with one JSON object with exactly the keys "
    '"emotions", "units", "appearance" (objects of name to number) and "not_understood" (list of strings). '
    "Use only these names. Left and right are the subject's. Leave out what is zero."
)


def plan_emotion_by_model(
    text: str,
    units: Collection[str],
    url: str,
    model: str = "default",
    key: str | None = None,
    emotions: Collection[str] = tuple(EMOTIONS),
    timeout: float = 60.0,
    retries: int = 2,
) -> EmotionPlan:
    """Ask the endpoint `url` (such as http://localhost:8080/v1) for the plan of `text`.

    timeout: seconds for one whole answer; retries: further attempts after a bad answer.
    Raises InputError for an answer that is no valid plan, MissingComponent when no server answers in time.
    """
    if not text.strip() or len(text) > MAX_TEXT:
        raise InputError(f"an emotion is described in 1 to {MAX_TEXT} characters")
    allowed = {"emotions": set(emotions), "units": set(units), "appearance": set(APPEARANCE)}
    names = {section: sorted(allowed[section]) for section in SECTIONS}
    instruction = f"{INSTRUCTION}\n{json.dumps(names)}"
    endpoint = Endpoint(url, model, key, timeout, retries)
    return ask(endpoint, instruction, text, _schema(names), lambda answer: _plan(text, answer, allowed))


def _schema(names: dict[str, list[str]]) -> dict[str, Any]:
    sections = {
        section: {
            "type": "object",
            "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in names[section]},
            "additionalProperties": False,
        }
        for section in SECTIONS
    }
    strings = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": {**sections, "not_understood": strings},
        "required": [*SECTIONS, "not_understood"],
        "additionalProperties": False,
    }


def _plan(text: str, answer: dict[str, Any], allowed: dict[str, set[str]]) -> EmotionPlan:
    strange = sorted(answer.keys() - {*SECTIONS, "not_understood"})
    if strange:
        raise BadAnswer(f"it has a key {one_line(strange[0])!r}")
    read = {section: _weights(section, answer.get(section), allowed[section]) for section in SECTIONS}
    rest = answer.get("not_understood", [])
    if not (isinstance(rest, list) and len(rest) <= 50 and all(isinstance(word, str) for word in rest)):
        raise BadAnswer("not_understood is no list of words")
    plan = EmotionPlan(
        " ".join(text.split()),
        short_name(text.partition(":")[0]),
        emotions=read["emotions"],
        units=read["units"],
        appearance=read["appearance"],
        not_understood=tuple(one_line(word) for word in rest),
    )
    if plan.empty:
        raise BadAnswer("it is empty")
    return plan


def _weights(section: str, found: object, allowed: set[str]) -> dict[str, float]:
    if not isinstance(found, dict):
        raise BadAnswer(f"{section} is no object")
    for name, value in found.items():
        if name not in allowed:
            raise BadAnswer(f"{section} has an unknown name {one_line(name)!r}")
        high = MAX_STRENGTH if section == "emotions" else 1.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0 <= value <= high):
            raise BadAnswer(f"{section} {name} is not a number from 0 to {high:g}")
    return {name: float(value) for name, value in found.items() if value > 0}
