"""Instructions cut into clauses, and what stands where in a clause."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import (
    ADD,
    BOTH,
    HERS,
    HIS,
    KEEP,
    LEFT,
    MAX_STRENGTH,
    MIRRORED,
    MOVE,
    NEGATION,
    PERSONS,
    PHRASES,
    PRONOUNS,
    REMOVE,
    RIGHT,
    STRENGTHS,
)
from emoga.guidance.edit_names import (
    BY_HAIR,
    FORMS,
    HAIRY,
    HEAD_MATERIALS,
    HOME,
    INKED,
    ROLES,
    SHADES,
    THINGS,
)
from emoga.guidance.edit_words import Describing, describing, is_known, is_named, noun
from emoga.guidance.rewording import reworded

BREAK = re.compile(
    r"[,;.!?:()]|\s[-\u2013\u2014]+\s|\u2014|(?=\bexcept\b)|\b(?:and|but|with|while|plus|then|also|or|nor|though|whereas)\b"
)
WORD = re.compile(r"#[0-9a-f]{6}\b|\d+|[^\W\d_](?:[\w'-]*[^\W_])?")
GIVING = {"give", "gives", "add", "has", "have", "having", "get", "wants", "needs", "put"}
ARTICLES = {"a", "an", "the", "some", "left", "right", "more", "less"}
# Adjectives that need no noun and do not look for one in the clause before.
OF_THEMSELVES = {"age", "weight", "femininity", "masculinity", "muscle", "tan", "pallor", "flush"}
DRAWN = {"a", "an", "draw", "add", "put", "paint"}
# Before a thing not seen yet.
WORKS = {"a", "an", "some"}
VERSIONS = {"version", "figure", "figurine", "copy", "likeness", "rendering", "portrait", "head"}
OWNERS = {"the", "his", "her", "its", "their", "your"}


def clauses(text: str) -> list[list[str]]:
    """The clauses of an instruction as words, phrases joined and hyphens resolved."""
    text = text.lower().replace("\u2019", "'").replace("&", " and ").replace("%", " percent")
    text = reworded(text)
    for phrase in sorted(PHRASES, key=len, reverse=True):
        pattern = r"(?<![\w-])" + re.escape(phrase).replace(r"\ ", r"[\s-]+") + r"(?![\w-])"
        text = re.sub(pattern, PHRASES[phrase], text)
    found = [[part for word in WORD.findall(clause) for part in _parts(word)] for clause in BREAK.split(text)]
    return _with_nouns([clause for clause in found if clause])


def _with_nouns(found: list[list[str]]) -> list[list[str]]:
    """ "fuller | redder lips" are fuller lips and redder lips; "a thin | golden earring" is one earring."""
    whole: list[list[str]] = []
    for words in reversed(found):
        follows = Clause(whole[-1]) if whole else None
        if follows is None or not follows.nouns or not _awaits(words) or not _led_by_adjectives(follows):
            whole.append(words)
        elif follows.things:
            whole[-1] = [*words, *whole[-1]]
        else:
            at = follows.nouns[0][0]
            sides = (
                []
                if set(words) & (LEFT | RIGHT)
                else [word for word in whole[-1][:at] if word in LEFT | RIGHT]
            )
            whole.append([*words, *sides, whole[-1][at]])
    return whole[::-1]


def _awaits(words: list[str]) -> bool:
    """Whether a clause is of adjectives only, of which none is about a person."""
    clause = Clause(words)
    spoken_of = clause.present & (HIS | HERS) and not clause.present & GIVING
    plain = (
        not clause.nouns and not clause.unknown and not clause.present & (KEEP | REMOVE | NEGATION | PRONOUNS)
    )
    about_parts = all(
        word.axis not in OF_THEMSELVES and not word.implied and (not word.material or word.colour)
        for word in clause.adjectives
    )
    last = max((at for at, word in enumerate(words) if word not in LEFT | RIGHT), default=-1)
    at_end = clause.adjectives and clause.adjectives[-1].at == last
    return bool(plain and about_parts and at_end and not spoken_of)


def _led_by_adjectives(clause: Clause) -> bool:
    before = set(range(clause.nouns[0][0]))
    described = {word.at for word in clause.adjectives}
    small = {
        at
        for at in before
        if clause.words[at] in ARTICLES or clause.words[at] in STRENGTHS or clause.words[at] in SHADES
    }
    return bool(before & described) and before <= described | small


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
        """What "a ring", "a stud" or "a piercing" is, is said by the part that wears it; a heart is a tattoo."""
        parts = {name for _, name in self.nouns}
        for index, (at, name) in enumerate(self.nouns):
            if "nose" in parts and name in ("earring", "stud"):
                self.nouns[index] = (at, "nose_ring" if name == "earring" else "nose_stud")
        for at, word in enumerate(self.words):
            if word in FORMS and not parts & HOME.keys() and (parts & {"nose", "ears"} or not parts):
                self.nouns.append((at, FORMS[word]["nose" not in parts]))
            if word in INKED and not parts & HOME.keys() and self.present & DRAWN:
                self.nouns.append((at, "tattoo"))
        self.nouns.sort()

    @property
    def side(self) -> str:
        if self.present & LEFT and self.present & RIGHT:
            return "both"
        if self.present & LEFT:
            return "left"
        if self.present & RIGHT:
            return "right"
        if self.present & BOTH:
            return "both"
        return "other" if "other" in self.present or self.present & MIRRORED else ""

    @property
    def strength(self) -> float:
        """The product of the words that say how much; "a little nose" is a small one."""
        value = 1.0
        for at, word in enumerate(self.words):
            if not (word == "little" and at + 1 < len(self.words) and is_named(self.words[at + 1])):
                value *= STRENGTHS.get(word, 1.0)
        return min(value, MAX_STRENGTH)

    @property
    def bare(self) -> bool:
        """Only nouns, sides and small words."""
        return not self.adjectives and not self.unknown and not self.present & (ADD | REMOVE | MOVE | KEEP)

    @property
    def ages(self) -> bool:
        """ "... like an old lady" says what somebody shall become, "like a doll" how much."""
        return any(word.axis == "age" for word in self.adjectives)

    @property
    def strange_verb(self) -> bool:
        """ "rotate the earrings" asks for something else than earrings."""
        return any(at + 1 < len(self.words) and self.words[at + 1] in OWNERS for at in self.unknown)

    @property
    def denies(self) -> bool:
        """ "not heavier", "no older": what is said not to happen."""
        at_once = any(word.axis and word.at and self.words[word.at - 1] == "no" for word in self.adjectives)
        return bool(self.present & NEGATION) or (at_once and not self.nouns)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def of_work(self, adjective: Describing) -> bool:
        """Whether it tells of the work a head is turned into, not of the head: "an old bronze bust"."""
        article = next((word for word in self.words[adjective.at :: -1] if word in WORKS), "")
        plain = adjective.axis == "age" and not adjective.word.endswith("er")
        made = any(
            word.material in HEAD_MATERIALS and word.at > adjective.at and not word.axis
            for word in self.adjectives
        )
        return bool(plain and made and article and not self.present & PERSONS.keys())

    def is_made_of(self, adjective: Describing) -> bool:
        """Whether a whole head is turned into something of it, whatever that is: "into a wooden puppet"."""
        turned = "into" in self.words[: adjective.at] and not self.nouns
        version = bool(set(self.words[adjective.at + 1 : adjective.at + 3]) & VERSIONS)
        return (turned or version) and adjective.material in HEAD_MATERIALS and not adjective.axis

    def noun_of(self, adjective: Describing) -> tuple[int, str] | None:
        """The noun nearest to an adjective, of two as near the one after it; None when it is a stranger's."""
        if self.words[adjective.at - 1 : adjective.at] == ["in"] and adjective.colour and self.things:
            # "a tattoo under the eye in red".
            return self.things[0]
        if adjective.word in INKED and any(name == "tattoo" for _, name in self.things):
            return next(thing for thing in self.things if thing[1] == "tattoo")
        if adjective.word in BY_HAIR and not any(name in HAIRY for _, name in self.nouns):
            return None
        at = adjective.at + 1
        while at < len(self.words) and at in self.unknown:
            at += 1
        stranger = at > adjective.at + 1 and not (at < len(self.words) and noun(self.words[at]))
        if stranger:
            own = adjective.axis in OF_THEMSELVES and ROLES.fullmatch(self.words[at - 1])
            return None if own else (-1, "")
        return min(
            self.nouns, key=lambda item: (abs(item[0] - adjective.at), item[0] < adjective.at), default=None
        )
