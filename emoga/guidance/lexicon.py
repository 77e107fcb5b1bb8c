"""The words that descriptions of faces are understood by: emotions, strengths, parts of the face, appearance.

Units are ARKit's names; a trailing `*` stands for the sides the words ask for, `?` for one side, `^` halves a
unit without sides when the words ask for one. Weights are of an expression one would act clearly; 0 holds a unit
at rest.
"""

from __future__ import annotations


def _words(text: str) -> set[str]:
    return set(text.split())


def _alike(text: str) -> dict[str, float]:
    """Synonyms of full weight."""
    return dict.fromkeys(text.split(), 1.0)


EMOTIONS: dict[str, dict[str, float]] = {
    "happy": _alike("happy happily happiness joy joyful joyous cheerful glad pleased delighted")
    | {"merry": 1.0, "elated": 1.3, "ecstatic": 1.5, "overjoyed": 1.4, "content": 0.5, "amused": 0.6},
    "sad": _alike("sad sadly sadness unhappy sorrow sorrowful gloomy grieving mournful")
    | {"melancholy": 0.7, "melancholic": 0.7, "depressed": 1.2, "heartbroken": 1.4, "disappointed": 0.6},
    "angry": _alike("angry angrily anger mad cross wrathful")
    | {"furious": 1.4, "enraged": 1.5, "rage": 1.4, "annoyed": 0.6, "irritated": 0.6, "grumpy": 0.6},
    "surprised": _alike("surprised surprise surprising astonished amazed startled")
    | {"shocked": 1.3, "astounded": 1.3, "stunned": 1.2},
    "fear": _alike("fear fearful afraid scared frightened")
    | {"terrified": 1.5, "horrified": 1.4, "panicked": 1.3, "anxious": 0.5, "worried": 0.5, "nervous": 0.5},
    "disgust": _alike("disgust disgusted disgusting revolted repulsed grossed") | {"nauseated": 0.9},
    "contempt": _alike("contempt contemptuous scorn scornful disdain disdainful") | {"smug": 0.6},
    "neutral": _alike("neutral calm relaxed expressionless"),
}

# Expressions that are no basic emotion, as descriptions.
COMPOUNDS: dict[str, str] = {
    "skeptical": "one brow raised, other brow lowered, lips pressed slightly",
    "sceptical": "one brow raised, other brow lowered, lips pressed slightly",
    "doubtful": "one brow raised, lip corners down slightly",
    "tired": "eyes half closed, inner brows raised slightly",
    "sleepy": "eyes half closed",
    "bored": "eyes half closed, lip corners down slightly",
    "determined": "brows lowered, lips pressed",
    "concentrated": "brows lowered slightly, eyes narrowed slightly",
    "confused": "brows lowered slightly, one brow raised, lips pressed slightly",
    "pained": "brows lowered, eyes squeezed, mouth stretched",
    "flirty": "smile slightly, left eye winking",
    "embarrassed": "smile slightly, blushing, look down",
    "crying": "mouth frowning, inner brows raised, tears",
}

STRENGTHS: dict[str, float] = {
    "slightly": 0.4, "slight": 0.4, "subtly": 0.4, "subtle": 0.4, "faintly": 0.3, "faint": 0.3, "barely": 0.2,
    "bit": 0.4, "little": 0.4, "mildly": 0.5, "mild": 0.5, "somewhat": 0.6, "moderately": 0.7,
    "moderate": 0.7, "fairly": 0.8, "quite": 1.1, "clearly": 1.0, "really": 1.3, "very": 1.3, "strongly": 1.3,
    "strong": 1.3, "broadly": 1.3, "broad": 1.3, "wide": 1.3, "widely": 1.3, "big": 1.3, "deeply": 1.3,
    "heavily": 1.4, "tightly": 1.2, "firmly": 1.2, "extremely": 1.5, "intensely": 1.5, "fully": 1.4,
    "completely": 1.5,
}  # fmt: skip
MAX_STRENGTH = 1.5

NEGATIONS = {"no", "not", "without", "never", "dont", "don't"}
ONE, OTHER = {"one", "single"}, {"other"}
LEFT, RIGHT = {"left"}, {"right"}
FILLERS = _words(
    "a an the his her their its my your with of in on at to is are be being that this it he she they and "
    "face facial expression expressions look looks looking person someone make makes him them as if but "
    "both have has having while also feel feeling seem seems appear appears some something "
    "though into each much so"
)

# Words of a part of the face -> words of what it does -> units. The first row whose words all occur wins.
UP, DOWN = (
    "raised raise raises up lifted lift high arched upturned",
    "lowered lower down lowers drooping dropped",
)
SHUT, OPEN = "closed close shut", "open opened parted apart agape"
ACTIONS: list[tuple[str, str, dict[str, float]]] = [
    ("inner&brow brows eyebrow eyebrows", UP, {"browInnerUp^": 0.8}),
    ("outer&brow brows eyebrow eyebrows", UP, {"browOuterUp*": 0.8}),
    ("brow brows eyebrow eyebrows", f"{UP} raising", {"browInnerUp^": 0.7, "browOuterUp*": 0.8}),
    (
        "brow brows eyebrow eyebrows",
        f"{DOWN} furrowed knitted knit frowning frown drawn together",
        {"browDown*": 0.8},
    ),
    ("forehead", "wrinkled creased", {"browInnerUp": 0.7, "browOuterUp*": 0.7}),
    ("eye eyes lid lids eyelid eyelids", "half&closed shut open", {"eyeBlink*": 0.45}),
    ("eye eyes lid lids eyelid eyelids", f"{SHUT} winking wink blinking", {"eyeBlink*": 1.0}),
    ("eye eyes lid lids eyelid eyelids", "squeezed scrunched", {"eyeBlink*": 0.7, "eyeSquint*": 0.9}),
    ("eye eyes lid lids eyelid eyelids", "narrowed narrow squinting squinted squint tense", {"eyeSquint*": 0.8}),
    ("eye eyes lid lids eyelid eyelids", f"wide widened bulging {OPEN} {UP}", {"eyeWide*": 0.7}),
    ("", "wink winking winks", {"eyeBlink?": 1.0}),
    ("", "squint squinting squints", {"eyeSquint*": 0.8}),
    ("cheek cheeks", "puffed puffing inflated blown", {"cheekPuff": 0.8}),
    ("cheek cheeks", UP, {"cheekSquint*": 0.7}),
    ("nose", "wrinkled wrinkle wrinkles scrunched crinkled sneering", {"noseSneer*": 0.8}),
    ("nostril nostrils", "flared flaring wide", {"noseSneer*": 0.5}),
    ("", "sneer sneering sneers", {"noseSneer*": 0.7, "mouthUpperUp*": 0.4}),
    ("corner corners", f"{UP} pulled", {"mouthSmile*": 0.7}),
    ("corner corners", f"{DOWN} downturned", {"mouthFrown*": 0.7}),
    ("upper&lip", f"{UP} curled", {"mouthUpperUp*": 0.6}),
    ("lower&lip", f"{DOWN} pulled", {"mouthLowerDown*": 0.6}),
    ("lower&lip", "out pushed pouting raised up", {"mouthShrugLower": 0.7}),
    (
        "lip lips mouth",
        "pressed tight tightened thin compressed sealed tense",
        {"mouthPress*": 0.7},
    ),
    ("lip lips mouth", "pursed puckered pucker kissing pouting pout", {"mouthPucker": 0.8}),
    ("lip lips mouth", "funnelled funneled rounded round", {"mouthFunnel": 0.7}),
    ("lip lips mouth", "stretched stretch", {"mouthStretch*": 0.7}),
    ("lip lips", "rolled sucked bitten biting", {"mouthRollLower": 0.7, "mouthRollUpper": 0.4}),
    ("lip lips", "parted apart", {"jawOpen": 0.12}),
    ("mouth jaw", f"{OPEN} gaping hanging", {"jawOpen": 0.5}),
    ("mouth lips jaw", SHUT, {"jawOpen": 0.0}),
    ("mouth lip lips", "frowning frown downturned", {"mouthFrown*": 0.7}),
    ("mouth lip lips", "smiling smile upturned", {"mouthSmile*": 0.7}),
    ("teeth", "showing shown show bared visible clenched gritted", {"mouthUpperUp*": 0.4, "mouthLowerDown*": 0.4}),
    ("jaw chin", "dropped drop fallen", {"jawOpen": 0.5}),
    ("jaw chin", "forward out thrust jutting", {"jawForward": 0.7}),
    ("jaw", "clenched clenching set tense", {"mouthPress*": 0.4}),
    ("chin", f"{UP} wrinkled", {"mouthShrugLower": 0.6}),
    ("tongue", "out sticking shown", {"tongueOut": 1.0}),
    ("dimple dimples dimpled", "", {"mouthDimple*": 0.6}),
    ("", "smile smiling smiles grin grinning grins", {"mouthSmile*": 0.75, "cheekSquint*": 0.4}),
    ("", "laugh laughing laughs", {"mouthSmile*": 0.8, "cheekSquint*": 0.7, "jawOpen": 0.35}),
    ("", "smirk smirking smirks", {"mouthSmile?": 0.6, "mouthDimple?": 0.4}),
    ("", "frown frowning frowns", {"browDown*": 0.6, "mouthFrown*": 0.5}),
    ("", "pout pouting pouts", {"mouthPucker": 0.4, "mouthShrugLower": 0.7}),
    ("", "scowl scowling glare glaring", {"browDown*": 0.9, "eyeSquint*": 0.4}),
    ("", "yawn yawning", {"jawOpen": 0.9, "eyeBlink*": 0.6}),
]  # fmt: skip

# Names of places that may stand beside an action without being what acts: "lip corners down".
PLACES = {"lip", "lips", "mouth", "eye", "eyes", "brow", "brows"}

# Gaze: looking left is the subject's left, so his left eye looks out.
GAZE: dict[str, dict[str, float]] = {
    "up": {"eyeLookUpLeft": 0.7, "eyeLookUpRight": 0.7},
    "down": {"eyeLookDownLeft": 0.7, "eyeLookDownRight": 0.7},
    "left": {"eyeLookOutLeft": 0.7, "eyeLookInRight": 0.7},
    "right": {"eyeLookInLeft": 0.7, "eyeLookOutRight": 0.7},
}
LOOKING = {"look", "looks", "looking", "gaze", "gazing", "glance", "glancing"}

APPEARANCE: dict[str, set[str]] = {
    "flush": _words("flush flushed blush blushing blushes red redder reddened reddish rosy ruddy"),
    "pallor": _words("pallor pale paler pallid ashen bloodless"),
    "sweat": _words("sweat sweaty sweating perspiring perspiration"),
    "tears": _words("tear tears teary tearful watery weeping cry crying cries"),
}
APPEARANCE_PARTS = {"cheek", "cheeks", "skin", "forehead", "nose", "eye", "eyes", "ear", "ears"}
