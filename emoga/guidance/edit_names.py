"""What edits of a head are about: its parts, things it wears, colours, materials and styles, with their synonyms."""

from __future__ import annotations

import re


def _table(text: str) -> dict[str, str]:
    """Lines `name: words` -> word -> name; a name is a word for itself."""
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        name, _, words = line.strip().partition(":")
        found.update(dict.fromkeys([name, *words.split()], name))
    return found


# Parts of the head.
REGIONS = _table("""
    hair: hairs haired hairstyle hairdo hairline locks tresses mane
    skin: complexion
    face: faced facial visage
    forehead:
    brows: brow eyebrow eyebrows
    eyes: eye eyed peepers iris irises eyelid eyelids lid lids
    lashes: lash eyelashes eyelash
    nose: nosed nostril nostrils snout schnoz
    cheeks: cheek cheeked
    cheekbones: cheekbone
    lips: lip lipped
    mouth: mouths
    teeth: tooth
    jaw: jawline jaws
    chin: chins
    ears: ear eared earlobe earlobes lobe lobes
    neck: throat
    temples: temple
""")

# Things that can be put on a head or taken off it.
THINGS = _table("""
    glasses: spectacles eyeglasses specs goggles
    sunglasses: shades aviators ray-bans
    earring: earrings
    stud: studs
    nose_ring:
    nose_stud:
    hat: hats cap caps beanie beanies toque bowler tophat fedora trilby stetson beret snapback
    headband: headbands hairband sweatband bandana bandanna
    scar: scars scarred
    tattoo: tattoos tattooed tattos tats
    mole: moles birthmark birthmarks
    freckles: freckle freckled freckly
    wrinkles: wrinkle wrinkled wrinkly lines crease creases creased furrows
    age_spots: spots
    dark_circles:
    stubble: stubbly unshaven whiskers scruff scruffy
    beard: beards bearded goatee moustache moustaches mustache sideburns
    lipstick: lippy
    eyeshadow:
    eyeliner: mascara kohl
    blush: blusher rouge
    makeup:
""")
# Where a thing goes by itself; naming that place says nothing more.
HOME = {
    "glasses": {"eyes", "nose", "face", "ears"}, "sunglasses": {"eyes", "nose", "face", "ears"},
    "earring": {"ears"}, "stud": {"ears"}, "nose_ring": {"nose"}, "nose_stud": {"nose"},
    "hat": {"hair", "face"}, "headband": {"hair", "forehead", "face"}, "lipstick": {"lips", "mouth"},
    "eyeshadow": {"eyes", "face"}, "eyeliner": {"eyes", "lashes"}, "blush": {"cheeks", "face"},
    "makeup": {"face", "skin"}, "stubble": {"face", "skin"}, "dark_circles": {"eyes"}, "beard": {"face"},
    "wrinkles": {"face", "skin"}, "freckles": {"face", "skin"}, "age_spots": {"face", "skin"},
    "scar": {"face", "skin"}, "tattoo": {"face", "skin"}, "mole": {"face", "skin"},
}  # fmt: skip
# Things that no side has for itself.
CENTRAL = {"hat", "headband", "glasses", "sunglasses", "makeup"}
# Things that are more or less there; "heavy" and "light" say how much.
GRADED = {"wrinkles", "freckles", "age_spots", "dark_circles", "stubble", "lipstick", "eyeshadow", "eyeliner", "blush",
          "makeup"}  # fmt: skip
PAIRED = {"earring", "stud"}
# What is named by its form alone is said by the part that wears it: a ring in the nose.
FORMS = {
    "ring": ("nose_ring", "earring"), "rings": ("nose_ring", "earring"), "hoop": ("nose_ring", "earring"),
    "hoops": ("nose_ring", "earring"), "piercing": ("nose_stud", "stud"), "piercings": ("nose_stud", "stud"),
}  # fmt: skip
# Shapes that are drawn on skin.
INKED = {"star", "stars", "heart", "hearts", "cross", "crucifix", "moon", "crescent", "teardrop"}
# Words that say a thing and how it looks.
THING_STYLES = {
    "beanie": "beanie", "beanies": "beanie", "toque": "beanie", "trilby": "fedora", "stetson": "fedora",
    "snapback": "cap", "cap": "cap", "caps": "cap", "bowler": "bowler", "tophat": "top",
    "fedora": "fedora", "beret": "beret", "goatee": "goatee", "moustache": "moustache", "moustaches": "moustache",
    "mustache": "moustache", "sideburns": "sideburns", "aviators": "aviator",
}  # fmt: skip

# sRGB in 0..255. Hair and skin have colours of their own where their name means something else there.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (196, 30, 42), "crimson": (170, 16, 40), "pink": (226, 108, 140), "rose": (214, 96, 116),
    "orange": (232, 120, 34), "coral": (236, 106, 86), "peach": (240, 172, 140), "yellow": (236, 204, 52),
    "green": (52, 132, 66), "emerald": (20, 130, 84), "olive": (112, 112, 48), "hazel": (124, 98, 52),
    "turquoise": (42, 168, 168), "teal": (22, 118, 122), "blue": (52, 96, 178), "navy": (24, 36, 84),
    "violet": (112, 62, 160), "purple": (106, 46, 130), "lilac": (176, 148, 204), "plum": (104, 34, 74),
    "burgundy": (106, 18, 40), "maroon": (96, 20, 30), "brown": (104, 66, 40), "chestnut": (98, 52, 30),
    "auburn": (122, 50, 26), "ginger": (176, 86, 34), "copper": (164, 84, 46), "blond": (184, 155, 112),
    "platinum": (226, 216, 196), "beige": (212, 190, 160), "nude": (196, 140, 120), "amber": (166, 98, 28),
    "grey": (148, 148, 150), "silver": (190, 192, 196), "white": (238, 236, 232), "black": (22, 20, 20),
    "gold": (212, 166, 62),
}  # fmt: skip
COLOUR_WORDS = _table("""
    red: redder redden reddish scarlet cherry ruby
    crimson: carmine
    pink: pinker pinkish magenta fuchsia
    rose:
    orange: tangerine
    coral: salmon
    peach:
    yellow: yellower yellowish mustard
    green: greener greenish
    emerald:
    olive: khaki
    hazel:
    turquoise: aqua cyan aquamarine
    teal:
    blue: bluer bluish azure sapphire cobalt
    navy:
    violet: indigo
    purple: purplish
    lilac: lavender mauve
    plum: aubergine berry
    burgundy: wine merlot
    maroon:
    brown: browner brownish brunette brunet caramel chocolate coffee
    chestnut:
    auburn: mahogany
    ginger: redhead strawberry
    blond: blonde blonder fair-haired flaxen sandy honey
    platinum:
    beige:
    nude:
    amber:
    grey: gray greying graying greyer grayer greyish grizzled
    white: snow-white ivory
    black: blacker jet raven ebony
    gold: golden
    silver: silvery
    copper: coppery rust
""")
HAIR_ONLY = {"brunette", "brunet", "redhead", "blond", "blonde", "blonder", "fair-haired", "greying", "graying",
             "ginger", "grizzled", "platinum", "flaxen", "auburn", "sandy"}  # fmt: skip
# Before a colour they change it, alone they are adjectives of their own.
SHADES = {"dark": -1, "darker": -1, "deep": -1, "light": 1, "lighter": 1, "pale": 1, "pastel": 1, "bright": 0}

MATERIALS = _table("""
    marble: alabaster
    bronze: brazen
    clay: terracotta earthenware
    stone: granite sandstone
    plaster: gypsum
    wood: wooden oak
    jade:
    cartoon: cartoonish cartoony comic comics toon anime cel-shaded pixar-like pixar disney
    gold: golden gilded
    rose_gold:
    silver: silvery chrome
    copper:
    steel: metal metallic iron titanium
    pearl: pearls pearly
    diamond: diamonds crystal
    plastic:
    leather:
    wool: woollen woolen knitted
    cloth: cotton fabric felt silk denim
    straw:
    glass:
""")
# Materials that a whole head can be made of; the others are for things it wears.
HEAD_MATERIALS = (
    "marble", "bronze", "clay", "stone", "plaster", "wood", "jade", "cartoon", "gold", "silver", "copper", "steel",
)  # fmt: skip
# What no head is made of, even where a statue is: these are not passed off as marble.
NOT_MADE_OF = {"ice", "chocolate", "glass", "sand", "snow", "wax", "lego", "plastic", "paper", "butter", "candy",
               "cheese", "water", "fire", "balloon", "gummy", "cardboard"}  # fmt: skip
HAIRY = ("hair", "brows", "lashes", "temples", "beard", "stubble")
# Words for people by their hair.
BY_HAIR = {"redhead", "blond", "blonde", "brunette", "brunet", "ginger"}
# People whose age, weight or skin is the subject's.
ROLES = re.compile(
    r"\w*(?:man|men|woman|lady|wife|boy|girl)|sailor|soldier|farmer|wizard|witch|viking|pirate|professor|monk|nun|king|queen"
    r"|bombshell|lumberjack|worker|surfer|rocker|hippie|veteran"
)
FIGURES = {"statue": "marble", "sculpture": "marble", "bust": "marble"}

STYLES = _table("""
    thin: slim slender delicate fine dainty narrow
    thick: chunky heavy wide
    small: little tiny mini
    large: big bigger huge oversized
    long:
    short:
    round: circular rounded
    square: rectangular squared
    aviator: aviators pilot
    cateye: cat-eye
    rimless:
    hoop: hoops creole
    drop: dangling pendant drops dangly
    beanie:
    cap:
    bowler:
    top:
    fedora: cowboy
    beret:
    goatee:
    moustache:
    sideburns:
    star: stars
    heart: hearts
    cross: crucifix
    moon: crescent
    dot:
    teardrop:
    vertical:
    horizontal:
    deep: deeper deepen deepened
""")
