"""What the parametric method can do, and what it says of the rest."""

from __future__ import annotations

from emoga.editing.eyewear import glasses, sunglasses
from emoga.editing.headwear import hat, headband
from emoga.editing.jewellery import earring, nose_ring, nose_stud, stud
from emoga.editing.marks import age_spots, eyeliner, freckles, mole, scar, wrinkles
from emoga.editing.materials import SUBSTANCES
from emoga.editing.painting import PAINTED_AWAY, PAINTED_THINGS, PAINTS
from emoga.editing.shapes import SHAPES
from emoga.editing.tattoos import tattoo
from emoga.guidance import Operation
from emoga.guidance.edit_lexicon import ADD
from emoga.guidance.planning import hint_for

MADE_THINGS = {
    "glasses": glasses, "sunglasses": sunglasses, "earring": earring, "stud": stud, "nose_ring": nose_ring,
    "nose_stud": nose_stud, "hat": hat, "headband": headband, "wrinkles": wrinkles, "freckles": freckles,
    "age_spots": age_spots, "mole": mole, "scar": scar, "tattoo": tattoo, "eyeliner": eyeliner,
}  # fmt: skip
MATERIAL_NAMES = (*SUBSTANCES, "cartoon")


def _change(part: str, attribute: str, direction: str, strength: float = 1.0, **rest: str) -> Operation:
    return Operation("change", part, attribute, direction, strength=strength, **rest)


# Operations that stand for several, at strength 1; the shape of the operation itself comes on top.
COMPOUNDS: dict[tuple[str, str, str], list[Operation]] = {
    ("person", "age", "more"): [
        Operation("add", "wrinkles", strength=0.9), _change("hair", "colour", "", 0.75, colour="grey"),
        _change("brows", "colour", "", 0.35, colour="grey"), _change("skin", "pallor", "more", 0.25),
        _change("lips", "fullness", "less", 0.5), _change("lips", "colour", "", 0.25, colour="nude"),
        Operation("add", "age_spots", strength=0.6), Operation("add", "dark_circles", strength=0.5),
        _change("ears", "size", "more", 0.35),
    ],
    ("person", "age", "less"): [
        _change("skin", "smoothness", "more", 0.9), _change("lips", "colour", "", 0.15, colour="rose"),
        _change("lips", "fullness", "more", 0.15), _change("eyes", "size", "more", 0.1),
        _change("hair", "lightness", "less", 0.35),
    ],
    ("person", "femininity", "more"): [
        _change("skin", "smoothness", "more", 0.6), Operation("remove", "stubble", strength=0.5),
        _change("lips", "colour", "", 0.3, colour="rose"), _change("brows", "thickness", "less", 0.5),
        _change("lips", "fullness", "more", 0.15), _change("jaw", "width", "less", 0.4),
        Operation("add", "eyeliner", strength=0.35),
    ],
    ("person", "masculinity", "more"): [
        _change("brows", "thickness", "more", 0.5), Operation("add", "stubble", strength=0.45),
        _change("jaw", "width", "more", 0.4), _change("lips", "colour", "", 0.2, colour="nude"),
    ],
    ("", "makeup", "add"): [
        Operation("add", "lipstick", strength=0.7, colour="rose"), Operation("add", "eyeshadow", strength=0.6),
        Operation("add", "eyeliner", strength=0.8), Operation("add", "blush", strength=0.8),
    ],
}  # fmt: skip


def parts_of(step: Operation) -> list[Operation]:
    """The operations that a compound one stands for, without itself."""
    if step.target == "makeup" and step.action == "add":
        return COMPOUNDS["", "makeup", "add"]
    direction = step.direction
    attribute = step.attribute
    if (step.target, direction) == ("person", "less") and attribute in ("femininity", "masculinity"):
        attribute = "masculinity" if attribute == "femininity" else "femininity"
        direction = "more"
    return COMPOUNDS.get((step.target, attribute, direction), [])


def can(step: Operation) -> bool:
    """Whether the method knows how."""
    if step.action == "add":
        return step.target in MADE_THINGS or step.target in PAINTED_THINGS or bool(parts_of(step))
    if step.action == "remove":
        # A thing that an earlier edit put on can always be taken off; whether there is one shows later.
        return step.target in PAINTED_AWAY or step.target in MADE_THINGS
    if step.action == "move":
        return step.target in MADE_THINGS
    if step.attribute == "material":
        return step.material in MATERIAL_NAMES
    return (step.target, step.attribute) in SHAPES or (step.target, step.attribute) in PAINTS


def why_not(phrase: str) -> str:
    """One line about a refused phrase, with what can be put on where it asks for a thing."""
    hint = hint_for(phrase)
    if not hint and ADD & set(phrase.split()):
        hint = f"it can add {_things()}"
    return f"{phrase!r} cannot be done here" + (f": {hint}" if hint else "")


def nearest(step: Operation) -> str:
    """One line about an operation that the method does not know, with the nearest that it does."""
    own = sorted({attribute for part, attribute in (*SHAPES, *PAINTS) if part == step.target})
    if own:
        return f"{step.words()}: not possible; of {step.target} it can change {', '.join(own)}"
    if step.action == "remove" and step.target in (*PAINTED_THINGS, "makeup"):
        return f"{step.words()}: not possible; what an edit painted on comes off with --undo"
    if step.target == "beard":
        return f"{step.words()}: not possible; the nearest is stubble"
    return f"{step.words()}: not possible; it can add {_things()}"


def _things() -> str:
    return ", ".join(sorted({*MADE_THINGS, *PAINTED_THINGS}))


OTHER_WAYS = (
    "emoga edit --vocabulary lists all; anything else is learnt from edited pictures: --method edit3dgs --track FILE "
    "--editor with the folder of a diffusion editor, or images:DIR"
)
