"""Instructions reworded before they are cut into clauses: things exchanged, two sides told apart, years and pounds."""

from __future__ import annotations

import re

from emoga.guidance.edit_names import HOME, MATERIALS
from emoga.guidance.edit_words import noun
from emoga.guidance.spelling import spelt
from emoga.guidance.turns_of_speech import COLOUR, MENDED, put_plainly

# What comes in two, so that "one" and "the other" can be told apart.
TWINS = r"(?:eyebrow|eye|brow|iris|ear|cheek)"
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
    r"\b(?:take|takes|get|gets)\s+(?:all\s+)?(?:of\s+)?"
    r"((?:his|her|the|their|those|these|that)\s[\w\s-]{1,40}?)\s+off\b(?:\s+(?:of\s+)?(?=(?P<whose>his|her|the|their)\b))?"
)
# "nothing should change except the brows": they are what it is about.
ONLY = re.compile(
    r"\b(?:nothing|(?:keep|leave) (?:everything|all)|everything (?:else )?(?:stays|remains|should (?:stay|remain))"
    r"|(?:don't|do not) (?:change|touch|alter|edit) (?:anything|a thing))\b[^.,;:]*?"
    r"\b(?:except|but|apart from|other than)\b(?:\s+for\b)?"
    r"(?P<what>[^,.;:]*?)"
    r"(?:\s+(?:the same|as (?:it|they) (?:is|are|was|were)|alone|unchanged|untouched)\b|(?=[,.;:]|$|\band\b))"
)
# "more than the left one" is only a measure; "hair: blond" is blond hair.
THAN = re.compile(r"\bthan\s+(?:the|his|her|its|their)\b[^,.;:]*")
LISTED = re.compile(r"(^|[,;.]\s*)((?:(?:his|her|the|their|left|right)\s+)*)([a-z]+)\s*:\s*")
# "knock ten years off her": figures of age without the word for it.
YEARS = r"(?:\d+|[a-z]+)\s+years"
YEARS_OFF = re.compile(
    rf"\b(?:knock|take|shave|cut|drop|lose|subtract|wipe|deduct)s?\s+(?:off\s+)?(?:about\s+|around\s+)?({YEARS})"
    r"(?:\s+(?:off|from)\b)?"
)
YEARS_ON = re.compile(rf"\b(?:add|put)s?\s+(?:on\s+)?(?:about\s+|around\s+)?({YEARS})(?:\s+(?:to|on)\b)?")
# "lose a few pounds", "put on ten kilos": weight told by its measure.
POUNDS = r"(?:(?:a|some|few|couple|of|\w+)\s+){0,3}?(?:pounds|lbs?|kilos?|kilograms?|kg|stone)\b"
LIGHTER = re.compile(rf"\b(?:los(?:e|es|ing|t)|shed(?:s|ding)?|drop(?:s|ped|ping)?)\s+{POUNDS}")
HEAVIER = re.compile(rf"\b(?:gain(?:s|ed|ing)?|put(?:s|ting)?\s+on|add(?:s|ed|ing)?)\s+{POUNDS}")
# "in his seventies"; of what is "three shades lighter" only that it is lighter counts.
DECADE = re.compile(
    r"\bin\s+(?:his|her|their)\s+(?:(?:early|mid|late)[\s-]+)?(?:(?P<young>teens|twenties|thirties|[123]0'?s)"
    r"|(?:forties|fifties|sixties|seventies|eighties|nineties|[4-9]0'?s))\b"
)
SHADES_OF = re.compile(r"\b(?:\d+|two|three|four|several|(?:a\s+)?few|(?:a\s+)?couple(?:\s+of)?)\s+shades\b")
# "look like he's older" is no likeness.
AS_THOUGH = re.compile(r"\b(look(?:s|ed|ing)?)\s+(?:like|as\s+if|as\s+though)\s+(?=(?:he|she|they)\b)")
UNMARKED = re.compile(r"\b(do|does|did|is|are|was|were|wo|ca|should|must|has|have|had)nt\b")
# "some colour in his cheeks" is blood.
COLOUR_IN = re.compile(
    r"\bcolou?r\s+(?:back\s+)?(?:in|into|to)\s+((?:his|her|the|their)\s+(?:cheeks?|face))\b"
)
# "a clay head wearing glasses": what is worn is said of something else than what wears it.
WORN = re.compile(r"(?<!n't)(?<!\bnot)(?<!\bbe)(?<!\bis)(?<!\bare)\s+(?=wearing\b)")
# "not so pale" asks for less of it.
NOT_SO = re.compile(
    r"\bnot\s+(?:quite\s+|nearly\s+)?(?:so|as|that)\s+(?:(?:much|many)\s+)?"
    r"(?=[a-z]+\b(?!\s+as\s+(?:it|they)\b))"
)
NOT_ENOUGH = re.compile(r"\b(?:isn't|aren't|is\s+not|are\s+not|not)\s+([a-z]+)\s+enough\b")
# "she isn't wearing earrings, fix that": what is missing shall come.
MISSING = re.compile(
    r"\b(?:(?:isn't|aren't|not)\s+wearing|(?:doesn't|don't)\s+have|(?:has|have|got)\s+no)\s+"
    r"(?:(?:any|an?|the|his|her|their)\s+)?(?P<thing>[a-z]+)\b(?P<between>[^,;.:!?]*[,;.:!?]?\s*(?:so|please|and|but)?\s*)"
)
NEITHER = re.compile(r"\bneither\s+(.+?)\s+nor\s+")


def reworded(text: str) -> str:
    """An instruction in small letters, as the rules read it."""
    text = UNMARKED.sub(r"\1n't", text)
    text = re.sub(r"[a-z]+(?:'[a-z]+)?", lambda found: spelt(found[0]), text)
    text = put_plainly(text)
    text = LISTED.sub(_listed, THAN.sub(" ", _missing(text)))
    text = YEARS_ON.sub(r"\1 older ", YEARS_OFF.sub(r"\1 younger ", text))
    text = DECADE.sub(lambda found: "young" if found["young"] else "old", text)
    text = SHADES_OF.sub(" ", AS_THOUGH.sub(r"\1 ", text))
    text = COLOUR_IN.sub(r"flushed \1", HEAVIER.sub("heavier", LIGHTER.sub("slimmer", text)))
    text = NOT_ENOUGH.sub(r"more \1", NOT_SO.sub("less ", text))
    text = OF_COLOUR.sub(
        " ",
        ONLY.sub(
            r"\g<what> ",
            TAKEN_OFF.sub(lambda found: f"remove {found[1]}{' of ' if found['whose'] else ''}", text),
        ),
    )
    text = EXCHANGED.sub(lambda found: f"replace {found[1]}, ", _named_again(text))
    text = INSTEAD.sub(", remove", NEITHER.sub(lambda found: f"no {found[1]}, no ", text))
    return TOLD_APART.sub(_sides, WORN.sub(", ", text))


def _named_again(text: str) -> str:
    """ "swap the glasses for round ones": the ones are glasses."""
    found = EXCHANGED.search(text)
    things = [word for word in re.findall(r"[a-z]+", found[1]) if noun(word) in HOME] if found else []
    if not found or not things:
        return text
    said, rest = text[: found.end()], text[found.end() :]
    told = re.sub(r"\bones?\b", things[-1], rest, count=1)
    first = re.split(r"[,.;:!?]|\band\b", rest)[0]
    words = re.findall(r"[a-z]+", first)
    if told == rest and words and words[-1] in MATERIALS and not any(map(noun, words)):
        # "the studs for pearls" are pearl studs.
        told = f"{first.rstrip()} {things[-1]}{rest[len(first) :]}"
    return said + told


def _missing(text: str) -> str:
    """ "she isn't wearing earrings, fix that" and "... add some pearl ones" name the earrings again."""
    found = MISSING.search(text)
    if found is None or noun(found["thing"]) not in HOME:
        return text
    said, rest = text[: found.end()], text[found.end() :]
    told = re.sub(r"\bones?\b", found["thing"], MENDED.sub(f"add {found['thing']}", rest))
    return said[: found.start()] + told if told != rest else text


def _listed(found: re.Match) -> str:
    return f"{found[1]}{found[2]}{found[3]} " if noun(found[3]) else found[0]


def _sides(found: re.Match) -> str:
    part = found["before"] or found["after"] or found["last"] or "eye"
    return f"left {part} {found['first']}, right {part} {found['second']}"
