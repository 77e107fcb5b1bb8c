"""What `emoga edit` understands, written out from the tables that it is understood by."""

from __future__ import annotations

from emoga.editing.abilities import MADE_THINGS, MATERIAL_NAMES, can
from emoga.editing.painting import PAINTED_AWAY, PAINTED_THINGS
from emoga.guidance import Operation
from emoga.guidance.edit_lexicon import ATTRIBUTES, AXES, REVERSED, STRENGTHS
from emoga.guidance.edit_names import COLOUR_WORDS, MATERIALS, REGIONS, STYLES, THINGS


def vocabulary() -> dict[str, dict[str, list[str]]]:
    """Sections of name -> words; only what the parametric method can do."""
    return {
        "whole head": _attributes("person"),
        **{_title(part): found for part, found in _parts()},
        "materials of the whole head": {name: _synonyms(MATERIALS, name) for name in MATERIAL_NAMES},
        "things to add": {name: _synonyms(THINGS, name) for name in sorted({*MADE_THINGS, *PAINTED_THINGS, "makeup"})},
        "things to remove": {name: _synonyms(THINGS, name) for name in sorted(PAINTED_AWAY)}
        | {"what an edit put on": sorted(MADE_THINGS)},
        "materials of things": {name: _synonyms(MATERIALS, name) for name in sorted(set(MATERIALS.values()))},
        "styles of things": {name: _synonyms(STYLES, name) for name in sorted(set(STYLES.values()))},
        "colours, also dark, light, bright and #rrggbb": {
            name: _synonyms(COLOUR_WORDS, name) for name in sorted(set(COLOUR_WORDS.values()))
        },
        "strengths": {f"{value:g}": [word for word in STRENGTHS if STRENGTHS[word] == value]
                      for value in sorted(set(STRENGTHS.values()))},
    }  # fmt: skip


def vocabulary_text() -> str:
    """The vocabulary for the terminal."""
    lines = [
        "Say what is to change: make him older; slightly fuller lips; blond hair, but keep the brows.",
        "Left and right are the subject's. In brackets are synonyms, or examples of adjectives.",
    ]
    for section, entries in vocabulary().items():
        lines += ["", section]
        lines += [
            f"  {name}" + (f"  ({', '.join(words)})" if words else "") for name, words in entries.items()
        ]
    return "\n".join(lines)


def _title(part: str) -> str:
    synonyms = _synonyms(REGIONS, part)
    return f"{part} ({', '.join(synonyms)})" if synonyms else part


def _parts() -> list[tuple[str, dict[str, list[str]]]]:
    found = [(part, _attributes(part)) for part in sorted(set(REGIONS.values()))]
    return [(part, attributes) for part, attributes in found if attributes]


def _attributes(part: str) -> dict[str, list[str]]:
    """Attributes of a part that can be changed, with adjectives for more and for less of them."""
    found: dict[str, list[str]] = {}
    for axis, attribute in ATTRIBUTES[part].items():
        step = Operation("change", part, attribute)
        if attribute == "material" or not can(step):
            continue
        if attribute == "colour":
            found["colour"] = ["any colour"]
            continue
        words = found.setdefault(attribute, ["more:", "less:"])
        sides = AXES[axis] if (part, axis) not in REVERSED else AXES[axis][::-1]
        for at, side in enumerate(sides):
            said = " ".join(word.partition("*")[0] for word in side.split()[:2])
            words[at] = f"{words[at]} {said}".strip()
    return {name: [word for word in words if not word.endswith(":")] for name, words in found.items()}


def _synonyms(table: dict[str, str], name: str) -> list[str]:
    return [word for word, meant in table.items() if meant == name and word != name]
