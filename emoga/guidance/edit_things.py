"""What a clause asks of things that a head wears or bears: added, moved or removed, where, and of what looks."""

from __future__ import annotations

import math
from dataclasses import replace

from emoga.guidance.edit_clauses import Clause
from emoga.guidance.edit_lexicon import LEFT, LESS, MAX_STRENGTH, MOVE, REMOVE, RIGHT, TOO_MUCH, UP_DOWN
from emoga.guidance.edit_names import CENTRAL, GRADED, HOME, PAIRED, THING_STYLES
from emoga.guidance.edit_plan import Operation
from emoga.guidance.edit_words import Describing

# What these say of a thing that is more or less there.
AMOUNTS = {
    "heavy": 1.5,
    "thick": 1.5,
    "dense": 1.5,
    "strong": 1.5,
    "light": 0.5,
    "fine": 0.5,
    "delicate": 0.5,
}


def things_of(clause: Clause, taken_away: bool) -> list[Operation]:
    """One operation for each thing that a clause names. taken_away: what was said before takes things off."""
    smoothed = any(word.axis == "smoothness" and word.sign > 0 for word in clause.adjectives)
    taken_away = taken_away or smoothed or bool(clause.present & (REMOVE | LESS | {TOO_MUCH}))
    # "the mole on the other cheek" is there already.
    elsewhere = clause.present & MOVE or clause.side == "other"
    action = "move" if elsewhere else "remove" if taken_away else "add"
    own = {at for at, _ in clause.nouns}
    described = {adjective.at: clause.noun_of(adjective) for adjective in clause.adjectives}
    of_regions = {
        found[1] for found in described.values() if found and found[0] in own and found[1] not in HOME
    }
    places = sorted({name for _, name in clause.regions} - of_regions)
    return [_thing(clause, action, at, name, places, described) for at, name in clause.things]


def own_style(word: str) -> tuple[str, ...]:
    """The style that the word for a thing says by itself: a fedora is a hat."""
    return (THING_STYLES[word],) if word in THING_STYLES else ()


def dressed(step: Operation, looks: list[Describing]) -> Operation:
    """A thing with the colour, material and style that adjectives give it."""
    if step.target in GRADED:
        amount = math.prod(AMOUNTS.get(word.word, 1.0) for word in looks)
        step = replace(step, strength=round(min(MAX_STRENGTH, step.strength * amount), 3))
        looks = [word for word in looks if word.word not in AMOUNTS]
    styles = {*step.style, *(word.style for word in looks if word.style)}
    colour = next((word.colour for word in looks if word.colour and not word.material), step.colour)
    material = next((word.material for word in looks if word.material), step.material)
    return replace(step, colour=colour, material=material, style=tuple(sorted(styles)))


def _thing(clause: Clause, action: str, at: int, name: str, places: list[str], described: dict) -> Operation:
    word = clause.words[at]
    looks = [adjective for adjective in clause.adjectives if described[adjective.at] == (at, name)]
    side = clause.side
    if name in PAIRED and not side and (word.endswith("s") or "ears" in clause.words):
        side = "both"
    if name not in PAIRED and clause.present & {"pair"} and not clause.present & (LEFT | RIGHT):
        side = ""
    side = "" if name in CENTRAL else side
    up_down = ""
    if action == "move":
        up_down = next((UP_DOWN[other] for other in clause.words if other in UP_DOWN), "")
    plain = Operation(
        action, name, direction=up_down, side=side,
        position=tuple(place for place in places if place not in HOME[name]), style=own_style(word),
        strength=clause.strength,
    )  # fmt: skip
    # "without the heavy eyeliner": which one there is, not how much of it goes.
    return (
        replace(dressed(plain, looks), strength=plain.strength)
        if action == "remove"
        else dressed(plain, looks)
    )
