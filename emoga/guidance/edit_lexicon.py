"""The words that say what an edit does: phrases, adjectives, strengths, verbs.

Adjectives say an axis and a sign; what an axis means depends on the part of the head: a thick brow is dense, a thick
lip is full. What edits are about has its names in edit_names.py.
"""

from __future__ import annotations


def _words(text: str) -> set[str]:
    return set(text.split())


# Make-up that has a name.
CLOWN = "whiteface, bright red nose, bright red lipstick, blue eyeshadow"
GOTH = "black lipstick, black eyeliner, black eyeshadow, pale skin"
# Phrases that are read as one word, longest first.
PHRASES: dict[str, str] = {
    "five o'clock shadow": "stubble", "5 o'clock shadow": "stubble", "three day beard": "stubble",
    "3 day beard": "stubble", "designer stubble": "stubble", "facial hair": "beard", "clean shaven": "shaved",
    "age spots": "age_spots", "age spot": "age_spots", "liver spots": "age_spots", "sun spots": "age_spots",
    "crow's feet": "wrinkles eyes", "crows feet": "wrinkles eyes", "laugh lines": "wrinkles cheeks",
    "smile lines": "wrinkles cheeks", "frown lines": "wrinkles forehead", "worry lines": "wrinkles forehead",
    "dark circles": "dark_circles", "bags under": "dark_circles", "eye bags": "dark_circles",
    "under-eye circles": "dark_circles",
    "sick of": "remove", "tired of": "remove", "fed up with": "remove", "bored of": "remove", "bored with": "remove",
    "don't want": "remove",
    "do not want": "remove", "doesn't want": "remove", "doesn't need": "remove", "does not need": "remove",
    "don't like": "remove", "do not like": "remove", "doesn't like": "remove", "can't stand": "remove",
    "shouldn't be wearing": "remove",
    "should not be wearing": "remove", "shouldn't wear": "remove", "should not wear": "remove",
    "shouldn't have": "remove", "should not have": "remove", "mustn't wear": "remove", "mustn't have": "remove",
    "no longer": "remove",
    "should go": "remove", "must go": "remove", "has to go": "remove", "have to go": "remove",
    "needs to go": "remove",
    "take it off": "remove it", "take them off": "remove them", "take that off": "remove it",
    "shave it off": "remove it", "wash it off": "remove it", "wipe it off": "remove it",
    "viewer's left": "right", "viewer's right": "left", "camera left": "right", "camera right": "left",
    "image left": "right", "image right": "left", "picture's left": "right", "picture's right": "left",
    "full face of makeup": "makeup", "full face of make up": "makeup",
    "clown makeup": CLOWN, "clown make up": CLOWN, "clown face": CLOWN, "clown's makeup": CLOWN,
    "clown's make up": CLOWN, "clown's face": CLOWN, "makeup of a clown": CLOWN, "make up of a clown": CLOWN,
    "a clown": CLOWN, "clown": CLOWN, "clown nose": "bright red nose", "clown's nose": "bright red nose",
    "goth makeup": GOTH, "goth make up": GOTH, "gothic makeup": GOTH, "gothic make up": GOTH,
    "sunbathing": "tanned", "sunbathed": "tanned", "a day in the sun": "tanned",
    "tired": "dark_circles", "exhausted": "dark_circles", "sleepy": "dark_circles", "sleep deprived": "dark_circles",
    "grandmother": "old woman", "grandma": "old woman", "granny": "old woman", "grandfather": "old man",
    "grandpa": "old man",
    "ill": "pale", "sick": "pale", "unwell": "pale", "anaemic": "pale", "anemic": "pale",
    "beauty spot": "mole", "beauty mark": "mole", "birth mark": "mole",
    "nose ring": "nose_ring", "septum ring": "nose_ring", "septum piercing": "nose_ring",
    "nose stud": "nose_stud", "nose piercing": "nose_stud", "nose pin": "nose_stud",
    "ear stud": "stud", "stud earring": "stud", "stud earrings": "stud both", "ear studs": "stud both",
    "ear ring": "earring", "ear rings": "earrings", "ear piercing": "stud",
    "sun glasses": "sunglasses", "dark glasses": "sunglasses", "head band": "headband", "sweat band": "headband",
    "baseball cap": "cap", "woolly hat": "beanie", "wool hat": "beanie", "bobble hat": "beanie",
    "top hat": "tophat", "bowler hat": "bowler", "cowboy hat": "cowboy hat",
    "eye shadow": "eyeshadow", "eye liner": "eyeliner", "make up": "makeup", "make-up": "makeup",
    "smoky eyes": "black eyeshadow", "smoky eye": "black eyeshadow", "smokey eye": "black eyeshadow",
    "button nose": "small nose", "roman nose": "prominent nose", "hooked nose": "prominent nose",
    "aquiline nose": "prominent nose", "fill in": "thicken", "even out": "smooth", "evened out": "smooth",
    "clear skin": "smooth skin", "clearer skin": "smooth skin",
    "ever so slightly": "slightly", "to the max": "extremely", "as much as possible": "extremely",
    "soul patch": "goatee",
    "mutton chops": "sideburns", "alice band": "headband", "birth marks": "moles", "a great deal": "much",
    "by half": "much", "a ton": "much", "tons of": "much", "loads of": "much",
    "smokey eyes": "black eyeshadow", "lip gloss": "lipstick",
    "cheek bones": "cheekbones", "cheek bone": "cheekbones", "hair line": "hairline", "eye brows": "brows",
    "eye brow": "brow", "lower lip": "lips", "upper lip": "lips", "lower lips": "lips",
    "eye colour": "eyes", "eye color": "eyes", "skin tone": "skin",
    "lose weight": "slimmer", "lost weight": "slimmer", "losing weight": "slimmer", "loses weight": "slimmer",
    "gain weight": "heavier", "gained weight": "heavier", "put on weight": "heavier", "more weight": "heavier",
    "less weight": "slimmer", "thin down": "slimmer", "slim down": "slimmer", "over weight": "overweight",
    "receding hairline": "higher forehead", "higher hairline": "higher forehead", "lower hairline": "lower forehead",
    "lower the hairline": "lower the forehead", "raise the hairline": "raise the forehead",
    "stick out": "protruding", "sticks out": "protruding", "sticking out": "protruding",
    "jug ears": "protruding ears", "like a superhero": "strong", "like superman": "strong",
    "superhero's": "strong", "superhero": "strong", "like an action hero": "strong", "like a movie star": "strong",
    "stand out": "protruding", "stands out": "protruding",
    "tone down": "reduce", "toned down": "reduced", "play down": "reduce", "dial down": "reduce",
    "dial back": "reduce", "scale back": "reduce", "take off": "remove", "takes off": "remove",
    "took off": "remove", "get rid of": "remove", "take away": "remove",
    "don't touch": "keep", "do not touch": "keep", "don't change": "keep", "do not change": "keep",
    "don't alter": "keep", "do not alter": "keep", "without changing": "except", "without touching": "except",
    "without altering": "except", "without making": "except", "never mind": "keep", "not the": "keep",
    "as it is": "keep",
    "as they are": "keep", "as is": "keep",
    "the same": "keep", "hands off": "keep", "other than": "except", "apart from": "except", "aside from": "except",
    "excluding": "except", "not her": "keep", "not his": "keep", "not their": "keep", "not its": "keep",
    "no change to": "keep", "no changes to": "keep", "without any change to": "except", "nothing about": "keep",
    "shouldn't change": "keep", "should not change": "keep", "must not change": "keep", "mustn't change": "keep",
    "stay put": "keep", "stays put": "keep", "left alone": "keep", "let be": "keep", "off limits": "keep",
    "don't mess with": "keep", "do not mess with": "keep", "don't go near": "keep", "should stay": "keep",
    "must stay": "keep", "stays": "keep", "stay as": "keep as", "remain as": "keep as",
    "not too much": "slightly", "not too many": "slightly", "too much": "too_much", "too many": "too_much",
    "a tiny bit": "slightly",
    "a little bit": "slightly", "a wee bit": "slightly",
    "a lot": "much", "lots of": "much", "a touch": "slightly", "a tad": "slightly", "a hint of": "slightly",
    "a shade": "slightly", "one shade": "slightly", "1 shade": "slightly",
    "salt and pepper": "greying", "salt-and-pepper": "greying",
    "red head": "redhead", "red haired": "redhead", "cartoon character": "cartoon", "rose gold": "rose_gold",
    "stainless steel": "steel", "tortoise shell": "brown", "rosy cheeked": "rosy cheeks",
    "made out of": "of", "made of": "of", "looks like": "resembling",
    "look like": "resembling", "looking like": "resembling", "looked like": "resembling", "resemble": "resembling",
}  # fmt: skip

# Axes of adjectives: +1 words, -1 words. A figure after a word is its own strength.
AXES: dict[str, tuple[str, str]] = {
    "size": ("big bigger biggest large larger huge*1.5 enormous*1.5 giant*1.5 gigantic*1.5 massive*1.5 enlarge"
             " enlarged",
             "small smaller tiny*1.5 teeny minuscule*1.5 little-sized shrink shrunk shrunken petite tinier*1.5"),
    "width": ("wide wider widen widened broad broader broaden square squarer", "narrow narrower narrowed"),
    "length": ("long longer grow grows grown lengthen lengthened elongate elongated",
               "short shorter shorten shortened cut trim trimmed crop cropped"),
    "height": ("high higher raise raised lift lifted tall", "low lower lowered"),
    "thickness": ("thick thicker thicken thickened lush bushy bushier dense denser",
                  "thin thinner thinned sparse sparser slim slender fine finer skinny skinnier slimmer"
                  " pencil-thin plucked"),
    "fullness": ("swollen full fuller plump plumper plumped pouty voluptuous luscious", "thin-lipped deflated"),
    "volume": ("chubby chubbier puffy puffier", "hollow hollower sunken gaunt saggy sagging droopy"),
    "roundness": ("round rounder rounded", "angular chiselled chiseled oval"),
    "prominence": ("prominent protruding bold bolder strong stronger strengthen strengthened accentuate accentuated"
                   " pronounced defined projecting jutting",
                   "weak weaker flat flatter flattened receding closer pin pinned tuck tucked"),
    "opening": ("open opened wide-open", "squinty closed half-closed"),
    "slope": ("sloping slanted sloped", "steep vertical"),
    "pointedness": ("pointed pointy pointier sharp sharper", "blunt"),
    "lightness": ("light lighter lighten lightened bright brighter brighten brightened fair fairer whiter whiten",
                  "dark darker darken darkened"),
    "shine": ("shiny shinier glossy glossier oily oilier greasy dewy glowing radiant luminous", "matte dull powdered"),
    "smoothness": ("smooth smoother smoothed flawless airbrushed soft softer soften softened silky velvety",
                   "rough rougher weathered leathery coarse bumpy"),
    "curl": ("curly curlier wavy curled frizzy kinky", "straight straighter straightened"),
    "pallor": ("pale paler pallid ashen sickly pasty ghostly wan bloodless", "healthy healthier"),
    "tan": ("tan warm warmer tanned tanner suntanned sunkissed sun-kissed bronzed", ""),
    "flush": ("flushed flush rosy rosier ruddy blushing reddened sunburnt sunburned sunburn", ""),
    "age": ("old older aged age elderly*1.3 senior aging ageing ancient*1.5 mature middle-aged",
            "young younger youthful rejuvenate"
            " rejuvenated teenage juvenile childlike baby-faced"),
    "weight": ("heavy heavier fat fatter fattened overweight obese*1.5 stout stouter corpulent hefty tubby stocky",
               "lean leaner slimmed bony"
               " emaciated*1.5 skeletal*1.5 thinned-down"),
    "femininity": ("feminine womanly girly feminised feminized feminise feminize ladylike", ""),
    "masculinity": ("masculine manly manlier macho masculinised masculinized masculinise masculinize virile", ""),
    "muscle": ("muscular beefy burly", ""),
}  # fmt: skip
# Nouns of axes, for "increase the width of the nose".
AXIS_NOUNS = {
    "size": "size", "width": "width", "length": "length", "height": "height", "thickness": "thickness",
    "fullness": "fullness", "volume": "volume", "roundness": "roundness", "prominence": "prominence",
    "weight": "weight", "brightness": "lightness", "lightness": "lightness", "femininity": "femininity",
    "masculinity": "masculinity", "tan": "tan", "pallor": "pallor", "shine": "shine", "sheen": "shine",
    "redness": "flush", "paleness": "pallor", "curls": "curl",
}  # fmt: skip
# What an axis means for a part of the head, where it means anything.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "person": {
        "age": "age", "weight": "weight", "femininity": "femininity", "masculinity": "masculinity",
        "muscle": "muscle", "thickness": "weight", "volume": "weight", "material": "material",
    },
    "face": {
        "size": "width", "width": "width", "length": "length", "roundness": "roundness", "thickness": "width",
        "volume": "roundness", "fullness": "roundness",
    },
    "skin": {
        "lightness": "lightness", "tan": "tan", "pallor": "pallor", "flush": "flush", "smoothness": "smoothness",
        "shine": "shine", "colour": "colour",
    },
    "hair": {
        "colour": "colour", "lightness": "lightness", "length": "length", "thickness": "thickness",
        "volume": "thickness", "fullness": "thickness", "curl": "curl", "shine": "shine",
    },
    "forehead": {"height": "height", "size": "height", "slope": "slope", "width": "width"},
    "brows": {
        "height": "height", "thickness": "thickness", "fullness": "thickness", "size": "thickness",
        "colour": "colour", "lightness": "lightness", "prominence": "lightness",
    },
    "eyes": {
        "size": "size", "opening": "opening", "width": "opening", "colour": "colour", "lightness": "lightness",
        "roundness": "opening",
    },
    "lashes": {"length": "length", "thickness": "thickness", "colour": "colour", "lightness": "lightness"},
    "nose": {
        "size": "size", "width": "width", "thickness": "width", "length": "length", "prominence": "prominence",
        "colour": "colour", "flush": "flush", "fullness": "size", "volume": "size",
    },
    "cheeks": {
        "volume": "volume", "fullness": "volume", "size": "volume", "roundness": "volume", "thickness": "volume",
        "prominence": "volume",
        "flush": "flush", "colour": "colour", "pallor": "pallor",
    },
    "cheekbones": {"height": "prominence", "prominence": "prominence", "size": "prominence", "pointedness":
                   "prominence", "width": "prominence"},
    "lips": {
        "fullness": "fullness", "thickness": "fullness", "size": "fullness", "volume": "fullness", "colour": "colour",
        "lightness": "lightness", "width": "width", "shine": "shine", "roundness": "fullness", "prominence": "fullness",
        "pallor": "lightness",
    },
    "mouth": {"width": "width", "size": "width", "height": "height"},
    "teeth": {"lightness": "lightness", "colour": "colour", "size": "size"},
    "jaw": {"width": "width", "size": "width", "prominence": "width", "thickness": "width", "pointedness": "width",
            "smoothness": "width", "roundness": "width"},
    "chin": {
        "width": "width", "height": "height", "length": "height", "prominence": "prominence", "size": "height",
        "pointedness": "width", "thickness": "width", "roundness": "width", "smoothness": "prominence",
    },
    "ears": {
        "size": "size", "length": "size", "width": "size", "prominence": "prominence", "colour": "colour",
        "flush": "flush", "pointedness": "pointedness",
    },
    "neck": {"thickness": "thickness", "width": "thickness", "size": "thickness", "length": "length"},
    "temples": {"colour": "colour", "lightness": "lightness"},
}  # fmt: skip
# (part, axis) whose adjective means less of the attribute: a pointed chin is a narrow one.
REVERSED = {("chin", "pointedness"), ("jaw", "pointedness"), ("brows", "prominence"), ("jaw", "smoothness"),
            ("jaw", "roundness"), ("chin", "smoothness")}  # fmt: skip
# Skin is meant when these are said of a face.
SKIN_AXES = {"lightness", "tan", "pallor", "flush", "smoothness", "shine", "colour"}
# What an adjective of this axis is about when no part is named.
DEFAULT_REGION = {
    "age": "person", "weight": "person", "femininity": "person", "masculinity": "person", "muscle": "person",
    "thickness": "person", "volume": "person", "tan": "skin", "pallor": "skin", "flush": "skin", "smoothness": "skin",
}  # fmt: skip

STRENGTHS: dict[str, float] = {
    "barely": 0.2, "faintly": 0.3, "faint": 0.3, "slightly": 0.4, "slight": 0.4, "subtly": 0.4, "subtle": 0.4,
    "bit": 0.4, "little": 0.4, "mildly": 0.5, "mild": 0.5, "somewhat": 0.6, "gently": 0.5, "touch": 0.4, "few": 0.5,
    "moderately": 0.7, "moderate": 0.7, "rather": 0.8, "fairly": 0.8, "quite": 1.1, "clearly": 1.2, "really": 1.3,
    "very": 1.3, "strongly": 1.4, "heavily": 1.5, "significantly": 1.4, "considerably": 1.4, "noticeably": 1.2,
    "much": 1.5, "far": 1.5, "lot": 1.5, "many": 1.5, "dramatically": 1.7, "drastically": 1.7, "extremely": 2.0,
    "totally": 1.6, "completely": 1.6, "way": 1.5, "super": 1.5, "intensely": 1.6, "massively": 1.8,
    "terribly": 1.5, "awfully": 1.5, "badly": 1.4, "incredibly": 1.7, "insanely": 1.8, "ridiculously": 1.8,
    "hugely": 1.7, "greatly": 1.5,
    "vastly": 1.6, "smidge": 0.4, "smidgen": 0.4, "notch": 0.4, "fraction": 0.4, "modestly": 0.5, "modest": 0.5,
    "minimally": 0.3, "marginally": 0.3,
}  # fmt: skip
MAX_STRENGTH = 2.0
NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30,
    "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
}  # fmt: skip

LESS = _words("lose loses losing lost less fewer reduce reduced decrease decreased diminish fade weaken")
MORE = _words("gain gains gained more increase increased enhance emphasise emphasize intensify boost")
REMOVE = _words(
    "remove removed without no erase delete lose shave wash clean hide undo neither eliminate ditch gone vanish "
    "vanishes disappear disappears discard hate hates dislike dislikes"
)
ADD = _words("add put give wear wears wearing place draw apply get insert pierce pierced")
MOVE = _words("move shift relocate transfer slide swap switch mirror flip")
MIRRORED = {"mirror", "flip"}
# Said of what there is more of than there should be.
TOO_MUCH = "too_much"
KEEP = _words("keep keeping preserve preserving retain leave leaving except unchanged untouched intact stay")
# What goes so that something else may come.
REPLACE = _words("replace")
NEGATION = _words("not don't dont never isn't aren't doesn't didn't wasn't weren't can't won't shouldn't")
# What a thing named before is called.
PRONOUNS = _words("it them that those these")
UP_DOWN = {"up": "up", "upwards": "up", "higher": "up", "down": "down", "downwards": "down", "lower": "down"}
LEFT, RIGHT, BOTH = {"left"}, {"right"}, {"both", "each", "pair", "either"}
# Adjectives that are whole operations.
IMPLIED = {
    "shave": ("remove", "stubble"),
    "shaved": ("remove", "stubble"), "shaven": ("remove", "stubble"), "beardless": ("remove", "stubble"),
    "whiteface": ("change", "skin", "colour", "", "white"),
    "bald": ("remove", "hair"), "balding": ("remove", "hair"), "hairless": ("remove", "hair"),
}  # fmt: skip
# Persons, for "an old woman": said of somebody else than "her" they change how feminine a face is.
PERSONS = {
    "woman": "femininity", "lady": "femininity", "girl": "femininity", "female": "femininity",
    "man": "masculinity", "gentleman": "masculinity", "guy": "masculinity", "male": "masculinity",
    "boy": "masculinity",
}  # fmt: skip
HERS, HIS = {"her", "she", "hers"}, {"him", "he", "his"}
# Words that make more of a part than a head has.
IMPOSSIBLE = {
    "third",
    "extra",
    "second",
    "another",
    "additional",
    "three",
    "four",
    "five",
    "double",
    "multiple",
}
FILLERS = _words(
    "a an the his her their its my your him she he it they them of in on at to is are be being that this these those "
    "make makes making made turn turns turning into as if look looks looking appear appears have has having had let "
    "get gets getting become becomes change changes changing set him himself herself person someone somebody one man "
    "woman lady girl boy guy male female subject character head portrait avatar with without for from by so please "
    "should would could can must want like would i you we need only just all over around across along above below "
    "under underneath beneath behind beside between inside onto "
    "near next side sides part area colour color coloured colored colors colours tone shade hue kind type sort "
    "style some any there which who what more most and or but while also too then now plus even much very still again "
    "rimmed framed frame frames rim made dye dyed paint painted tint tinted wear wearing worn upper inner outer "
    "front back middle center centre top bottom corner tip bridge set instead than before other opposite figure "
    "figurine rendering version same years year rest everything else exactly alone does do did will "
    "i'd whole entire about approximately carved sculpted cast resembling percent look's "
    "carve sculpt chisel out she'd he'd they'd i've better nicer prettier best good great if were was been seems "
    "heterochromia pls plz thanks thank kindly ones likewise similarly well any anymore none prefer i'm he's she's "
    "build physique overall throughout altogether generally entirely appearance features wire lens lenses "
    "mirrored reading natural statue sculpture bust bands band pattern shape shaped design picture image "
    "through got needs need ink hey "
    "hello ok okay maybe perhaps actually bring brings possible think believe find feel guess reckon see love"
)  # fmt: skip

# Why a word cannot be had, for the line that says so.
HINTS: list[tuple[set[str], str]] = [
    (
        _words("smile smiling smiles happy sad angry laugh laughing frown frowning surprised disgusted wink "
            "blink crying expression grin neutral scared afraid"),
        "expressions are played, not edited: emoga reenact --emotion",
    ),
    (
        _words("background room beach sky scene lighting light sunset environment lamp backdrop"),
        "there is only a head: emoga reenact --background sets what is behind it",
    ),
    ({"into"}, "a head stays a head; it can be of marble, bronze, clay, stone, wood, jade or a metal, or a cartoon"),
    (_words("turn rotate nod tilt pose looking gaze camera zoom"), "poses come from a motion: emoga reenact"),
    (_words("taller shirt dress suit body shoulders shoulder arms hands legs wings tail jacket tie clothes"),
     "an avatar ends at the neck"),
    (_words("crown tiara helmet hood turban hijab"), "the nearest are a hat and a headband"),
    (_words("monocle pince-nez lorgnette"), "the nearest is glasses"),
    (_words("necklace choker scarf"), "an avatar ends at the neck; the nearest are an earring and a headband"),
    (_words("highlights streaks ombre dip-dyed"), "hair takes one colour as a whole, or greys"),
    (_words("wig fringe bangs ponytail braid braids dreadlocks mohawk haircut"),
     "hair keeps its shape; its colour can change, and a hat covers it"),
    ({"resembling"}, "no formula knows what others look like; name what makes the likeness"),
]  # fmt: skip
