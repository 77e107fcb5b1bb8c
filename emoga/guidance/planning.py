"""Free text to the plan of an edit by rules: clause after clause, each adjective to the noun it stands by."""

from __future__ import annotations

import re
from dataclasses import replace

from emoga.errors import InputError
from emoga.guidance.edit_clauses import OF_THEMSELVES, WORD, Clause, clauses
from emoga.guidance.edit_lexicon import (
    ADD,
    ATTRIBUTES,
    HERS,
    HINTS,
    HIS,
    IMPOSSIBLE,
    KEEP,
    LESS,
    MAX_STRENGTH,
    MORE,
    MOVE,
    NEGATION,
    PERSONS,
    PRONOUNS,
    REMOVE,
    REPLACE,
    UP_DOWN,
)
from emoga.guidance.edit_names import HAIRY, HEAD_MATERIALS, HOME, PAIRED
from emoga.guidance.edit_plan import MAX_TEXT, EditPlan, Operation
from emoga.guidance.edit_steps import last_colours, measured, said_once
from emoga.guidance.edit_things import dressed, own_style, things_of
from emoga.guidance.edit_words import Describing, resolve

# The age below which somebody is young.
YOUNG = 30
WHOLE = {"face", "skin"}  # parts that nothing is left without
OPPOSITE = {"left": "right", "right": "left"}
ACTING = ADD | REMOVE | MOVE | KEEP | LESS | MORE | NEGATION
# Before a part that only says where the thing before goes.
PLACING = {"on", "at", "around", "under", "above", "below", "across", "over", "near", "along", "beside"}


def plan_edit(text: str) -> EditPlan:
    """Read an instruction by rules: "a thin gold earring on his left ear, and redder lips".

    What means nothing comes back as refused phrases. Raises InputError for a text that is empty or too long.
    """
    text = " ".join(text.split())
    if not text or len(text) > MAX_TEXT:
        raise InputError(f"an edit is described in 1 to {MAX_TEXT} characters, such as: make him older")
    reader = _Reader(text)
    for clause in clauses(text):
        reader.read(clause)
    return reader.plan()


def hint_for(phrase: str) -> str:
    """Why a refused phrase cannot be had, where that is known; else empty."""
    words = set(WORD.findall(phrase.lower()))
    return next((hint for about, hint in HINTS if words & about), "")


class _Reader:
    """Collects what clause after clause says."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.operations: list[Operation] = []
        self.keep: list[str] = []
        self.refused: list[str] = []
        self.strange: list[str] = []
        self.denied: list[str] = []
        self.mode = ""
        self.pending: list[str] = []
        self.before: list[Operation] = []
        self.adjectives: list[Describing] = []
        self.region = ""
        self.side = ""

    def plan(self) -> EditPlan:
        self.refused += self.pending
        if not self.operations:
            self.refused += self.denied
        if not (self.operations or self.refused or self.keep):
            self.refused.append(self.text)
        return EditPlan(
            self.text,
            said_once(self.operations),
            tuple(sorted(set(self.keep))),
            tuple(dict.fromkeys(self.refused)),
            tuple(dict.fromkeys(self.strange)),
        )

    def read(self, words: list[str]) -> None:
        clause = Clause(words)
        if (
            self._keeps(clause)
            or self._replaces(clause)
            or self._takes_off(clause)
            or self._continues(clause)
        ):
            return
        if "ones" in clause.present and not (clause.nouns or self.pending or self.before):
            self.refused.append(clause.text)
            return
        if clause.denies and not clause.unknown:
            self.denied.append(clause.text)
            return
        if (
            clause.strange_verb
            or clause.denies
            or (clause.present & IMPOSSIBLE and clause.regions and not clause.things)
        ):
            self._refuse(clause)
            return
        refused = len(self.refused)
        found = self._read_things(clause) + self._read_adjectives(clause) + self._read_persons(clause)
        found = found or self._read_parts(clause)
        if found:
            found = [self._placed(step) for step in found]
            self.operations += found
            self.strange += [clause.words[at] for at in sorted(clause.unknown)]
            self.before, self.adjectives = found, clause.adjectives
            # "a bald man with a scar": what a word implies does not go on.
            self.mode = (
                "remove"
                if clause.present & REMOVE
                else ""
                if found[-1].action == "remove"
                else found[-1].action
            )
            return
        if clause.regions and not clause.unknown and not clause.adjectives:
            self.pending += [name for _, name in clause.regions]
            self.side = clause.side
        elif (clause.unknown or clause.adjectives or clause.nouns) and len(self.refused) == refused:
            self._refuse(clause)
        self.before = []

    def _placed(self, step: Operation) -> Operation:
        """ "his left ear only: a stud": a part named before says where a thing goes."""
        homes = set(self.pending) & HOME.get(step.target, set())
        self.pending = [part for part in self.pending if part not in homes]
        return replace(step, side=step.side or self.side) if homes else step

    def _refuse(self, clause: Clause) -> None:
        """What comes after may still be about the part that is named: "his nose is crooked | and too wide"."""
        self.refused.append(clause.text)
        self.region = clause.regions[-1][1] if clause.regions else ""

    def _keeps(self, clause: Clause) -> bool:
        if not clause.present & KEEP and not (self.mode == "keep" and clause.bare and clause.nouns):
            return False
        if not clause.nouns and clause.side in OPPOSITE and self.before:
            self._replace_last(replace(self.before[-1], side=OPPOSITE[clause.side]))
            return True
        self.keep += [name for _, name in clause.nouns]
        self.keep += self.pending if "keep" in clause.words[-1:] else []
        self.pending, self.mode, self.before = [], "keep", []
        return True

    def _replaces(self, clause: Clause) -> bool:
        """A thing that goes so that another may come; a part of the head waits for what it shall be like."""
        if not clause.present & REPLACE or not clause.nouns:
            return False
        self.operations += [
            Operation("remove", name, side=clause.side, style=own_style(clause.words[at]))
            for at, name in clause.things
        ]
        if not clause.things:
            self.pending += [name for _, name in clause.regions]
        self.mode, self.before = "", []
        return True

    def _takes_off(self, clause: Clause) -> bool:
        """ "he has a hat | remove it", "remove the tattoo from his cheek | put it on the neck"."""
        thing = self.before[-1] if self.before else None
        told = clause.present & PRONOUNS and not clause.adjectives and not clause.unknown
        put = told and clause.present & (ADD | MOVE) and clause.regions and not clause.things
        if put and thing is not None and thing.target in HOME and thing.action == "remove":
            places = tuple(sorted(name for _, name in clause.regions))
            self._replace_last(replace(thing, action="move", side=clause.side, position=places))
            return True
        bare = not clause.nouns and not clause.adjectives and not clause.unknown
        if not (bare and clause.present & REMOVE and clause.present & PRONOUNS and self.before):
            return False
        if thing is not None and thing.target in HOME and thing.action in ("add", "remove"):
            self._replace_last(replace(thing, action="remove"))
        return True

    def _continues(self, clause: Clause) -> bool:
        """A clause that only goes on about the one before: "... on her nose | and cheeks", "| in black"."""
        before = self.before
        if not before or clause.present & IMPOSSIBLE:
            return False
        if clause.words[0] == "like" and not clause.things and not clause.ages:
            # "bigger eyes | like a doll": what they are likened to.
            return True
        if clause.strength != 1 and not (
            clause.nouns or clause.adjectives or clause.unknown or clause.present & ACTING
        ):
            # "fuller lips | but only a little".
            self.before = [replace(step, strength=clause.strength) for step in before]
            self.operations[-len(before) :] = self.before
            return True
        if clause.bare and clause.regions and not clause.things:
            parts = [name for _, name in clause.regions]
            others = (
                "remove" if clause.present & ({"none"} | LESS) else "add" if clause.present & MORE else ""
            )
            if before[-1].target in HOME and others:
                # "more on the forehead | fewer around the eyes".
                self.operations.append(
                    Operation(others, before[-1].target, side=clause.side, position=tuple(parts))
                )
                return True
            if set(parts) <= HOME.get(before[-1].target, set()):
                # "one in each ear": where it goes anyhow.
                self._replace_last(replace(before[-1], side=clause.side or before[-1].side))
                return True
            placed = before[-1].position or clause.present & PLACING
            if before[-1].target in HOME and placed:
                places = sorted({*before[-1].position, *(name for _, name in clause.regions)})
                self._replace_last(replace(before[-1], position=tuple(places)))
                return True
            if self.adjectives and before[-1].action == "change":
                found = [
                    step if step.strength != 1 else replace(step, strength=before[-1].strength)
                    for part in parts
                    for word in self.adjectives
                    for step in self._apply(clause, word, part)
                ]
                self.operations += found
                return bool(found)
        if (
            all(word.colour and not word.axis for word in clause.adjectives)
            and clause.adjectives
            and clause.present & LESS
            and not (clause.nouns or clause.unknown)
            and before[-1].colour
        ):
            # "more coral | less pink": a colour has been named.
            return True
        told_again = clause.present & PRONOUNS and [name for _, name in clause.things] == [before[-1].target]
        if (
            "none" in clause.words
            and clause.side in OPPOSITE
            and before[-1].target in PAIRED
            and not clause.nouns
        ):
            self.operations.append(Operation("remove", before[-1].target, side=clause.side))
            return True
        plain = clause.adjectives and (not clause.nouns or told_again) and not clause.unknown
        if plain and before[-1].target in HOME and before[-1].action == "add":
            looks = [word for word in clause.adjectives if word.colour or word.material or word.style]
            if len(looks) == len(clause.adjectives) and not any(word.hair for word in looks):
                self._replace_last(dressed(before[-1], looks))
                return True
        return False

    def _replace_last(self, step: Operation) -> None:
        self.operations[-1] = step
        self.before = [step]

    def _read_things(self, clause: Clause) -> list[Operation]:
        return things_of(clause, taken_away=self.mode == "remove" and clause.bare)

    def _read_adjectives(self, clause: Clause) -> list[Operation]:
        found: list[Operation] = []
        for adjective in clause.adjectives:
            if clause.of_work(adjective):
                continue
            target = None if clause.is_made_of(adjective) else clause.noun_of(adjective)
            if target is not None and (not target[1] or target[1] in HOME):
                continue
            part = target[1] if target else self._unnamed(clause, adjective)
            # A blonde with brown eyes is one by her hair.
            part = "hair" if adjective.hair and not adjective.axis and part not in HAIRY else part
            part = (
                "temples" if part == "hair" and ("temples" in (name for _, name in clause.regions)) else part
            )
            steps = self._apply(clause, adjective, part)
            found += steps
            if not steps and target:
                self.refused.append(f"{adjective.word} {clause.words[target[0]]}")
            elif steps and self.pending:
                found += [step for name in self.pending for step in self._apply(clause, adjective, name)]
            if steps:
                self.region = steps[-1].target
        if found:
            self.pending = []
        return last_colours(found, clause)

    def _unnamed(self, clause: Clause, adjective: Describing) -> str:
        """The part that an adjective without a noun is about."""
        of_person = clause.present & (HIS | HERS)
        if adjective.hair and not adjective.axis:
            named = next((name for name in self.pending if name in HAIRY), "hair")
            self.pending = [name for name in self.pending if name != named]
            return named
        if adjective.material in HEAD_MATERIALS and not adjective.axis and not adjective.colour:
            return ""
        if self.pending and adjective.axis not in OF_THEMSELVES:
            return self.pending.pop()
        of_thing = bool(self.before) and self.before[-1].target in HOME
        return "" if of_person or of_thing or adjective.axis in OF_THEMSELVES else self.region

    def _apply(self, clause: Clause, adjective: Describing, part: str) -> list[Operation]:
        less = bool(LESS & set(clause.words[: adjective.at + 2]))
        side = clause.side
        if side == "other":
            side = next((OPPOSITE[step.side] for step in self.before[-1:] if step.side in OPPOSITE), side)
        step = resolve(adjective, part, side, less)
        if step is None:
            return []
        strength = min(MAX_STRENGTH, round(clause.strength * adjective.strength * measured(clause, step), 3))
        direction = step.direction
        if step.attribute == "age" and (years := re.search(r"\b(\d+) years? old\b", clause.text)):
            direction = "less" if int(years[1]) < YOUNG else "more"
        return [replace(step, strength=strength, direction=direction)]

    def _read_persons(self, clause: Clause) -> list[Operation]:
        """ "a woman", said of somebody who is none."""
        for at, word in enumerate(clause.words):
            known = HERS if PERSONS.get(word) == "femininity" else HIS
            everyone = set(re.findall(r"[a-z]+", self.text.lower()))
            article = next(
                (other for other in clause.words[at - 1 :: -1] if other in ("a", "an", "the", "this")), ""
            )
            if at and word in PERSONS and not everyone & known and article in ("a", "an"):
                return [Operation("change", "person", PERSONS[word], "more", strength=1.0)]
        return []

    def _read_parts(self, clause: Clause) -> list[Operation]:
        """Verbs that need no adjective: removing a part of the head, moving one up or down."""
        parts = [name for _, name in clause.regions]
        if clause.present & REMOVE and parts and not clause.unknown and not WHOLE & set(parts):
            return [Operation("remove", part, side=clause.side) for part in parts]
        if clause.present & (LESS | MORE) and parts and set(parts) <= set(HAIRY) and not clause.unknown:
            direction = "less" if clause.present & LESS else "more"
            return [Operation("change", part, "thickness", direction, strength=clause.strength) for part in parts
                    if "thickness" in ATTRIBUTES[part]]  # fmt: skip
        way = next((UP_DOWN[word] for word in clause.words if word in UP_DOWN), "")
        if clause.present & MOVE and way and parts:
            return [
                Operation(
                    "change", part, "height", "more" if way == "up" else "less", strength=clause.strength
                )
                for part in parts
                if part in ("brows", "mouth", "forehead", "cheekbones")
            ]
        return []
