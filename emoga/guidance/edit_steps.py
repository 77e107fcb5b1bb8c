"""What several steps of one instruction say together, and how strong its figures make a step."""

from __future__ import annotations

from dataclasses import replace

from emoga.guidance.edit_clauses import Clause
from emoga.guidance.edit_lexicon import NUMBERS
from emoga.guidance.edit_plan import Operation

# Figures that mean strength 1.
YEARS_AT_ONE, PERCENT_AT_ONE = 20, 20


def last_colours(steps: list[Operation], clause: Clause) -> list[Operation]:
    """ "turn her black hair blond": of two colours the one before the noun is what there was."""
    colours = {step.target: step for step in steps if step.attribute == "colour"}
    around = {
        name
        for at, name in clause.regions
        if any(word.colour and word.at < at for word in clause.adjectives)
        and any(word.colour and word.at > at for word in clause.adjectives)
    }
    return [
        step
        for step in steps
        if step.attribute != "colour" or step.target not in around or step is colours[step.target]
    ]


def measured(clause: Clause, step: Operation) -> float:
    """The strength that a figure asks for: "20 years older", "by 30 percent"."""
    for at, word in enumerate(clause.words):
        value = NUMBERS.get(word, int(word) if word.isdigit() and len(word) < 4 else 0)
        unit = clause.words[at + 1] if at + 1 < len(clause.words) else ""
        by_years = (
            step.attribute == "age"
            and unit in ("years", "year")
            and "old" not in clause.words[at + 2 : at + 3]
        )
        if value and (by_years or unit == "percent"):
            return max(0.1, value / (YEARS_AT_ONE if by_years else PERCENT_AT_ONE))
    return 1.0


def said_once(steps: list[Operation]) -> tuple[Operation, ...]:
    """What is said again only says how much, or what is meant: "her lips look thin | plump them up"."""
    found = {
        replace(step, strength=1.0, direction=step.direction if step.action == "move" else ""): step
        for step in steps
    }
    return tuple(found.values())
