"""The typed plan of an edit, and its JSON, which is hostile until every name and number in it has been checked."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from emoga.errors import InputError
from emoga.guidance.chat import one_line
from emoga.guidance.edit_lexicon import ATTRIBUTES, MAX_STRENGTH
from emoga.guidance.edit_names import COLOUR_WORDS, COLOURS, MATERIALS, REGIONS, STYLES, THINGS

MAX_TEXT = 1000
MAX_OPERATIONS = 40
MAX_WORDS = 50
MAX_JSON = 256 * 1024
ACTIONS = ("add", "move", "remove", "change")
DIRECTIONS = ("", "more", "less", "up", "down")
SIDES = ("", "left", "right", "both", "other")
PARTS = tuple(sorted({"person", *REGIONS.values()}))
ITEMS = tuple(sorted(set(THINGS.values())))
ATTRIBUTE_NAMES = tuple(sorted({name for table in ATTRIBUTES.values() for name in table.values()}))
COLOUR_FORM = re.compile(r"(?:(?:dark|light|bright) )?(?P<name>[a-z]+)|#[0-9a-f]{6}")


@dataclass(frozen=True)
class Operation:
    """One step of an edit.

    action: of ACTIONS; target: a part of the head (PARTS) or a thing (ITEMS); attribute: what of a part changes;
    direction: more or less of it, for a thing that moves up or down; colour: a name, with dark, light or bright
    before it, or #rrggbb; side: the subject's; position: where on the head; strength: 1 is clearly visible, 0..2;
    style: further words, such as hoop.
    """

    action: str
    target: str
    attribute: str = ""
    direction: str = ""
    colour: str = ""
    material: str = ""
    side: str = ""
    position: tuple[str, ...] = ()
    strength: float = 1.0
    style: tuple[str, ...] = ()

    def words(self) -> str:
        """The step in words."""
        how = " ".join(
            word for word in (self.direction, self.colour, self.material, *self.style, self.attribute) if word
        )
        side = f" ({self.side})" if self.side else ""
        where = f" at {', '.join(self.position)}" if self.position else ""
        strength = "" if self.strength == 1 else f", strength {self.strength:g}"
        what = f"{self.target}: {how}" if how else self.target
        return f"{self.action} {what}{side}{where}{strength}"


@dataclass(frozen=True)
class EditPlan:
    """What a text asks of a head.

    keep: parts that must not change; refused: phrases that no operation stands for; not_understood: words that
    mean nothing to the plan, within phrases that were understood otherwise.
    """

    text: str
    operations: tuple[Operation, ...] = ()
    keep: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data; what an operation does not say is left out."""
        empty = Operation("", "")
        operations = [
            {name: value for name, value in asdict(step).items() if value != getattr(empty, name)}
            for step in self.operations
        ]
        return {**asdict(self), "operations": operations}

    def describe(self) -> str:
        """The plan in words, a line for each of its parts."""
        lines = [f"{number}. {step.words()}" for number, step in enumerate(self.operations, start=1)]
        return "\n".join([*lines, *self.remarks()])

    def remarks(self) -> list[str]:
        """What is kept, cannot be done or was not understood, a line for each."""
        rest = {"keep": self.keep, "cannot": self.refused, "not understood": self.not_understood}
        return [f"{name}: {', '.join(words)}" for name, words in rest.items() if words]


class BadPlan(ValueError):
    """Data that is no plan; its text says why, in one line."""


def plan_from_text(text: str, source: str) -> EditPlan:
    """A plan from the text of a JSON file. Raises InputError, beginning with `source`."""
    if len(text) > MAX_JSON:
        raise InputError(f"{source}: larger than {MAX_JSON // 1024} KiB; a plan of an edit is small")
    try:
        return plan_from_json(json.loads(text))
    except BadPlan as error:
        raise InputError(f"{source}: no plan of an edit: {error}; --plan prints one to start from") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source}: is not valid JSON; --plan with --json prints a plan to start from"
        ) from error


def plan_from_json(data: object) -> EditPlan:
    """A plan from plain data. Raises BadPlan for a key, name or number that plans do not have."""
    if isinstance(data, dict) and set(data) >= {"plan"} and isinstance(data["plan"], dict):
        data = data["plan"]
    known = {item.name for item in fields(EditPlan)}
    found = _object(data, known, "the plan")
    operations = _list(found.get("operations", []), "operations", MAX_OPERATIONS)
    keep = _words(found.get("keep", []), "keep", (*PARTS, *ITEMS))
    text = found.get("text", "")
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise BadPlan(f"its text is no text of at most {MAX_TEXT} characters")
    return EditPlan(
        one_line(text, MAX_TEXT),
        tuple(operation_from_json(step) for step in operations),
        keep,
        _words(found.get("refused", []), "refused"),
        _words(found.get("not_understood", []), "not_understood"),
    )


def operation_from_json(data: object) -> Operation:
    """One checked operation. Raises BadPlan."""
    found = _object(data, {item.name for item in fields(Operation)}, "an operation")
    action = _one_of(found, "action", ACTIONS)
    target = _one_of(found, "target", (*PARTS, *ITEMS))
    attribute = _one_of(found, "attribute", ("", *ATTRIBUTE_NAMES))
    strength = found.get("strength", 1.0)
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not (number and math.isfinite(strength) and 0 <= strength <= MAX_STRENGTH):
        raise BadPlan(f"strength {one_line(strength)} is not a number from 0 to {MAX_STRENGTH:g}")
    if action == "add" and target not in ITEMS:
        raise BadPlan(f"{target} cannot be added; known are {', '.join(ITEMS)}")
    if action == "change" and (target not in PARTS or attribute not in ATTRIBUTES.get(target, {}).values()):
        parts = sorted(set(ATTRIBUTES.get(target, {}).values()))
        raise BadPlan(
            f"{target} has no {attribute or 'attribute'} to change; it has {', '.join(parts) or 'none'}"
        )
    return Operation(
        action,
        target,
        attribute,
        _one_of(found, "direction", DIRECTIONS),
        _colour(found.get("colour", "")),
        _one_of(found, "material", ("", *sorted(set(MATERIALS.values())))),
        _one_of(found, "side", SIDES),
        _words(found.get("position", []), "position", PARTS),
        float(strength),
        _words(found.get("style", []), "style", tuple(sorted(set(STYLES.values())))),
    )


def colour_value(name: str) -> tuple[float, float, float]:
    """sRGB in 0..1 of a colour of a plan."""
    if name.startswith("#"):
        return tuple(int(name[at : at + 2], 16) / 255 for at in (1, 3, 5))
    *shade, plain = name.split()
    colour = tuple(part / 255 for part in COLOURS[plain])
    if shade == ["dark"]:
        return tuple(0.55 * part for part in colour)
    if shade == ["light"]:
        return tuple(part + 0.45 * (1 - part) for part in colour)
    if shade == ["bright"]:
        return tuple(min(1.0, 1.2 * part) for part in colour)
    return colour


def _object(data: object, known: set[str], what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadPlan(f"{what} is no JSON object")
    strange = sorted(str(key) for key in data.keys() - known)
    if strange:
        raise BadPlan(f"{what} has a key {one_line(strange[0])!r}")
    return data


def _list(data: object, name: str, most: int) -> list:
    if not isinstance(data, list | tuple) or len(data) > most:
        raise BadPlan(f"{name} is no list of at most {most}")
    return list(data)


def _words(data: object, name: str, known: tuple[str, ...] | None = None) -> tuple[str, ...]:
    words = _list(data, name, MAX_WORDS)
    for word in words:
        if not isinstance(word, str) or (known is not None and word not in known):
            raise BadPlan(
                f"{name} has {one_line(word)!r}" + (f"; known are {', '.join(known)}" if known else "")
            )
    return tuple(one_line(word) for word in words)


def _one_of(found: dict[str, Any], name: str, known: tuple[str, ...]) -> str:
    value = found.get(name, "")
    if not isinstance(value, str) or value not in known:
        names = ", ".join(word for word in known if word)
        raise BadPlan(f"{name} {one_line(value)!r} is not known; known are {names}")
    return value


def _colour(value: object) -> str:
    match = COLOUR_FORM.fullmatch(value) if isinstance(value, str) and value else None
    if value == "" or (match and (match["name"] is None or match["name"] in COLOURS)):
        return str(value)
    names = ", ".join(sorted(set(COLOUR_WORDS.values())))
    raise BadPlan(f"colour {one_line(value)!r} is not known; write #rrggbb or one of {names}")
