"""Emotions by valence and arousal: where the named ones lie in Russell's circumplex, and what lies between them.

Sources: J. A. Russell, "A circumplex model of affect", *Journal of Personality and Social Psychology* 39 (1980);
K. R. Scherer, "What are emotions? And how can they be measured?", *Social Science Information* 44 (2005), figure 1,
which draws emotion words on that circle; numbers as G. Paltoglou and M. Thelwall give them, "Seeing stars of valence
and arousal in blog posts", *IEEE Transactions on Affective Computing* 4 (2013), quoted from the literature.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from emoga.errors import InputError

# (valence, arousal): displeasure to pleasure, sleep to excitement, both -1 … 1.
BASIC: dict[str, tuple[float, float]] = {
    "happy": (0.89, 0.17),
    "surprised": (0.42, 0.88),
    "fear": (-0.11, 0.79),
    "angry": (-0.40, 0.79),
    "contempt": (-0.57, 0.66),
    "disgust": (-0.67, 0.49),
    "sad": (-0.81, -0.40),
    # Little stirs in a face here, so it is at rest unless the avatar has such an emotion of its own.
    "tired": (-0.01, -1.00),
    "relaxed": (0.71, -0.65),
}
# These take part only in avatars that have them: a face without them has something better than rest to show here.
FURTHER: dict[str, tuple[float, float]] = {
    "excited": (0.70, 0.71),
    "content": (0.81, -0.55),
    "bored": (-0.35, -0.78),
}
KEY = re.compile(r"(?P<valence>[-+0-9.eE]+),(?P<arousal>[-+0-9.eE]+)(?:@(?P<time>[0-9.]+)s?)?")
FORM = "write 0.6,0.3 (valence,arousal from -1 to 1) or, over time, 0,0@0s;0.8,0.5@2s"


@dataclass(frozen=True)
class AffectCurve:
    """Valence and arousal over time, by keys (seconds, valence, arousal) in order; names: emotions it may show."""

    keys: tuple[tuple[float, float, float], ...]
    names: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time of the last key."""
        return self.keys[-1][0]

    def at(self, seconds: float) -> tuple[float, float]:
        """Valence and arousal at a time; between keys they ease in and out."""
        if seconds <= self.keys[0][0]:
            return self.keys[0][1:]
        for (before, *low), (after, *high) in itertools.pairwise(self.keys):
            if seconds <= after:
                t = eased((seconds - before) / (after - before))
                return tuple(a + (b - a) * t for a, b in zip(low, high, strict=True))
        return self.keys[-1][1:]

    def weights(self, seconds: float) -> dict[str, float]:
        """Weight of every name at a time, their sum at most 1."""
        shown = affect_weights(*self.at(seconds), self.names)
        return {name: shown.get(name, 0.0) for name in self.names}


def parse_affect(text: str, known: Collection[str]) -> AffectCurve:
    """Read a text of valence and arousal for a face that knows some emotions. Raises InputError for another."""
    keys = sorted(_key(part.strip(), text) for part in text.split(";") if part.strip())
    if not keys:
        raise InputError(f"--valence-arousal {text!r}: is empty; {FORM}")
    if len({key[0] for key in keys}) != len(keys):
        raise InputError(f"--valence-arousal {text}: has two values at one time; {FORM}")
    return AffectCurve(tuple(keys), tuple(name for name in (*BASIC, *FURTHER) if name in known))


def affect_weights(valence: float, arousal: float, known: Collection[str]) -> dict[str, float]:
    """Weights of the one or two emotions that a point of the circumplex lies between, none at its centre.

    By angle a point is shared between its neighbours on the circle, by its distance from the centre compared with
    theirs it gets its intensity, up to 1. At an emotion's own place its weight is 1. Continuous everywhere, along
    the circle smooth too; places of emotions that are not `known` are faces at rest.
    """
    places = {**BASIC, **{name: place for name, place in FURTHER.items() if name in known}}
    circle = sorted((_angle(*place), math.hypot(*place), name) for name, place in places.items())
    angle, radius = _angle(valence, arousal), math.hypot(valence, arousal)
    after = next((i for i, place in enumerate(circle) if place[0] > angle), 0)
    (low, near, before_name), (high, far, after_name) = circle[after - 1], circle[after]
    t = eased((angle - low) % math.tau / ((high - low) % math.tau))
    intensity = min(1.0, radius / (near + (far - near) * t))
    shown = {before_name: intensity * (1 - t), after_name: intensity * t}
    return {name: weight for name, weight in shown.items() if name in known and weight > 0}


def eased(t: float) -> float:
    """0 … 1 with a slow start and a slow end."""
    return 0.5 - 0.5 * math.cos(math.pi * t)


def _angle(valence: float, arousal: float) -> float:
    """Radians from pleasure towards arousal, 0 … 2 pi."""
    return math.atan2(arousal, valence) % math.tau


def _key(part: str, text: str) -> tuple[float, float, float]:
    match = KEY.fullmatch(part.replace(" ", ""))
    try:
        if match is None:
            raise ValueError
        seconds, valence, arousal = (float(match[name] or 0) for name in ("time", "valence", "arousal"))
    except ValueError:
        raise InputError(f"--valence-arousal {text}: {part!r} is not understood; {FORM}") from None
    if not (-1 <= valence <= 1 and -1 <= arousal <= 1):
        raise InputError(f"--valence-arousal {text}: {part!r} is beyond the circle; {FORM}")
    return seconds, valence, arousal
