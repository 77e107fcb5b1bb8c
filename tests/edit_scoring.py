"""How well plans of edits agree with expected ones: precision, recall and F1 over the slots that say something."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from emoga.guidance.edit_plan import EditPlan

PROMPTS = Path(__file__).with_name("edit_prompts.json")
# Eight lists written before they were planned; what is wrong of them still is left as it was expected.
MORE = Path(__file__).with_name("edit_prompts_more.json")
SLOTS = ("action", "attribute", "direction", "colour", "material", "side", "position", "style", "strength")


def expected_prompts(path: Path = PROMPTS) -> list[dict[str, Any]]:
    """The committed prompts with their plans."""
    return json.loads(path.read_text(encoding="utf-8"))


def slots(plan: dict[str, Any]) -> Counter:
    """The slots of a plan as countable facts; every one is tied to the target it is about."""
    found: Counter = Counter()
    for step in plan.get("operations", []):
        target = step["target"]
        found["target", target] += 1
        for name in SLOTS:
            value = _bucket(step.get(name, 1.0)) if name == "strength" else step.get(name)
            for item in value if isinstance(value, list | tuple) else [value]:
                if item:
                    found[target, name, item] += 1
    found.update(("keep", part) for part in plan.get("keep", []))
    return found


def compare(plan: EditPlan, wanted: dict[str, Any]) -> tuple[int, int, int]:
    """Slots that agree, that only the plan has, that only the expectation has. A refusal is one slot."""
    ours, theirs = slots(plan.as_json()), slots(wanted)
    for word in wanted.get("refused", []):
        theirs["refused", word] += 1
        ours["refused", word] += any(word in phrase for phrase in plan.refused)
    ours["refused", ""] += sum(
        not any(word in phrase for word in wanted.get("refused", [])) for phrase in plan.refused
    )
    ours = +ours
    both = ours & theirs
    return both.total(), (ours - both).total(), (theirs - both).total()


def f1(counts: list[tuple[int, int, int]]) -> float:
    """Over all plans together."""
    agreed, only_ours, only_theirs = (sum(column) for column in zip(*counts, strict=True))
    return 2 * agreed / (2 * agreed + only_ours + only_theirs)


def _bucket(strength: float) -> str:
    return "weak" if strength < 0.75 else "strong" if strength > 1.25 else ""
