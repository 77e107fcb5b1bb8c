"""Free text to a plan by rules: emotions and their strength, units of expression, appearance."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from emoga.errors import InputError
from emoga.guidance.lexicon import (
    ACTIONS,
    APPEARANCE,
    APPEARANCE_PARTS,
    COMPOUNDS,
    EMOTIONS,
    FILLERS,
    GAZE,
    LEFT,
    LOOKING,
    MAX_STRENGTH,
    NEGATIONS,
    ONE,
    OTHER,
    PLACES,
    RIGHT,
    STRENGTHS,
)

MAX_TEXT = 1000
SIDES = ("Left", "Right")
# Words that steer how the others are read.
FUNCTION = NEGATIONS | FILLERS | STRENGTHS.keys() | ONE | OTHER | LEFT | RIGHT


@dataclass(frozen=True)
class EmotionPlan:
    """What a text asks of a face. Left and right are the subject's.

    name: the emotion's short name; emotions: named ones and their weight, 0..1.5; units: unit weights 0..1 on top;
    without: units to hold at zero; appearance: `flush`, `pallor`, `sweat`, `tears`, each 0..1;
    not_understood: the words that mean nothing to the plan.
    """

    text: str
    name: str
    emotions: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    appearance: dict[str, float] = field(default_factory=dict)
    not_understood: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing was understood."""
        return not (self.emotions or self.units or self.appearance or self.without)


def plan_emotion(
    text: str, units: Collection[str], emotions: Collection[str] = tuple(EMOTIONS)
) -> EmotionPlan:
    """Read `text` by rules: "slightly happy", "skeptical: one brow raised, lips pressed".

    units: the vocabulary of units a plan may use; emotions: the named emotions it may use.
    Raises InputError, listing the known emotions, when nothing in the text is understood.
    """
    text = " ".join(text.split())
    known = ", ".join(sorted(emotions))
    if not text or len(text) > MAX_TEXT:
        raise InputError(f"an emotion is described in 1 to {MAX_TEXT} characters; known are: {known}")
    label, colon, description = text.partition(":")
    reader = _Reader(set(units), set(emotions))
    if colon and description.strip():
        reader.read_label(label)
        reader.read(description)
    else:
        reader.read(label)
    plan = reader.plan(text, short_name(label))
    if plan.empty:
        raise InputError(
            f"emotion {text!r} is not understood; known are: {known}; "
            'or describe it: "skeptical: one brow raised, lips pressed"'
        )
    return plan


class _Reader:
    """Collects what clause after clause says."""

    def __init__(self, vocabulary: set[str], emotions: set[str]) -> None:
        self.vocabulary, self.known = vocabulary, emotions
        self.emotions: dict[str, float] = {}
        self.units: dict[str, float] = {}
        self.without: set[str] = set()
        self.appearance: dict[str, float] = {}
        self.strange: list[str] = []
        self.one = ""
        self.part: set[str] = set()
        self.scale = 1.0

    def read(self, text: str) -> None:
        for clause in re.split(r"[,;.!/+]|\b(?:and|with|but)\b", text.lower()):
            words = re.findall(r"[^\W\d_]+(?:'[a-z]+)?", clause)
            if words:
                self._clause(words)

    def read_label(self, label: str) -> None:
        """The label before a description: a basic emotion adds to it, any other word is only a name."""
        words = re.findall(r"[^\W\d_]+", label.lower())
        if any(word in table for word in words for table in EMOTIONS.values()):
            self._clause(words)

    def plan(self, text: str, name: str) -> EmotionPlan:
        units = {unit: value for unit, value in self.units.items() if unit not in self.without}
        strange = tuple(dict.fromkeys(self.strange))
        without = tuple(sorted(self.without))
        return EmotionPlan(text, name, self.emotions, units, without, self.appearance, strange)

    def _clause(self, words: list[str]) -> None:
        present = set(words)
        strength = self.scale
        for word in words:
            strength *= STRENGTHS.get(word, 1.0)
        strength = min(strength, MAX_STRENGTH)
        negated = bool(present & NEGATIONS)
        sides = self._sides(present)
        used = present & FUNCTION
        used |= self._gaze(present, strength, negated)
        for reading in (self._compound, self._emotion, self._appearance):
            used |= reading(present - used, strength, negated)
        content = present - used | present & STRENGTHS.keys()
        if content - STRENGTHS.keys() or not used - FUNCTION:
            used |= self._action(content, sides, strength, negated)
        self.strange += [word for word in words if word not in used]

    def _sides(self, words: set[str]) -> tuple[str, ...]:
        """The sides a clause names; "one" is the left unless an earlier clause said which, "other" its opposite."""
        if words & LEFT and not words & LOOKING:
            self.one = "Left"
            return ("Left",)
        if words & RIGHT and not words & LOOKING:
            self.one = "Right"
            return ("Right",)
        if words & ONE:
            self.one = self.one or "Left"
            return (self.one,)
        if words & OTHER:
            return ("Right" if self.one != "Right" else "Left",)
        return SIDES

    def _compound(self, words: set[str], strength: float, negated: bool) -> set[str]:
        found = words & COMPOUNDS.keys()
        for word in sorted(found) if not negated else ():
            outer, self.scale = self.scale, strength
            self.read(COMPOUNDS[word])
            self.scale = outer
        return found

    def _emotion(self, words: set[str], strength: float, negated: bool) -> set[str]:
        found = set()
        for emotion, synonyms in EMOTIONS.items():
            for word in sorted(words & synonyms.keys()):
                found.add(word)
                if emotion not in self.known and emotion != "neutral":
                    self.strange.append(word)
                elif not negated:
                    weight = min(strength * synonyms[word], MAX_STRENGTH)
                    self.emotions[emotion] = max(weight, self.emotions.get(emotion, 0.0))
        return found

    def _gaze(self, words: set[str], strength: float, negated: bool) -> set[str]:
        looks = words & LOOKING
        aims = words & GAZE.keys()
        if not (looks and aims):
            return set()
        for aim in sorted(aims):
            for unit, weight in GAZE[aim].items():
                self._set(unit, weight * strength, negated)
        return looks | aims | (words & {"eye", "eyes"})

    def _appearance(self, words: set[str], strength: float, negated: bool) -> set[str]:
        used: set[str] = set()
        for kind, names in APPEARANCE.items():
            found = words & names
            if found and not negated:
                self.appearance[kind] = min(1.0, max(0.6 * strength, self.appearance.get(kind, 0.0)))
            used |= found | (words & APPEARANCE_PARTS if found else set())
        return used

    def _action(self, words: set[str], sides: tuple[str, ...], strength: float, negated: bool) -> set[str]:
        """ "brows raised and furrowed": an action without a part goes on about the part before it."""
        for about in (set(), self.part):
            for part, doing, units in ACTIONS:
                parts, doings = _matched(part, words | about), _matched(doing, words)
                if parts is None or doings is None or not (parts | doings) & words:
                    continue
                self.part = parts or self.part
                for stem, weight in units.items():
                    for unit, share in _sided(stem, sides):
                        self._set(unit, weight * share * strength, negated)
                return parts | doings | words & PLACES
        return set()

    def _set(self, unit: str, weight: float, negated: bool) -> None:
        if unit not in self.vocabulary:
            self.strange.append(unit)
        elif negated or weight == 0:
            self.without.add(unit)
        else:
            self.units[unit] = round(min(1.0, max(weight, self.units.get(unit, 0.0))), 4)


def _matched(pattern: str, words: set[str]) -> set[str] | None:
    """Words that fit `a&b c d` (a and one of b, c, d) or `a b c` (any); None when they do not, empty for no pattern."""
    if not pattern:
        return set()
    first, ampersand, rest = pattern.partition("&")
    if ampersand:
        choices = words & set(rest.split())
        return choices | {first} if first in words and choices else None
    return words & set(pattern.split()) or None


def _sided(stem: str, sides: tuple[str, ...]) -> list[tuple[str, float]]:
    """Units of a stem and their shares; one side means the left unless said."""
    name, kind = (stem[:-1], stem[-1]) if stem[-1] in "*?^" else (stem, "")
    if kind == "*":
        return [(name + side, 1.0) for side in sides]
    if kind == "?":
        return [(name + sides[0], 1.0)]
    return [(name, len(sides) / 2 if kind == "^" else 1.0)]


def short_name(label: str) -> str:
    """A name that files and command lines can carry: words joined by hyphens, without `:`, `,` and `@`."""
    words = re.findall(r"[^\W_]+", label.lower())
    return "-".join(words)[:40].strip("-") or "emotion"
