"""Instructions reworded before they are cut into clauses: things exchanged, two sides told apart, what is complained of."""

from __future__ import annotations

import re

from emoga.guidance.edit_lexicon import MOVE
from emoga.guidance.edit_names import COLOUR_WORDS, HOME, MATERIALS, REGIONS, SHADES
from emoga.guidance.edit_words import ADJECTIVES, noun
from emoga.guidance.spelling import spelt

PARTS_OF_HEAD = set(REGIONS.values())
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
    r"\b(?:take|takes|get|gets)\s+(?:all\s+)?(?:of\s+)?((?:his|her|the|their|those|these|that)\s[\w\s-]{1,40}?)\s+off\b(?:\s+(?:of\s+)?(?=(?P<whose>his|her|the|their)\b))?"
)
# "nothing should change except the brows": they are what it is about.
ONLY = re.compile(
    r"\b(?:nothing|keep everything|leave everything|keep all|leave all)\b[^.,;:]*?"
    r"\b(?:except|but|apart from|other than)\b(?:\s+for\b)?"
    r"(?P<what>[^,.;:]*?)(?:\s+(?:the same|as (?:it|they) (?:is|are|was|were)|alone|unchanged|untouched)\b|(?=[,.;:]|$|\band\b))"
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
NOT_SO = re.compile(r"\bnot\s+(?:quite\s+|nearly\s+)?(?:so|as|that)\s+(?=[a-z]+\b(?!\s+as\s+(?:it|they)\b))")
NOT_ENOUGH = re.compile(r"\b(?:isn't|aren't|is\s+not|are\s+not|not)\s+([a-z]+)\s+enough\b")
# "she isn't wearing earrings, fix that": what is missing shall come.
MISSING = re.compile(
    r"\b(?:(?:isn't|aren't|not)\s+wearing|(?:doesn't|don't)\s+have|(?:has|have|got)\s+no)\s+"
    r"(?:(?:any|an?|the|his|her|their)\s+)?(?P<thing>[a-z]+)\b(?P<between>[^,;.:!?]*[,;.:!?]?\s*(?:so|please|and|but)?\s*)"
)
MENDED = re.compile(
    r"\b(?:fix|change|correct|remedy|rectify)\s+(?:that|this|it)\b|\bdo\s+something\s+about\s+(?:that|this|it)\b"
)
# "I don't like how big his ears are": they are too big.
COMPLAINED = re.compile(
    r"\b(?:(?:do\s+not|don't|doesn't|never)\s+(?:really\s+)?(?:like|love)|hates?|dislikes?|can't\s+stand|not\s+a\s+fan\s+of"
    r"|(?:sick|tired)\s+of|(?:not|un)\s*happy\s+with|bothered\s+by|bothers\s+me)\s+how\s+"
    r"(?P<how>[a-z-]+)\s+(?P<what>(?:his|her|their|the)\s[\w\s-]{1,30}?)\s+(?P<is>is|are|looks?)\b"
)
# "pierce her ears" asks for what is worn there, unless it is said.
PIERCED = re.compile(r"\bpierced?\s+((?:[a-z]+\s+){0,2}(?:ears?|earlobes?|nose|nostrils?))\b(?!\s+with)")
# Where skin gets its tan.
HOLIDAY = re.compile(
    r"\b(?:spent|been|(?:just\s+)?(?:came|come|got|back|returned|home)|after|fresh)\b(?:\s+[\w']+){0,6}?"
    r"\s+(?:beach|holidays?|vacation|seaside|tropics|caribbean|summer|surfing)\b"
)
# What is said for the sake of saying it.
CHATTER = re.compile(
    r"\b(?:nothing\s+(?:too\s+)?(?:fancy|crazy|special|extreme|wild|more|else)|that's\s+(?:it|all)|that\s+is\s+all"
    r"|if\s+(?:that's\s+|it's\s+|it\s+is\s+|at\s+all\s+)?(?:possible|ok(?:ay)?|you\s+(?:can|could|please|don't\s+mind)|not\s+too\s+much\s+trouble)"
    r"|thanks?\s+(?:you\s+)?(?:so\s+much|a\s+lot|in\s+advance|very\s+much)|many\s+thanks|cheers|no\s+rush"
    r"|(?:just\s+)?for\s+(?:fun|a\s+laugh)|as\s+a\s+joke|to\s+be\s+honest|tbh|lol|haha|you\s+know|i\s+mean|would\s+you\s+mind"
    r"|is\s+it\s+possible\s+to|i\s+was\s+(?:wondering\s+if\s+you\s+could|hoping\s+(?:you\s+could|for))|in\s+my\s+opinion)\b"
)
# "his right ear is bigger than the left, fix that": what shall be mended is too much.
LAMENTED = re.compile(
    r"\b(?P<is>is|are|looks?)\s+(?!not\b|too\b|missing\b)(?P<how>[a-z-]+)(?P<rest>[^,.;:!?]*)[,.;:!?]\s*(?:and\s+|so\s+|please\s+|can\s+you\s+)*"
    + MENDED.pattern
)
DECADES = re.compile(r"\b(?:(?P<one>an?|one)|(?P<two>two|2|a\s+couple\s+of)|(?P<three>three|3)|(?P<four>four|4))\s+decades?\b")
# "half as wide", "twice the size".
HALF = re.compile(r"\bhalf\s+(?:as|so)\s+([a-z]+)(?:\s+as\s+(?:it|they)\s+(?:is|are|was|were)|\s+as\s+now)?\b")
TWICE = re.compile(r"\b(?:twice|double|two\s+times|three\s+times)\s+(?:as|so)\s+([a-z]+)(?:\s+as\s+(?:it|they)\s+(?:is|are|was|were)|\s+as\s+now)?\b")
HALF_OF, TWICE_OF = (
    re.compile(rf"\b{often}\s+(?:of\s+)?(?:the|its|their|his|her)\s+(?=(?:size|width|length|height|thickness|volume|wrinkles|freckles|stubble|makeup)\b)")
    for often in ("half", "(?:twice|double|two\\s+times)")
)
# "as red as a tomato", "blond like a Viking": what it is likened to says nothing more.
SIMILE = re.compile(
    r"\b(?:as\s+)?(?P<how>[a-z-]+)(?P<of>(?:\s+(?:hair|skin|lips|eyes|cheeks|brows|nose|teeth|face))?)\s+(?:as|like)\s+"
    r"(?!(?:if|though|it|they|he|she|is|are|possible|well|before|in|the\s+other|the\s+left|the\s+right)\b)"
    r"(?:(?:an?|the|some|that|those)\s+)?(?:(?:true|real|natural|proper|fresh|old|young)\s+)?[\w-]+(?:'s)?(?:\s+of\s+\w+)?\b"
)
AGED = re.compile(
    r"\b(look(?:s|ing)?|be|is|appear|seem)\s+(?:like\s+)?(?:about\s+|around\s+|roughly\s+|to\s+be\s+)*"
    r"(\d\d|forty|fifty|sixty|seventy|eighty|thirty|twenty)(?:[\s-]something|ish)?\b(?!\s*(?:percent|years?|%))"
)
TONED = re.compile(r"\b(?:tone|dial|turn|play)\s+((?:his|her|the|their|that)\s[\w\s-]{1,30}?)\s+(?:down|back)\b")
PUT_AWAY = re.compile(r"\bput\s+((?:his|her|the|their|those|that)\s[\w\s-]{1,30}?)\s+away\b")
SAME = re.compile(r"(?:^|(?<=[,;.:])|\band\b|\bbut\b|\bwith\b)\s*(?:with\s+)?(?:the\s+)?same\s+(?=[a-z]+\s*(?:$|[,;.:!?]|\band\b|\bas\b))")
LIGHTER_BY = re.compile(rf"\b{POUNDS}\s+(?:lighter|less)\b")
BLEMISHES = re.compile(
    r"\b(?:remove|erase|get\s+rid\s+of|clear(?:\s+up)?|heal|hide|no|without|delete|clean\s+up|fix|retouch)\s+(?:(?:his|her|the|their|any|all|those|these)\s+)*"
    r"(?:acne|pimples?|blemish(?:es)?|zits?|pores|imperfections|spots\s+on\s+the\s+skin)\b"
)
# "round glasses, not square ones", "pink rather than red": what is not wanted says nothing more.
NOT_THAT = re.compile(rf"(?<=\w)\s*,?\s+(?:and\s+)?not\s+(?:{COLOUR}|square|round|thick|thin)(?:\s+ones?)?\s*(?=$|[,.;:!?]|\band\b|\bplease\b)")
RATHER = re.compile(rf"\brather\s+({COLOUR})\s+than\s+{COLOUR}\b")
# Of two sides told one after another without a comma.
SIDE_BY_SIDE = re.compile(rf"\b((?:left|right)(?:\s+\w+)?\s+{COLOUR})\s+(?=(?:the\s+)?(?:left|right)(?:\s+\w+)?\s+{COLOUR})")
# "move the mole from the left to the right cheek": where it was says nothing more.
FROM_TO = re.compile(
    r"\b(?P<from>from\s+(?:(?:the|his|her|their|one)\s+)?[\w\s]{1,25}?\s+)(?P<to>(?:on)?to\s+(?:(?:the|his|her|their)\s+)?[^,.;:!?]*)"
)
NEITHER = re.compile(r"\bneither\s+(.+?)\s+nor\s+")

def reworded(text: str) -> str:
    """An instruction in small letters, as the rules read it."""
    text = UNMARKED.sub(r"\1n't", text)
    text = re.sub(r"[a-z]+(?:'[a-z]+)?", lambda found: spelt(found[0]), text)
    text = HOLIDAY.sub(" tanned ", CHATTER.sub(" ", text))
    text = COMPLAINED.sub(r"\g<what> \g<is> too \g<how>", PIERCED.sub(r"a piercing in \1", text))
    text = BLEMISHES.sub("smooth skin", PUT_AWAY.sub(r"remove \1", TONED.sub(r"reduce \1", text)))
    text = AGED.sub(r"\1 \2 years old", SAME.sub(" keep ", LIGHTER_BY.sub("slimmer", text)))
    text = SIDE_BY_SIDE.sub(r"\1, ", RATHER.sub(r"\1", NOT_THAT.sub(" ", text)))
    text = FROM_TO.sub(_moved_there, text) if set(re.findall(r"[a-z]+", text)) & MOVE else text
    text = LAMENTED.sub(r"\g<is> too \g<how>\g<rest>", text)
    text = TWICE_OF.sub("much more ", HALF_OF.sub("less ", TWICE.sub(r"much more \1", HALF.sub(r"less \1", text))))
    text = SIMILE.sub(_likened, DECADES.sub(_years, text))
    text = LISTED.sub(_listed, THAN.sub(" ", _missing(text)))
    text = YEARS_ON.sub(r"\1 older ", YEARS_OFF.sub(r"\1 younger ", text))
    text = DECADE.sub(lambda found: "young" if found["young"] else "old", text)
    text = SHADES_OF.sub(" ", AS_THOUGH.sub(r"\1 ", text))
    text = COLOUR_IN.sub(r"flushed \1", HEAVIER.sub("heavier", LIGHTER.sub("slimmer", text)))
    text = NOT_ENOUGH.sub(r"more \1", NOT_SO.sub("less ", text))
    text = OF_COLOUR.sub(
        " ",
        ONLY.sub(
            r"\g<what> ", TAKEN_OFF.sub(lambda found: f"remove {found[1]}{' of ' if found['whose'] else ''}", text)
        ),
    )
    text = EXCHANGED.sub(lambda found: f"replace {found[1]}, ", _named_again(text))
    text = INSTEAD.sub(", remove", NEITHER.sub(lambda found: f"no {found[1]}, no ", text))
    return TOLD_APART.sub(_sides, WORN.sub(", ", text))


def _moved_there(found: re.Match) -> str:
    """The place that something moves to, with the name of the part that only the place before it has."""
    parts = [word for word in re.findall(r"[a-z]+", found["from"]) if noun(word) in PARTS_OF_HEAD]
    named = any(noun(word) in PARTS_OF_HEAD for word in re.findall(r"[a-z]+", found["to"]))
    return found["to"] if named or not parts else f"{found['to']} {parts[-1]}"


def _years(found: re.Match) -> str:
    return f"{10 * (1 + ['one', 'two', 'three', 'four'].index(found.lastgroup))} years"


def _likened(found: re.Match) -> str:
    """A comparison goes when what it explains has been said: "red as a tomato", not "something like a tomato"."""
    plain = found["how"] in ADJECTIVES or found["how"] in COLOUR_WORDS
    return f"{found['how']}{found['of']}" if plain else found[0]


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
