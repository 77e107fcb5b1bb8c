"""Random expressions, gazes and turns of the head, far beyond what anyone does while talking."""

from __future__ import annotations

import numpy as np

from emoga.head import Head
from emoga.studio.acting import VISEMES

ASYMMETRIC = 0.35  # share of expressions with independent sides
CLOSED = 0.35  # share with lips that hardly part
AJAR = 0.35  # of the others, share whose jaw opens as little as in speech
BLINKS = (0.55, 0.27, 0.18)  # shares of open, half closed and closed lids


def random_expression(head: Head, rng: np.random.Generator) -> np.ndarray:
    """Unit weights [E] in 0..1: rest, speech, an acted emotion or units at random, and a blink or none."""
    names = head.expr_names
    index = {name: i for i, name in enumerate(names)}
    expr = np.zeros(len(names))
    kind = rng.random()
    if kind > 0.15:
        for shape in rng.choice(list(VISEMES), rng.integers(1, 3), replace=False):
            for unit, value in VISEMES[shape].items():
                expr[index[unit]] += value * rng.uniform(0.2, 1.4)
    if kind > 0.40:
        chosen = rng.random(len(names)) < rng.uniform(0.05, 0.3)
        expr += chosen * rng.beta(1.0, 1.6, len(names))
        if rng.random() > ASYMMETRIC:
            for name in names:
                if name.endswith("Left"):
                    expr[index[name[:-4] + "Right"]] = expr[index[name]]
    if kind > 0.80 and head.presets:
        expr = 0.4 * expr + head.emotion(str(rng.choice(list(head.presets))), rng.uniform(0.4, 1.2)).numpy()
    if rng.random() < CLOSED:  # lips closed, or pressed together
        expr[index["jawOpen"]] = rng.uniform(0, 0.15)
        expr[index["mouthClose"]] = expr[index["jawOpen"]]
        for name in (
            "mouthFunnel",
            "mouthUpperUpLeft",
            "mouthUpperUpRight",
            "mouthLowerDownLeft",
            "mouthLowerDownRight",
        ):
            expr[index[name]] *= 0.15
        for name in ("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper", "mouthPucker"):
            expr[index[name]] += rng.uniform(0, 0.6) * (rng.random() < 0.4)
    elif rng.random() < 0.12:  # wide open
        expr[index["jawOpen"]] = rng.uniform(0.4, 1.0)
    elif rng.random() < AJAR:
        expr[index["jawOpen"]] = rng.uniform(0.02, 0.2)
    if rng.random() > 0.08:
        expr[index["tongueOut"]] = 0
    blink = rng.choice([rng.uniform(0, 0.25), rng.uniform(0.2, 0.9), rng.uniform(0.9, 1.0)], p=BLINKS)
    expr[[index["eyeBlinkLeft"], index["eyeBlinkRight"]]] = blink
    if rng.random() < 0.06:
        expr[index[f"eyeBlink{rng.choice(['Left', 'Right'])}"]] = rng.uniform(0, 1)
    for name in ("eyeWideLeft", "eyeWideRight"):
        expr[index[name]] *= 1 - blink
    expr[head.gaze_units] = 0
    return np.clip(expr, 0, 1)


def random_gaze(rng: np.random.Generator) -> np.ndarray:
    """Axis-angle [6] of both eyeballs, nearly parallel."""
    turn = np.array([rng.normal(0, 0.14), rng.normal(0, 0.24), 0.0])
    turn = np.clip(turn, -0.6, 0.6)
    meet = np.array([0, rng.uniform(0, 0.06), 0])
    return np.concatenate([turn - meet, turn + meet])


def random_turn(rng: np.random.Generator) -> np.ndarray:
    """Yaw, pitch and roll of the head before the camera, radians."""
    if rng.random() < 0.6:
        yaw, pitch = rng.normal(0, 20), rng.normal(0, 11)
    else:
        yaw, pitch = rng.uniform(-72, 72), rng.uniform(-38, 38)
    return np.radians([np.clip(yaw, -75, 75), np.clip(pitch, -42, 42), rng.normal(0, 7)])
