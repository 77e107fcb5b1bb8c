"""Emotions over time from text: `happy`, `happy:0.6,surprised:0.3`, `happy@0s:0,happy@2s:1`; by name or by affect."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, field

import torch

from emoga.avatar.affect import AffectCurve, eased, parse_affect
from emoga.avatar.avatar import Avatar
from emoga.errors import InputError
from emoga.head import Head

ENTRY = re.compile(r"(?P<name>[^@:,]+)(?:@(?P<time>[0-9.]+)s?)?(?::(?P<weight>[-+0-9.eE]+))?")
FORM = "write happy, happy:0.6,surprised:0.3 or happy@0s:0,happy@2s:1"
NEUTRAL = "neutral"
MAX_WEIGHT = 2.0


@dataclass(frozen=True)
class EmotionCurve:
    """Weights over time: per emotion its keys (seconds, weight) in order; a single key holds all the time."""

    keys: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The emotions it is made of."""
        return tuple(self.keys)

    @property
    def seconds(self) -> float:
        """Time of the last key."""
        return max((keys[-1][0] for keys in self.keys.values()), default=0.0)

    def weights(self, seconds: float) -> dict[str, float]:
        """Weight of every emotion at a time; between keys it eases in and out."""
        return {name: _eased(keys, seconds) for name, keys in self.keys.items()}


Emotions = EmotionCurve | AffectCurve


def read_emotions(avatar: Avatar, head: Head, emotion: Emotions | str | None, affect: str | None) -> Emotions:
    """What an avatar is to show: emotions by name, or by valence and arousal.

    Raises InputError for texts that are not understood, and when both are given.
    """
    if affect is None:
        return parse_emotion(emotion) if emotion is None or isinstance(emotion, str) else emotion
    if emotion is not None:
        raise InputError("--emotion and --valence-arousal both say what the face shows; give one of them")
    return parse_affect(affect, {*avatar.emotions, *head.presets})


def parse_emotion(text: str | None) -> EmotionCurve:
    """Read an emotion text. Raises InputError for what it cannot mean."""
    keys: dict[str, list[tuple[float, float]]] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, seconds, weight = _entry(part.strip(), text or "")
        keys.setdefault(name, []).append((seconds, weight))
    for name, entries in keys.items():
        entries.sort()
        times = [seconds for seconds, _ in entries]
        if len(set(times)) != len(times):
            raise InputError(f"--emotion {text}: {name} has two weights at one time; {FORM}")
    return EmotionCurve({name: tuple(entries) for name, entries in keys.items()})


def emotion_offsets(avatar: Avatar, head: Head, curve: Emotions) -> torch.Tensor:
    """Expression offsets [K,E] of the curve's names, in their order.

    A name means the avatar's own emotion if it has one, else the head's preset; `neutral` adds nothing.
    Raises InputError for an unknown name, listing the known ones.
    """
    return torch.stack([_offset(avatar, head, name) for name in curve.names])


def emotion_weights(curve: Emotions, seconds: torch.Tensor) -> torch.Tensor:
    """Weights [T,K] of the curve's names at times [T]; where they sum to more than one they are normalised."""
    rows = [list(_at_most_one(curve.weights(time)).values()) for time in seconds.tolist()]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(curve.names))


def emotion_mixtures(avatar: Avatar, curve: Emotions, seconds: torch.Tensor) -> torch.Tensor:
    """Weights [T,E] of the curve at times [T] over the rows of the avatar's ColorMLP, normalised like offsets.

    Emotions that have no row of their own, the head's presets among them, count for neutral.
    """
    rows = [avatar.emotions[name].embedding if name in avatar.emotions else 0 for name in curve.names]
    mixtures = torch.zeros(len(seconds), avatar.appearance.rows)
    return mixtures.index_add(1, torch.tensor(rows), emotion_weights(curve, seconds))


def _at_most_one(weights: dict[str, float]) -> dict[str, float]:
    total = max(1.0, sum(weights.values()))
    return {name: weight / total for name, weight in weights.items()}


def _offset(avatar: Avatar, head: Head, name: str) -> torch.Tensor:
    if name in avatar.emotions:
        return avatar.emotions[name].offset.detach().cpu()
    if name in head.presets:
        return head.emotion(name).cpu()
    if name == NEUTRAL:
        return torch.zeros(len(head.expr_names))
    known = sorted({*avatar.emotions, *head.presets, NEUTRAL})
    raise InputError(f"unknown emotion {name!r}; this avatar knows: {', '.join(known)}")


def _entry(part: str, text: str) -> tuple[str, float, float]:
    match = ENTRY.fullmatch(part)
    try:
        if match is None:
            raise ValueError
        seconds, weight = float(match["time"] or 0), float(match["weight"] or 1)
    except ValueError:
        raise InputError(f"--emotion {text}: {part!r} is not understood; {FORM}") from None
    if not (math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT):
        raise InputError(f"--emotion {text}: weight {weight} must be between 0 and {MAX_WEIGHT:g}")
    return match["name"].strip(), seconds, weight


def _eased(keys: tuple[tuple[float, float], ...], seconds: float) -> float:
    if seconds <= keys[0][0]:
        return keys[0][1]
    for (before, low), (after, high) in itertools.pairwise(keys):
        if seconds <= after:
            return low + (high - low) * eased((seconds - before) / (after - before))
    return keys[-1][1]
