"""What single words of an instruction mean: which are nouns, which describe, and what a description does to a part."""

from __future__ import annotations

from dataclasses import dataclass

from emoga.guidance.edit_lexicon import (
    ADD,
    ATTRIBUTES,
    AXES,
    AXIS_NOUNS,
    BOTH,
    DEFAULT_REGION,
    FILLERS,
    HERS,
    HIS,
    IMPLIED,
    IMPOSSIBLE,
    KEEP,
    LEFT,
    LESS,
    MORE,
    MOVE,
    NEGATION,
    NUMBERS,
    PERSONS,
    REMOVE,
    REVERSED,
    RIGHT,
    SKIN_AXES,
    STRENGTHS,
    TOO_MUCH,
    UP_DOWN,
)
from emoga.guidance.edit_names import (
    COLOUR_WORDS,
    FIGURES,
    HAIR_ONLY,
    HEAD_MATERIALS,
    INKED,
    MATERIALS,
    NOT_MADE_OF,
    REGIONS,
    SHADES,
    STYLES,
    THINGS,
)
from emoga.guidance.edit_plan import Operation

ROSY = "rose"
SHADE_NAMES = {-1: "dark ", 1: "light ", 0: "bright "}
SMALL = (
    FILLERS | LESS | MORE | REMOVE | ADD | MOVE | KEEP | NEGATION | LEFT | RIGHT | BOTH | HERS | HIS
    | {TOO_MUCH} | UP_DOWN.keys() | STRENGTHS.keys() | IMPOSSIBLE | AXIS_NOUNS.keys()
)  # fmt: skip


def _adjectives() -> dict[str, tuple[str, int, float]]:
    """Word -> axis, sign, strength."""
    found: dict[str, tuple[str, int, float]] = {}
    for axis, sides in AXES.items():
        for sign, words in zip((1, -1), sides, strict=True):
            for entry in words.split():
                word, _, strength = entry.partition("*")
                found[word] = (axis, sign, float(strength or 1))
    return found


ADJECTIVES = _adjectives()


@dataclass(frozen=True)
class Describing:
    """A describing word at place `at` of a clause, with all that it can mean.

    axis, sign: of AXES; colour: with its shade; hair: said of hair when no noun is near; figure: of a whole head.
    """

    at: int
    word: str
    axis: str = ""
    sign: int = 1
    strength: float = 1.0
    colour: str = ""
    material: str = ""
    style: str = ""
    hair: bool = False
    implied: tuple[str, ...] | None = None


def noun(word: str) -> str:
    """The part or thing that a word names, or nothing."""
    return THINGS.get(word) or REGIONS.get(word) or ""


def is_named(word: str) -> bool:
    """Whether a word is a noun of some kind, shapes that are drawn on skin among them."""
    return bool(noun(word)) or word in INKED


def is_known(word: str) -> bool:
    """Whether a word means anything here."""
    tables = (ADJECTIVES, COLOUR_WORDS, MATERIALS, STYLES, SHADES, FIGURES, IMPLIED, SMALL)
    return (
        bool(noun(word))
        or word.startswith("#")
        or word.isdigit()
        or word in NUMBERS
        or word in PERSONS
        or any(word in table for table in tables)
    )


def describing(words: list[str]) -> list[Describing]:
    """The describing words of a clause, shades joined with their colours."""
    found: list[Describing] = []
    figure = any(word in FIGURES for word in words)
    for at, word in enumerate(words):
        follows = words[at + 1] if at + 1 < len(words) else ""
        before = words[at - 1] if at else ""
        if (
            (noun(word) and word not in COLOUR_WORDS)
            or _is_shade(word, follows)
            or (before == "from" and word in COLOUR_WORDS)
        ):
            continue
        # "a little thinner" says how much, "a little nose" how large.
        if word in STRENGTHS and (not is_named(follows) if follows else before == "a"):
            continue
        if _is_spare_colour(before, word, follows):
            continue
        meant = _describing(at, word, TOO_MUCH if TOO_MUCH in words else before)
        if meant is not None:
            found.append(meant)
    if figure and not any(word.material for word in found) and not NOT_MADE_OF & set(words):
        at = next(at for at, word in enumerate(words) if word in FIGURES)
        found.append(Describing(at, words[at], material=FIGURES[words[at]]))
    found += _by_nouns(words)
    return sorted(found, key=lambda word: word.at)


def _is_shade(word: str, follows: str) -> bool:
    return word in SHADES and (follows in COLOUR_WORDS or follows in SHADES)


def _is_spare_colour(before: str, word: str, follows: str) -> bool:
    """Of two colours the first says more, "emerald green", unless it only leans that way, "reddish brown"."""
    if word not in COLOUR_WORDS:
        return False
    if word.endswith("ish") and follows in COLOUR_WORDS:
        return True
    return before in COLOUR_WORDS and not before.endswith("ish")


def _describing(at: int, word: str, before: str) -> Describing | None:
    axis, sign, strength = ADJECTIVES.get(word, ("", 1, 1.0))
    # What is too large shall be smaller.
    sign = -sign if before in ("too", TOO_MUCH) else sign
    colour = word if word.startswith("#") else COLOUR_WORDS.get(word, "")
    if colour and not colour.startswith("#") and before in SHADES:
        colour = SHADE_NAMES[SHADES[before]] + colour
    material, style, implied = MATERIALS.get(word, ""), STYLES.get(word, ""), IMPLIED.get(word)
    if word == "little" and before not in ("a", ""):
        axis, sign, style = "size", -1, "small"
    if not (axis or colour or material or style or implied):
        return None
    return Describing(at, word, axis, sign, strength, colour, material, style, word in HAIR_ONLY, implied)


def _by_nouns(words: list[str]) -> list[Describing]:
    """ "increase the width": an axis by its noun, where a word says more or less of it."""
    said = next((word for word in words if word in LESS | MORE | REMOVE | ADD), "")
    # A word of less turns every adjective after it round, so these say more; "take the shine off" does not.
    sign = -1 if said in REMOVE - LESS else 1
    return [
        Describing(at, word, AXIS_NOUNS[word], sign)
        for at, word in enumerate(words)
        if said and word in AXIS_NOUNS
    ]


def resolve(adjective: Describing, part: str, side: str, less: bool) -> Operation | None:
    """What an adjective asks of a part of the head ("" is none named); None when it means nothing there."""
    if adjective.implied:
        return None if less and adjective.implied[0] == "remove" else Operation(*adjective.implied)
    # What is too yellow shall be less so.
    less = less or (bool(adjective.colour) and not adjective.axis and adjective.sign < 0)
    if adjective.material and part in ("", "person", "face", "skin"):
        return _made_of(adjective, part)
    if part == "lips" and adjective.axis == "flush":
        # Lips are always flushed: rosy ones have the colour of it.
        return None if less else Operation("change", "lips", "colour", colour=ROSY)
    if adjective.colour and part not in ("", "person"):
        return _coloured(adjective, part, side, less)
    return _moved(adjective, part, side, less)


def _coloured(adjective: Describing, part: str, side: str, less: bool) -> Operation | None:
    name = adjective.colour
    if part in ("face", "skin", "cheeks", "nose", "ears") and name == "red":
        return Operation(
            "change", "skin" if part == "face" else part, "flush", "less" if less else "more", side=side
        )
    if less:
        # Of teeth and eyes that have a colour, the white is meant.
        return Operation("change", part, "lightness", "more") if part == "teeth" else None
    if part in ("face", "skin") and name in ("black", "brown", "dark brown", "white"):
        return Operation("change", "skin", "lightness", "more" if name == "white" else "less")
    if part == "hair" and name == "gold":
        name = "blond"
    part = "skin" if part == "face" else part
    if "colour" not in ATTRIBUTES.get(part, {}):
        return None
    return Operation("change", part, "colour", colour=name, side=side)


def _made_of(adjective: Describing, part: str) -> Operation | None:
    if part == "skin" and adjective.material in ("bronze", "gold", "copper"):
        return Operation("change", "skin", "tan", "more")
    if adjective.material not in HEAD_MATERIALS:
        return None
    return Operation("change", "person", "material", material=adjective.material)


def _moved(adjective: Describing, part: str, side: str, less: bool) -> Operation | None:
    axis = adjective.axis
    if not axis:
        return None
    own = ATTRIBUTES.get(part, {})
    if part and axis not in own and axis == "weight":
        axis = "thickness"
    if part == "face" and axis not in own and axis in SKIN_AXES:
        part = "skin"
    elif axis not in own and (not part or part == "face" or axis in ("age", "femininity", "masculinity")):
        part = DEFAULT_REGION.get(axis, "")
    attribute = ATTRIBUTES.get(part, {}).get(axis)
    if attribute is None:
        return None
    sign = adjective.sign * (-1 if less else 1) * (-1 if (part, axis) in REVERSED else 1)
    side = side if side in ("left", "right") and part != "person" else ""
    return Operation("change", part, attribute, "more" if sign > 0 else "less", side=side)
