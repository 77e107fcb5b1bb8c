"""Words as the tables of edits have them: misspelt ones mended, other forms brought back to the known one."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import (
    ADD,
    BOTH,
    HINTS,
    IMPLIED,
    KEEP,
    LEFT,
    LESS,
    MORE,
    MOVE,
    PHRASES,
    REMOVE,
    RIGHT,
    STRENGTHS,
)
from emoga.guidance.edit_names import COLOUR_WORDS, FIGURES, MATERIALS, REGIONS, STYLES, THINGS
from emoga.guidance.edit_words import ADJECTIVES, is_known

# A word misspelt is one letter away from one that is known; which letters may differ depends on its length.
SHORTEST, SPARE_FROM, OTHER_FROM = 4, 6, 7
SAID_MOST = ("give", "make", "turn", "keep", "hair", "nose", "eyes", "lips", "the", "and", "his", "her", "with",
             "without", "please", "look", "change", "should")  # fmt: skip
# Words that are right, though a known one is near.
GOOD = set(
    re.findall(
        r"\w+",
        "banana bear bears blur blurred blurry bond bow brad browser cape chain chains crown cured fact "
        "faster finger fingers hood line "
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
# Endings of other forms of a word, with what the known form has instead, likeliest first.
ENDINGS = (("iest", "y"), ("ier", "y"), ("est", ""), ("est", "e"), ("er", ""), ("er", "e"), ("ening", "en"),
           ("ened", "en"), ("ens", "en"), ("ening", ""), ("ened", ""), ("ens", ""), ("en", ""), ("en", "e"),
           ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("es", ""), ("s", ""), ("y", ""))  # fmt: skip
_INFLECTED = {*ADJECTIVES, *COLOUR_WORDS, *LESS, *MORE, *REMOVE, *ADD, *MOVE, *KEEP}
# Forms that are words of their own: lighting is no light one.
_OWN = set().union(*(words for words, _ in HINTS))
_SAID = {word for phrase in PHRASES for word in re.findall(r"[a-z]+", phrase)}


def spelt(word: str) -> str:
    """The known word that a misspelt one must be, or the word itself."""
    known = {*COLOUR_WORDS, *SAID_MOST} if len(word) < SHORTEST else _KNOWN | {*SAID_MOST}
    if len(word) < SHORTEST - 1 or not word.isalpha() or word in GOOD | _SAID | _OWN or is_known(word):
        return word
    if base := _uninflected(word):
        return base
    near = [other for other in known if other[0] == word[0] and _one_slip(word, other)]
    return near[0] if len(near) == 1 else word


def _uninflected(word: str) -> str:
    """The known word of which this is another form: wavy for wavier, deep for deepen; or nothing."""
    for ending, instead in ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < SHORTEST - 1:
            continue
        # "slimming": a letter doubled before the ending.
        forms = (stem + instead, stem[:-1] if not instead and stem[-1] == stem[-2] else "")
        for form in forms:
            if form in _INFLECTED:
                return form
    return ""


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
