"""Instructions cut into clauses, and what stands where in a clause."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import (
    ADD,
    BOTH,
    KEEP,
    LEFT,
    MAX_STRENGTH,
    MOVE,
    PHRASES,
    REMOVE,
    RIGHT,
    STRENGTHS,
)
from emoga.guidance.edit_names import FORMS, HOME, THINGS
from emoga.guidance.edit_words import Describing, describing, is_known, noun

BREAK = re.compile(r"[,;.!?:()]|\b(?:and|but|with|while|plus|then|also|or|nor|though|whereas)\b")
WORD = re.compile(r"#[0-9a-f]{6}\b|\d+|[^\W\d_](?:[\w'-]*[^\W_])?")
OWNERS = {"the", "his", "her", "its", "their", "your"}


def clauses(text: str) -> list[list[str]]:
    """The clauses of an instruction as words, phrases joined and hyphens resolved."""
    text = text.lower().replace("\u2019", "'").replace("&", " and ").replace("%", " percent")
    for phrase in sorted(PHRASES, key=len, reverse=True):
        pattern = r"(?<![\w-])" + re.escape(phrase).replace(r"\ ", r"[\s-]+") + r"(?![\w-])"
        text = re.sub(pattern, PHRASES[phrase], text)
    found = [[part for word in WORD.findall(clause) for part in _parts(word)] for clause in BREAK.split(text)]
    return [clause for clause in found if clause]


def _parts(word: str) -> list[str]:
    """ "gold-rimmed" is two words, unless it is known as one."""
    word = word.removesuffix("'s") if word not in THINGS else word
    return [word] if is_known(word) or "-" not in word else [part for part in word.split("-") if part]


class Clause:
    """One clause: its words and what stands where. nouns: (index, name) of parts and things, in order."""

    def __init__(self, words: list[str]) -> None:
        self.words, self.present = words, set(words)
        found = ((at, noun(word)) for at, word in enumerate(words))
        self.nouns = [(at, name) for at, name in found if name]
        self._name_rings()
        self.things = [(at, name) for at, name in self.nouns if name in HOME]
        self.regions = [(at, name) for at, name in self.nouns if name not in HOME]
        self.adjectives = describing(words)
        named = {at for at, _ in self.nouns}
        self.unknown = {at for at, word in enumerate(words) if at not in named and not is_known(word)}

    def _name_rings(self) -> None:
        """What "a ring", "a stud" or "a piercing" is, is said by the part that wears it."""
        parts = {name for _, name in self.nouns}
        for index, (at, name) in enumerate(self.nouns):
            if "nose" in parts and name in ("earring", "stud"):
                self.nouns[index] = (at, "nose_ring" if name == "earring" else "nose_stud")
        for at, word in enumerate(self.words):
            if word in FORMS and not parts & HOME.keys() and (parts & {"nose", "ears"} or not parts):
                self.nouns.append((at, FORMS[word]["nose" not in parts]))
        self.nouns.sort()

    @property
    def side(self) -> str:
        if self.present & LEFT and self.present & RIGHT:
            return "both"
        if self.present & LEFT:
            return "left"
        if self.present & RIGHT:
            return "right"
        return "both" if self.present & BOTH else "other" if "other" in self.present else ""

    @property
    def strength(self) -> float:
        """The product of the words that say how much; "a little nose" is a small one."""
        value = 1.0
        for at, word in enumerate(self.words):
            if not (word == "little" and at + 1 < len(self.words) and noun(self.words[at + 1])):
                value *= STRENGTHS.get(word, 1.0)
        return min(value, MAX_STRENGTH)

    @property
    def bare(self) -> bool:
        """Only nouns, sides and small words."""
        return not self.adjectives and not self.unknown and not self.present & (ADD | REMOVE | MOVE | KEEP)

    @property
    def strange_verb(self) -> bool:
        """ "rotate the earrings" asks for something else than earrings."""
        return any(at + 1 < len(self.words) and self.words[at + 1] in OWNERS for at in self.unknown)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def noun_of(self, adjective: Describing) -> tuple[int, str] | None:
        """The noun nearest to an adjective, of two as near the one after it; None when it is a stranger's."""
        at = adjective.at + 1
        while at < len(self.words) and at in self.unknown:
            at += 1
        stranger = at > adjective.at + 1 and not (at < len(self.words) and noun(self.words[at]))
        if stranger:
            return -1, ""
        return min(
            self.nouns, key=lambda item: (abs(item[0] - adjective.at), item[0] < adjective.at), default=None
        )
