"""What the performer does: speech, head motion, blinks, gaze and acted emotions, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.head import Head
from emoga.head.params import PER_FRAME

# Mouth shapes of speech as unit weights; closed lips first, for they must close fully.
VISEMES: dict[str, dict[str, float]] = {
    "m": {"jawOpen": 0.05, "mouthClose": 0.05, "mouthPressLeft": 0.25, "mouthPressRight": 0.25, "mouthRollLower": 0.15},
    "f": {"jawOpen": 0.07, "mouthRollLower": 0.42, "mouthUpperUpLeft": 0.18, "mouthUpperUpRight": 0.18},
    "t": {"jawOpen": 0.11, "mouthStretchLeft": 0.15, "mouthStretchRight": 0.15, "mouthLowerDownLeft": 0.2,
          "mouthLowerDownRight": 0.2},
    "s": {"jawOpen": 0.06, "mouthStretchLeft": 0.3, "mouthStretchRight": 0.3, "mouthLowerDownLeft": 0.28,
          "mouthLowerDownRight": 0.28, "mouthUpperUpLeft": 0.12, "mouthUpperUpRight": 0.12},
    "a": {"jawOpen": 0.52, "mouthLowerDownLeft": 0.18, "mouthLowerDownRight": 0.18, "mouthUpperUpLeft": 0.12,
          "mouthUpperUpRight": 0.12},
    "e": {"jawOpen": 0.28, "mouthStretchLeft": 0.28, "mouthStretchRight": 0.28, "mouthSmileLeft": 0.12,
          "mouthSmileRight": 0.12, "mouthUpperUpLeft": 0.1, "mouthUpperUpRight": 0.1},
    "i": {"jawOpen": 0.15, "mouthSmileLeft": 0.28, "mouthSmileRight": 0.28, "mouthStretchLeft": 0.2,
          "mouthStretchRight": 0.2, "mouthLowerDownLeft": 0.15, "mouthLowerDownRight": 0.15},
    "o": {"jawOpen": 0.36, "mouthFunnel": 0.5, "mouthPucker": 0.18},
    "u": {"jawOpen": 0.13, "mouthPucker": 0.62, "mouthFunnel": 0.22},
    "r": {"jawOpen": 0.12, "mouthFunnel": 0.38, "mouthShrugUpper": 0.1},
}  # fmt: skip
CONSONANTS, VOWELS = ("m", "f", "t", "s", "r", "m"), ("a", "e", "i", "o", "u")
LID_REST = 0.10  # relaxed lids cover the top of the iris


@dataclass(frozen=True)
class Performance:
    """T frames of motion in the head's own parameters, plus the emotion acted all along.

    expr [T,E]; rotation, neck, jaw, translation [T,3]; eyes [T,6]; emotion name or None; intensity.
    """

    expr: torch.Tensor
    rotation: torch.Tensor
    neck: torch.Tensor
    jaw: torch.Tensor
    eyes: torch.Tensor
    translation: torch.Tensor
    fps: float
    emotion: str | None = None
    intensity: float = 1.0

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.expr.shape[0]

    def select(self, frames: list[int]) -> Performance:
        """Some of the frames."""
        moving = {name: getattr(self, name)[frames] for name in PER_FRAME}
        return replace(self, **moving)


def perform(
    head: Head,
    frames: int,
    seed: int = 0,
    fps: float = 25.0,
    emotion: str | None = None,
    intensity: float = 1.0,
    head_motion: float = 1.0,
    duration: float | None = None,
) -> Performance:
    """Talk for `frames` frames; the same seed gives the same speech under every emotion.

    duration: seconds the frames are spread over (a rig capture with few frames still shows much motion);
    frames / fps when None. head_motion scales turning and nodding. Raises InputError for unknown emotions.
    """
    duration = frames / fps if duration is None else duration
    # Speech is made on a fixed fine clock and then sampled, so it does not depend on the frame count.
    clock = np.arange(0, duration + 1.0, 0.01)
    rng = np.random.default_rng([seed, 77])
    names = {name: index for index, name in enumerate(head.expr_names)}
    expr = np.zeros((len(clock), len(names)))
    _speak(expr, names, clock, rng)
    _move_brows(expr, names, clock, rng)
    _blink(expr, names, clock, rng)
    eyes = _look(clock, rng)
    rotation, neck, translation = _move_head(clock, rng, head_motion)
    jaw = np.zeros((len(clock), 3))
    jaw[:, 1] = 0.012 * _wander(clock, rng, 1.2)
    jaw[:, 2] = 0.008 * _wander(clock, rng, 1.5)

    at = np.arange(frames) * (duration / frames)

    def sample(values: np.ndarray) -> torch.Tensor:
        picked = np.stack([np.interp(at, clock, column) for column in values.T], -1)
        return torch.tensor(picked, dtype=torch.float32)

    weights = sample(expr)
    if emotion is not None:
        weights = _blend_emotion(weights, head.emotion(emotion, intensity), names)
    return Performance(
        weights.clamp(0, 1), sample(rotation), sample(neck), sample(jaw), sample(eyes), sample(translation),
        fps, emotion, intensity,
    )  # fmt: skip


def _blend_emotion(speech: torch.Tensor, acted: torch.Tensor, names: dict[str, int]) -> torch.Tensor:
    """Add an emotion; the lips still meet where speech closes them, so the jaw it opens gives way there."""
    acted = acted.to(speech)[None].repeat(len(speech), 1)
    closing = (1 - (speech[:, names["jawOpen"]] - 0.06) / 0.1).clamp(0, 1)
    for name in ("jawOpen", "mouthFunnel", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft",
                 "mouthLowerDownRight"):  # fmt: skip
        acted[:, names[name]] *= 1 - 0.85 * closing
    mixed = speech + acted
    # Speech shapes weaken where the emotion already holds the same muscles.
    over = (mixed - 1).clamp_min(0)
    return mixed - over


def _wander(clock: np.ndarray, rng: np.random.Generator, period: float) -> np.ndarray:
    """Smooth noise of about unit size whose swings last about `period` seconds."""
    total = np.zeros_like(clock)
    for harmonic in range(4):
        rate = (0.5 + rng.random()) * (1 + 0.7 * harmonic) / period
        total += np.sin(2 * np.pi * (rate * clock + rng.random())) / (1 + harmonic)
    return total / 1.2


def _speak(expr: np.ndarray, names: dict[str, int], clock: np.ndarray, rng: np.random.Generator) -> None:
    """Overlapping mouth shapes at speaking rate; dominance functions make them run into each other."""
    time, events = 0.05, [(-0.2, "m", 0.16)]
    while time < clock[-1] + 0.3:
        if rng.random() < 0.09:
            hold = rng.uniform(0.15, 0.45)
            events.append((time + hold / 2, "m", hold / 2 + 0.05))
            time += hold
        consonant, vowel = rng.choice(CONSONANTS), rng.choice(VOWELS)
        events.append((time, consonant, 0.055))
        time += rng.uniform(0.075, 0.11)
        hold = rng.uniform(0.08, 0.17)
        events.append((time + hold / 2, vowel, 0.5 * hold + 0.03))
        time += hold
    dominance = np.stack([np.exp(-((np.abs(clock - at) / width) ** 1.8)) for at, _, width in events])
    # Closures win against their neighbours: lips that nearly meet look wrong.
    weight = np.array([2.6 if name in ("m", "f") else 1.0 for _, name, _ in events])
    dominance *= weight[:, None]
    dominance /= dominance.sum(0) + 0.02
    loudness = 0.85 + 0.15 * _wander(clock, rng, 1.6)
    for (_, name, _), share in zip(events, dominance, strict=True):
        for unit, value in VISEMES[name].items():
            expr[:, names[unit]] += (
                share * value * (loudness if unit == "jawOpen" and name not in "mf" else 1)
            )


def _move_brows(expr: np.ndarray, names: dict[str, int], clock: np.ndarray, rng: np.random.Generator) -> None:
    raise_ = np.clip(_wander(clock, rng, 1.7) - 0.35, 0, 1) * 0.55
    frown = np.clip(_wander(clock, rng, 2.3) - 0.6, 0, 1) * 0.35
    expr[:, names["browInnerUp"]] += raise_
    for side in ("Left", "Right"):
        expr[:, names[f"browOuterUp{side}"]] += raise_ * rng.uniform(0.5, 0.9)
        expr[:, names[f"browDown{side}"]] += frown * rng.uniform(0.8, 1.0)


def _blink(expr: np.ndarray, names: dict[str, int], clock: np.ndarray, rng: np.random.Generator) -> None:
    lids = np.zeros_like(clock)
    time = rng.uniform(0.2, 0.9)
    while time < clock[-1]:
        closing = np.clip((clock - time) / 0.09, 0, 1)
        opening = np.clip((time + 0.32 - clock) / 0.19, 0, 1)
        pulse = np.minimum(closing, opening)
        lids = np.maximum(lids, pulse * pulse * (3 - 2 * pulse))
        time += rng.uniform(1.3, 3.6)
    for side in ("Left", "Right"):
        expr[:, names[f"eyeBlink{side}"]] = LID_REST + (1 - LID_REST) * lids


def _look(clock: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaze [N,6]: fixations joined by quick saccades, both eyes on one point (vergence)."""
    times, targets, time = [0.0], [np.array([0.0, 0.0, 1.1])], 0.0
    while time < clock[-1]:
        time += rng.uniform(0.5, 1.4)
        times.append(time)
        near = rng.random() < 0.25
        depth = rng.uniform(0.35, 0.6) if near else rng.uniform(0.9, 2.0)
        targets.append(np.array([rng.normal(0, 0.17), rng.normal(-0.02, 0.09), 1.0]) * depth)
    index = np.searchsorted(times, clock, side="right") - 1
    point = np.asarray(targets)[index]
    for _ in range(2):  # a saccade takes a few hundredths of a second
        point = np.stack(
            [np.convolve(np.pad(c, 2, mode="edge"), np.ones(5) / 5, "valid") for c in point.T], -1
        )
    eyes = []
    for x in (0.031, -0.031):
        away = point - np.array([x, 0, 0])
        eyes += [
            -np.arctan2(away[:, 1], away[:, 2]),
            np.arctan2(away[:, 0], away[:, 2]),
            np.zeros(len(clock)),
        ]
    return np.stack(eyes, -1)


def _move_head(
    clock: np.ndarray, rng: np.random.Generator, amount: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation of the whole bust, of the neck, and translation, [N,3] each."""
    neck = np.stack(
        [0.09 * _wander(clock, rng, 1.9), 0.17 * _wander(clock, rng, 2.6), 0.05 * _wander(clock, rng, 2.4)],
        -1,
    )
    bust = np.stack(
        [0.03 * _wander(clock, rng, 3.1), 0.06 * _wander(clock, rng, 3.7), 0.015 * _wander(clock, rng, 3)], -1
    )
    shift = np.stack(
        [0.004 * _wander(clock, rng, 3), 0.003 * _wander(clock, rng, 2.5), 0.004 * _wander(clock, rng, 3)], -1
    )
    return bust * amount, neck * amount, shift * amount
