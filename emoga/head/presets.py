"""Emotion presets: expression units of seven emotions after the Facial Action Coding System.

Sources: P. Ekman, W. V. Friesen and J. C. Hager, *Facial Action Coding System* (2002), Investigator's Guide,
table of emotion prototypes; W. V. Friesen and P. Ekman, *EMFACS-7* (1983); for contempt, P. Ekman and
W. V. Friesen, "A new pan-cultural facial expression of emotion", *Motivation and Emotion* 10 (1986).
Action units (AU) are written as ARKit units by what the muscle does, not by their numbers' order.
Weights are of an expression one would act clearly, not the strongest possible.
"""

from __future__ import annotations


def _both(**weights: float) -> dict[str, float]:
    """The same weight on the left and the right unit of each name."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


PRESETS: dict[str, dict[str, float]] = {
    # AU 6 + 12 (+ 25): cheek raiser, lip corner puller, lips part.
    "happy": _both(mouthSmile=0.75, cheekSquint=0.6, eyeSquint=0.3, mouthDimple=0.15, mouthUpperUp=0.12),
    # AU 1 + 4 + 15 (+ 17): inner brows up and together, lip corners down, chin raised.
    "sad": {
        "browInnerUp": 0.75,
        **_both(browDown=0.2, mouthFrown=0.6, eyeSquint=0.15),
        "mouthShrugLower": 0.35,
    },
    # AU 4 + 5 + 7 + 23 (24): brows lowered, upper lid raised against a tense lower lid, lips tight.
    "angry": _both(browDown=0.85, eyeWide=0.3, eyeSquint=0.4, mouthPress=0.5, noseSneer=0.25),
    # AU 1 + 2 + 5 + 26: whole brow up, lids wide, jaw drops.
    "surprised": {"browInnerUp": 0.8, **_both(browOuterUp=0.75, eyeWide=0.65), "jawOpen": 0.4},
    # AU 1 + 2 + 4 + 5 + 20 + 26: brows up and together, lids wide, lips stretched, jaw drops a little.
    "fear": {
        "browInnerUp": 0.8,
        **_both(browOuterUp=0.35, browDown=0.25, eyeWide=0.7, mouthStretch=0.6),
        "jawOpen": 0.15,
    },
    # AU 9 + 10 (15, 16): nose wrinkled, upper lip raised, corners down.
    "disgust": _both(
        noseSneer=0.8, mouthUpperUp=0.45, browDown=0.4, cheekSquint=0.3, eyeSquint=0.25, mouthFrown=0.2
    ),
    # AU 12 + 14 on one side: one lip corner tightened and drawn up.
    "contempt": {
        "mouthSmileLeft": 0.45,
        "mouthDimpleLeft": 0.6,
        "cheekSquintLeft": 0.2,
        "mouthPressLeft": 0.2,
        "mouthPressRight": 0.15,
    },
}
