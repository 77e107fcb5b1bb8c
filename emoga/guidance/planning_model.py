"""Free text to the plan of an edit by a language model behind an endpoint that the user names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from emoga.errors import InputError
from emoga.guidance.chat import BadAnswer, Endpoint, ask
from emoga.guidance.edit_lexicon import ATTRIBUTES, MAX_STRENGTH
from emoga.guidance.edit_names import COLOURS, MATERIALS, STYLES
from emoga.guidance.edit_plan import (
    ACTIONS,
    ATTRIBUTE_NAMES,
    DIRECTIONS,
    ITEMS,
    MAX_OPERATIONS,
    MAX_TEXT,
    MAX_WORDS,
    PARTS,
    SIDES,
    BadPlan,
    EditPlan,
    plan_from_json,
)

INSTRUCTION = (
    "You turn an instruction that edits a portrait into a plan. Answer with one JSON object with the keys "
    '"operations", "keep" (parts that must not change), "refused" (phrases that no operation stands for) and '
    '"not_understood" (single words). An operation has the keys "action", "target" and, where they say something, '
    '"attribute", "direction", "colour", "material", "side" (the subject\'s own), "position", "strength" (1 is clearly '
    'visible, 0.4 slight, 2 the most) and "style". Parts are changed, things are added, moved or removed. Colours are '
    "#rrggbb or a name, with dark, light or bright before it. Use only these names."
)


def plan_edit_by_model(text: str, endpoint: Endpoint) -> EditPlan:
    """Ask the endpoint for the plan of `text`.

    Raises InputError for an answer that is no valid plan, MissingComponent when no server answers in time.
    """
    text = " ".join(text.split())
    if not text or len(text) > MAX_TEXT:
        raise InputError(f"an edit is described in 1 to {MAX_TEXT} characters, such as: make him older")
    instruction = f"{INSTRUCTION}\n{json.dumps(_names())}"
    return ask(endpoint, instruction, text, plan_schema(), lambda answer: _read(text, answer))


def plan_schema() -> dict[str, Any]:
    """JSON schema of a plan, for servers that can be held to one."""

    def one_of(names: tuple[str, ...]) -> dict[str, Any]:
        return {"type": "string", "enum": list(names)}

    def many(items: dict[str, Any], most: int = MAX_WORDS) -> dict[str, Any]:
        return {"type": "array", "items": items, "maxItems": most}

    operation = {
        "action": one_of(ACTIONS),
        "target": one_of((*PARTS, *ITEMS)),
        "attribute": one_of(("", *ATTRIBUTE_NAMES)),
        "direction": one_of(DIRECTIONS),
        "colour": {"type": "string", "maxLength": 40},
        "material": one_of(("", *sorted(set(MATERIALS.values())))),
        "side": one_of(SIDES),
        "position": many(one_of(PARTS)),
        "strength": {"type": "number", "minimum": 0, "maximum": MAX_STRENGTH},
        "style": many(one_of(tuple(sorted(set(STYLES.values()))))),
    }
    sections = {
        "operations": many(_object(operation), MAX_OPERATIONS),
        "keep": many(one_of((*PARTS, *ITEMS))),
        "refused": many({"type": "string"}),
        "not_understood": many({"type": "string"}),
    }
    return _object(sections)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    # Strict servers want every key required; an empty text then says nothing.
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _names() -> dict[str, Any]:
    return {
        "parts and what can change of them": {
            part: sorted(set(names.values())) for part, names in ATTRIBUTES.items()
        },
        "things": ITEMS,
        "colours": sorted(COLOURS),
        "materials": sorted(set(MATERIALS.values())),
        "styles": sorted(set(STYLES.values())),
    }


def _read(text: str, answer: dict[str, Any]) -> EditPlan:
    if "text" in answer or "plan" in answer:
        raise BadAnswer("it has a key that was not asked for")
    try:
        plan = plan_from_json(answer)
    except BadPlan as error:
        raise BadAnswer(str(error)) from error
    if not (plan.operations or plan.refused or plan.not_understood):
        raise BadAnswer("it is empty")
    return replace(plan, text=text)
