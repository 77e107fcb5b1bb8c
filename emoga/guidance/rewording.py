"""Instructions reworded before they are cut into clauses: words misspelt, things exchanged, two sides told apart."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import (
    ADD,
    BOTH,
    IMPLIED,
    KEEP,
    LEFT,
    LESS,
    MORE,
    PHRASES,
    REMOVE,
    RIGHT,
    STRENGTHS,
)
from emoga.guidance.edit_names import COLOUR_WORDS, FIGURES, MATERIALS, REGIONS, SHADES, STYLES, THINGS
from emoga.guidance.edit_words import ADJECTIVES, is_known, noun

# What comes in two, so that "one" and "the other" can be told apart.
TWINS = r"(?:eyebrow|eye|brow|iris|ear|cheek)"
COLOUR = rf"(?:(?:{'|'.join(SHADES)})\s+)?(?:{'|'.join(sorted(COLOUR_WORDS, key=len, reverse=True))})"
TOLD_APART = re.compile(
    rf"\bone\s+(?:of\s+\w+\s+)?(?:(?P<before>{TWINS})s?\s+)?(?:is\s+|in\s+)?(?P<first>{COLOUR})\b(?:\s+(?P<after>{TWINS})s?)?"
    rf"\s*,?\s+(?:and\s+)?(?:one|the\s+other|another)\s+(?:one\s+)?(?:{TWINS}\s+)?(?:is\s+|in\s+)?(?P<second>{COLOUR})\b"
    rf"(?:\s+(?P<last>{TWINS})s?)?"
)
# "swap the hat for a headband", "a headband instead of the hat": one goes, another comes.
EXCHANGED = re.compile(r"\b(?:swap|exchange|trade|switch|substitute|replace)\s+(.+?)\s+(?:for|by|with)\s+")
INSTEAD = re.compile(r"\b(?:instead|in place|in lieu) of\b|\brather than\b")
OF_COLOUR = re.compile(rf"\b(?:instead of|rather than)\s+{COLOUR}(?:\s+ones?)?\b")
TAKEN_OFF = re.compile(
    r"\b(?:take|takes|get|gets)\s+((?:his|her|the|their|those|these|that)\s[\w\s-]{1,40}?)\s+off\b"
)
# "nothing should change except the brows": they are what it is about.
ONLY = re.compile(
    r"\b(?:nothing|keep everything|leave everything|keep all|leave all)\b[^.,;:]*?"
    r"\b(?:except|but|apart from|other than)\b(?:\s+for\b)?"
)
# "more than the left one" is only a measure; "hair: blond" is blond hair.
THAN = re.compile(r"\bthan\s+(?:the|his|her|its|their)\b[^,.;:]*")
LISTED = re.compile(r"(^|[,;.]\s*)((?:(?:his|her|the|their|left|right)\s+)*)([a-z]+)\s*:\s*")
NEITHER = re.compile(r"\bneither\s+(.+?)\s+nor\s+")
# A word misspelt is one letter away from one that is known; which letters may differ depends on its length.
SHORTEST, SPARE_FROM, OTHER_FROM = 4, 6, 7
# Words that are right, though a known one is near.
GOOD = set(
    re.findall(
        r"\w+",
        "banana bear bears bond bow brad browser cape chain chains crown cured fact faster finger fingers hood line "
        "mask note pear perl pin printed pump quit scarf shot state states tail tick wings",
    )
)
_KNOWN = {
    word
    for table in (
        ADJECTIVES, COLOUR_WORDS, MATERIALS, STYLES, FIGURES, IMPLIED, REGIONS, THINGS, STRENGTHS, ADD, BOTH, KEEP,
        LEFT, LESS, MORE, REMOVE, RIGHT,
    )
    for word in table
    if word.isalpha() and len(word) >= SHORTEST
}  # fmt: skip
_SAID = {word for phrase in PHRASES for word in re.findall(r"[a-z]+", phrase)}


def reworded(text: str) -> str:
    """An instruction in small letters, as the rules read it."""
    text = re.sub(r"[a-z]+(?:'[a-z]+)?", lambda found: spelt(found[0]), text)
    text = LISTED.sub(_listed, THAN.sub(" ", text))
    text = OF_COLOUR.sub(" ", ONLY.sub(" ", TAKEN_OFF.sub(lambda found: f"remove {found[1]}", text)))
    text = EXCHANGED.sub(lambda found: f"replace {found[1]}, ", text)
    text = INSTEAD.sub(", remove", NEITHER.sub(lambda found: f"no {found[1]}, no ", text))
    return TOLD_APART.sub(_sides, text)


def spelt(word: str) -> str:
    """The known word that a misspelt one must be, or the word itself."""
    known = COLOUR_WORDS if len(word) < SHORTEST else _KNOWN
    if len(word) < SHORTEST - 1 or not word.isalpha() or word in GOOD or word in _SAID or is_known(word):
        return word
    near = [other for other in known if other[0] == word[0] and _one_slip(word, other)]
    return near[0] if len(near) == 1 else word


def _listed(found: re.Match) -> str:
    return f"{found[1]}{found[2]}{found[3]} " if noun(found[3]) else found[0]


def _sides(found: re.Match) -> str:
    part = found["before"] or found["after"] or found["last"] or "eye"
    return f"left {part} {found['first']}, right {part} {found['second']}"


def _one_slip(word: str, known: str) -> bool:
    """Two letters in the wrong order, one doubled or not, and in longer words one missing, spare or another."""
    at = next(
        (i for i, (a, b) in enumerate(zip(word, known, strict=False)) if a != b), min(len(word), len(known))
    )
    mine, theirs = word[at:], known[at:]
    if len(word) == len(known):
        swapped = mine[:2] == theirs[1::-1] and mine[2:] == theirs[2:]
        return swapped or (len(word) >= OTHER_FROM and mine[1:] == theirs[1:])
    if len(word) + 1 == len(known):
        return mine == theirs[1:]
    spare = len(word) == len(known) + 1 and mine[1:] == theirs
    return spare and (word[at] == word[at - 1] or len(word) >= SPARE_FROM)
