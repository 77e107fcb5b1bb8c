"""Turns of speech put plainly: comparisons, complaints, measures, what is said of both sides, and chatter."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import MOVE
from emoga.guidance.edit_names import COLOUR_WORDS, REGIONS, SHADES
from emoga.guidance.edit_words import ADJECTIVES, noun

WORD = re.compile(r"[a-z]+")
PARTS = set(REGIONS.values())
COLOUR = rf"(?:(?:{'|'.join(SHADES)})\s+)?(?:{'|'.join(sorted(COLOUR_WORDS, key=len, reverse=True))})"
OWNER = r"(?:his|her|their|the|that|those)"
END = r"(?=\s*(?:$|[,;.:!?]|\band\b|\bplease\b))"
AS_NOW = r"(?:\s+as\s+(?:(?:it|they)\s+(?:is|are|was|were)|now))?"
# What is said for the sake of saying it.
CHATTER = re.compile(
    r"\b(?:nothing\s+(?:too\s+)?(?:fancy|crazy|special|extreme|wild|more|else)|that's\s+(?:it|all)|that\s+is\s+all"
    r"|if\s+(?:that's\s+|it's\s+|it\s+is\s+|at\s+all\s+)?(?:possible|ok(?:ay)?|you\s+(?:can|could|please|don't\s+mind))"
    r"|thanks?\s+(?:you\s+)?(?:so\s+much|a\s+lot|in\s+advance|very\s+much)|many\s+thanks|cheers|no\s+rush"
    r"|(?:just\s+)?for\s+(?:fun|a\s+laugh)|as\s+a\s+joke|to\s+be\s+honest|tbh|lol|haha|you\s+know|i\s+mean"
    r"|would\s+you\s+mind|is\s+it\s+possible\s+to|in\s+my\s+opinion"
    r"|i\s+was\s+(?:wondering\s+if\s+you\s+could|hoping\s+(?:you\s+could|for)))\b"
)
# Where skin gets its tan.
HOLIDAY = re.compile(
    r"\b(?:spent|been|(?:just\s+)?(?:came|come|got|back|returned|home)|after|fresh)\b(?:\s+[\w']+){0,6}?"
    r"(?:\s+(?:beach|holidays?|vacation|seaside|tropics|caribbean|summer|surfing))+\b"
)
BLEMISHES = re.compile(
    r"\b(?:remove|erase|get\s+rid\s+of|clear(?:\s+up)?|heal|hide|no|without|delete|clean\s+up|fix|retouch)\s+"
    r"(?:(?:his|her|the|their|any|all|those|these)\s+)*"
    r"(?:acne|pimples?|blemish(?:es)?|zits?|pores|imperfections|spots\s+on\s+the\s+skin)\b"
)
# "pierce her ears" asks for what is worn there, unless it is said.
PIERCED = re.compile(r"\bpierced?\s+((?:[a-z]+\s+){0,2}(?:ears?|earlobes?|nose|nostrils?))\b(?!\s+with)")
TONED = re.compile(rf"\b(?:tone|dial|turn|play)\s+({OWNER}\s[\w\s-]{{1,30}}?)\s+(?:down|back)\b")
DROPPED = re.compile(rf"(^|[,;.]\s*|\band\s+)drop\s+(?={OWNER}\s)")
PUT_AWAY = re.compile(rf"\bput\s+({OWNER}\s[\w\s-]{{1,30}}?)\s+away\b")
SAME = re.compile(
    r"(?:^|(?<=[,;.:])|\band\b|\bbut\b|\bwith\b)\s*(?:with\s+)?(?:the\s+)?same\s+(?=[a-z]+\s*(?:$|[,;.:!?]|\b(?:and|as)\b))"
)
# "smaller ears, especially the left": both all the same.
ESPECIALLY = re.compile(
    r"\s*,?\s*\b(?:and\s+)?(?:especially|particularly|mainly|above\s+all)\s+(?:the|his|her)\s+(?:left|right)(?:\s+one)?\b"
)
# Of two sides told one after another without a comma.
SIDE_BY_SIDE = re.compile(
    rf"\b((?:left|right)(?:\s+\w+)?\s+{COLOUR})\s+(?=(?:the\s+)?(?:left|right)(?:\s+\w+)?\s+{COLOUR})"
)
# "move the mole from the left to the right cheek": where it was says nothing more.
FROM_TO = re.compile(
    r"\b(?P<from>from\s+(?:(?:the|his|her|their|one)\s+)?[\w\s]{1,25}?\s+)"
    r"(?P<to>(?:on)?to\s+(?:(?:the|his|her|their)\s+)?[^,.;:!?]*)"
)

# "I don't like how big his ears are": they are too big. So is what shall be mended.
COMPLAINED = re.compile(
    r"\b(?:(?:do\s+not|don't|doesn't|never)\s+(?:really\s+)?(?:like|love)|hates?|dislikes?|can't\s+stand"
    r"|not\s+a\s+fan\s+of|(?:sick|tired)\s+of|(?:not\s+|un)happy\s+with|bothered\s+by)\s+how\s+"
    r"(?P<how>[a-z-]+)\s+(?P<what>(?:his|her|their|the)\s[\w\s-]{1,30}?)\s+(?P<is>is|are|looks?)\b"
)
MENDED = re.compile(
    r"\b(?:fix|change|correct|remedy|rectify)\s+(?:that|this|it)\b|\bdo\s+something\s+about\s+(?:that|this|it)\b"
)
LAMENTED = re.compile(
    r"\b(?P<is>is|are|looks?)\s+(?!not\b|too\b|missing\b)(?P<how>[a-z-]+)(?P<rest>[^,.;:!?]*)[,.;:!?]\s*"
    rf"(?:and\s+|so\s+|please\s+|can\s+you\s+)*(?:{MENDED.pattern})"
)
# "round glasses, not square ones", "rather pink than red": what is not wanted says nothing more.
NOT_THAT = re.compile(
    rf"(?<=\w)\s*,?\s+(?:and\s+)?not\s+(?:{COLOUR}|square|round|thick|thin)(?:\s+ones?)?{END}"
)
RATHER = re.compile(rf"\brather\s+({COLOUR})\s+than\s+{COLOUR}\b")
# "as red as a tomato", "blond like a Viking": what it is likened to says nothing more.
SIMILE = re.compile(
    r"\b(?:as\s+)?(?P<how>[a-z-]+)(?P<of>(?:\s+(?:hair|skin|lips|eyes|cheeks|brows|nose|teeth|face))?)\s+(?:as|like)\s+"
    r"(?!(?:if|though|it|they|he|she|is|are|possible|well|before|in|the\s+other|the\s+left|the\s+right)\b)"
    r"(?:(?:an?|the|some|that|those)\s+)?(?:(?:true|real|natural|proper|fresh|old|young)\s+)?"
    r"[\w-]+(?:'s)?(?:\s+of\s+\w+)?\b"
)

# "the lips, which should be red": what is said of them is what shall be done.
WHICH = re.compile(r"\s*,?\s+(?:which|that)\s+(?=(?:should|must|shall|could|needs?|ought)\b)")
DEEPER = re.compile(rf"\b(deep|bright)er\s+(?={COLOUR}\b)")
# Colour on lids is worn; the lids' own nobody means.
LIDS = r"(?:eye)?lids?"
LIDS_IN = re.compile(
    rf"\b{LIDS}\s+(?:(?:painted|coloured|colored|made\s+up|in|with|should|be|are)\s+)*({COLOUR})\b"
)
LIDS_OF = re.compile(rf"\b({COLOUR})\s+{LIDS}\b")

AGED = re.compile(
    r"\b(look(?:s|ing)?|be|is|appear|seem)\s+(?:like\s+)?(?:about\s+|around\s+|roughly\s+|to\s+be\s+)*"
    r"(\d\d|twenty|thirty|forty|fifty|sixty|seventy|eighty)(?:[\s-]something|ish)?\b(?!\s*(?:percent|years?|%))"
)
DECADES = re.compile(
    r"\b(?:(?P<one>an?|one)|(?P<two>two|2|a\s+couple\s+of)|(?P<three>three|3)|(?P<four>four|4))\s+decades?\b"
)
POUNDS = r"(?:(?:a|some|few|couple|of|\w+)\s+){0,3}?(?:pounds|lbs?|kilos?|kilograms?|kg|stone)\b"
LIGHTER_BY = re.compile(rf"\b{POUNDS}\s+(?:lighter|less)\b")
# "half as wide", "twice the size".
TIMES = r"(?:twice|double|two\s+times|three\s+times)"
COUNTED = r"wrinkles|freckles|stubble|makeup"
HALF_MANY = re.compile(
    rf"\bhalf\s+(?:(?:as|so)\s+(?:many|much)\b{AS_NOW}|(?:of\s+)?(?:the|his|her|their)\s+(?={COUNTED}))"
)
TWICE_MANY = re.compile(rf"\b{TIMES}\s+(?:as|so)\s+(?:many|much)\b{AS_NOW}")
HALF = re.compile(rf"\bhalf\s+(?:as|so)\s+([a-z]+){AS_NOW}\b")
TWICE = re.compile(rf"\b{TIMES}\s+(?:as|so)\s+([a-z]+){AS_NOW}\b")
MEASURES = rf"(?=(?:size|width|length|height|thickness|volume|{COUNTED})\b)"
HALF_OF, TWICE_OF = (
    re.compile(rf"\b{often}\s+(?:of\s+)?(?:the|its|their|his|her)\s+{MEASURES}") for often in ("half", TIMES)
)


def put_plainly(text: str) -> str:
    """An instruction in small letters, correctly spelt, without such turns."""
    text = HOLIDAY.sub(" tanned ", ESPECIALLY.sub(" ", CHATTER.sub(" ", text)))
    text = DROPPED.sub(r"\1remove ", text)
    text = BLEMISHES.sub("smooth skin", PUT_AWAY.sub(r"remove \1", TONED.sub(r"reduce \1", text)))
    text = SAME.sub(" keep ", PIERCED.sub(r"a piercing in \1", text))
    text = SIDE_BY_SIDE.sub(r"\1, ", RATHER.sub(r"\1", NOT_THAT.sub(" ", text)))
    if set(WORD.findall(text)) & MOVE:
        text = FROM_TO.sub(_moved_there, text)
    text = COMPLAINED.sub(r"\g<what> \g<is> too \g<how>", LAMENTED.sub(r"\g<is> too \g<how>\g<rest>", text))
    text = DECADES.sub(_years, AGED.sub(r"\1 \2 years old", LIGHTER_BY.sub("slimmer", text)))
    text = LIDS_OF.sub(
        r"\1 eyeshadow", LIDS_IN.sub(r"\1 eyeshadow", DEEPER.sub(r"\1 ", WHICH.sub(" ", text)))
    )
    text = TWICE_MANY.sub("much more", HALF_MANY.sub("slightly fewer ", text))
    text = TWICE.sub(r"much more \1", HALF.sub(r"less \1", text))
    return SIMILE.sub(_likened, TWICE_OF.sub("much more ", HALF_OF.sub("less ", text)))


def _moved_there(found: re.Match) -> str:
    """The place that something moves to, with the name of the part that only the place before it has."""
    parts = [word for word in WORD.findall(found["from"]) if noun(word) in PARTS]
    named = any(noun(word) in PARTS for word in WORD.findall(found["to"]))
    return found["to"] if named or not parts else f"{found['to']} {parts[-1]}"


def _years(found: re.Match) -> str:
    return f"{10 * (1 + ['one', 'two', 'three', 'four'].index(found.lastgroup))} years"


def _likened(found: re.Match) -> str:
    """A comparison goes when what it explains has been said: "red as a tomato", not "something like a tomato"."""
    plain = found["how"] in ADJECTIVES or found["how"] in COLOUR_WORDS
    return f"{found['how']}{found['of']}" if plain else found[0]
