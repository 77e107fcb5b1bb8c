"""Appearance by region: what each attribute does to base colours in linear light, with lighting kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emoga.editing.light import LUMA, greyed, tinted, to_linear
from emoga.editing.masks import (
    INSIDE,
    MM,
    brow_line,
    brow_mask,
    hair_mask,
    landmarks,
    near,
    part_mask,
    side_mask,
    skin_mask,
    smoothstep,
)
from emoga.editing.subject import Subject, template_vertices
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value

# Gains of linear light at strength 1.
LIGHTER, DARKER = np.array([1.45, 1.52, 1.6]), np.array([0.56, 0.48, 0.42])
TAN = np.array([0.80, 0.64, 0.52])
FLUSH = np.array([1.06, 0.60, 0.64])
STUBBLE = np.array([0.60, 0.60, 0.66])
SHADOW = np.array([0.74, 0.68, 0.76])
# Times as bright as its name says that a lipstick may get for the light the lips are in.
MOST_LIGHT = 3.0
# Iris and pupil on the template's eyeball, metres.
IRIS, PUPIL = 6.0 * MM, 2.0 * MM


@dataclass(frozen=True)
class Paint:
    """New base colours [N,3] in linear light and where they go, weight [N] in 0..1.

    solid: a substance of its own, in which nothing of the old hues may shine through.
    """

    base: np.ndarray
    weight: np.ndarray
    solid: bool = False


# subject, current base [N,3], operation, signed amount -> paint
Painter = Callable[[Subject, np.ndarray, Operation, float], Paint]


def linear_colour(name: str, default: str) -> np.ndarray:
    """[3] linear light of a plan's colour."""
    return to_linear(np.array(colour_value(name or default)))


def _gain(base: np.ndarray, gain: np.ndarray, amount: float) -> np.ndarray:
    return base * gain ** max(amount, 0.0) if amount >= 0 else base / gain ** (-amount)


def _lightness(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    lifted = base + 0.02 * amount if amount > 0 and step.target in ("hair", "brows", "temples") else base
    new = _gain(lifted, LIGHTER, amount) if amount > 0 else _gain(base, DARKER, -amount)
    return Paint(new, part_mask(subject, step.target, step.side))


def _tan(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    return Paint(_gain(base, TAN, amount), part_mask(subject, "skin"))


def _pallor(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    if amount < 0:
        return Paint(_gain(base, FLUSH**0.5, -amount), part_mask(subject, step.target))
    pale = greyed(base, min(0.45 * amount, 0.65)) * np.array([1.16, 1.16, 1.19]) ** amount
    return Paint(pale, part_mask(subject, step.target, step.side))


def _flush(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    weight = part_mask(subject, step.target, step.side)
    if step.target == "skin":
        weight = weight * _blood(subject)
    gain = FLUSH if step.target != "nose" else FLUSH**1.2
    return Paint(_gain(base, gain, amount), weight)


def _blood(subject: Subject) -> np.ndarray:
    """[N]: where faces redden: cheeks, nose, ears, less on forehead and chin."""
    points = subject.points
    cheeks = near(points, landmarks(subject, (50, 280)), 12 * MM, 38 * MM)
    nose = near(points, landmarks(subject, (1, 4)), 8 * MM, 26 * MM)
    rest = 0.5 * near(points, landmarks(subject, (10, 152, 151)), 12 * MM, 45 * MM)
    return np.max(
        [cheeks, 0.9 * nose, rest, 0.9 * subject.labelled("ears"), np.full(len(points), 0.25)], axis=0
    )


# Colours that no lips have by themselves.
UNLIKE_LIPS = {
    "black", "white", "grey", "silver", "gold", "blue", "navy", "green", "yellow", "turquoise", "purple",
}  # fmt: skip


def _colour(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    weight = part_mask(subject, step.target, step.side)
    texture = {"hair": 0.45, "lips": 0.8, "skin": 0.9, "teeth": 0.8}.get(step.target, 0.7)
    colour = linear_colour(step.colour, "brown")
    if step.target == "lips":
        # Lips that are redder are still lips; black or blue ones are painted.
        share = 0.95 if UNLIKE_LIPS & set(step.colour.split()) else 0.6
        return _lips(subject, base, colour, share * amount)
    if step.target == "hair" and step.colour in ("grey", "white", "silver"):
        return Paint(_greying(subject, base, colour, amount), weight)
    own = subject.typical(weight)
    if step.colour in ("grey", "white", "silver"):
        colour = _in_its_light(colour, own)
    painted = tinted(base, colour, own, texture)
    share = min(amount, 1.0) * (0.85 if step.target in ("skin", "cheeks", "nose", "ears") else 1.0)
    return Paint((1 - share) * base + share * painted, weight)


def _greying(subject: Subject, base: np.ndarray, colour: np.ndarray, amount: float) -> np.ndarray:
    """Hair by hair: some turn before others, and the temples before the crown."""
    early = near(subject.points, landmarks(subject, (127, 356)), 20 * MM, 70 * MM)
    chance = subject.rng(7).random(len(base))
    turned = smoothstep(0.9 * amount + 0.25 * early - 0.5 * chance, 0.0, 0.5)[:, None]
    own = subject.typical(hair_mask(subject))
    grey = tinted(base, _in_its_light(colour, own), own, 0.55)
    return (1 - turned) * base + turned * grey


def _in_its_light(colour: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A grey with some of the warmth that light and hair had: a neutral one looks blue under a warm lamp.

    Lamps are warm or cool, never green: that came from a screen behind the hair.
    """
    warmth = np.sqrt(np.clip(own[0] / max(float(own[2]), 1e-3), 0.1, 4.0))
    hue = np.array([warmth, 1.0, 1 / warmth])
    return colour * (0.7 + 0.3 * hue / (hue @ LUMA))


def _lips(subject: Subject, base: np.ndarray, colour: np.ndarray, amount: float) -> Paint:
    weight = part_mask(subject, "lips")
    own = subject.typical(weight)
    # Half way to the colour's own brightness: lips in the shade stay in the shade. Black stays black.
    colour = colour * min((float(own.max()) / max(float(colour.max()), 1e-3)) ** 0.75, MOST_LIGHT)
    painted = tinted(base, colour, own, 0.8)
    # Dark lips keep some of their darkness under a thin layer.
    share = min(amount, 1.0)
    return Paint((1 - share) * base + share * painted, weight)


def _iris(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    head = subject.head
    places = template_vertices(head)
    irises = head.regions["irises"].numpy()
    weight, rim = np.zeros(len(base)), np.zeros(len(base))
    for sign in (1, -1):
        centre = places[irises & (sign * places[:, 0] > 0)].mean(0)
        distance = np.linalg.norm(subject.points[:, :2] - centre[:2], axis=1)
        own = subject.labelled("irises", "eyeballs") & (subject.points[:, 2] > centre[2] - 4 * MM)
        weight += (
            own
            * smoothstep(distance, 0.7 * PUPIL, 1.3 * PUPIL)
            * smoothstep(distance, IRIS + 0.6 * MM, IRIS - 0.6 * MM)
        )
        rim += own * smoothstep(distance, 0.75 * IRIS, IRIS)
    weight = weight * side_mask(subject.points, step.side)
    if step.attribute == "lightness":
        return Paint(
            _gain(base + 0.015 * max(amount, 0), LIGHTER if amount > 0 else DARKER, abs(amount)), weight
        )
    colour = linear_colour(step.colour, "blue")
    painted = tinted(base, colour, subject.typical(weight), 0.45) * (1 - 0.45 * np.clip(rim, 0, 1))[:, None]
    share = 0.85 * min(amount, 1.0)
    return Paint((1 - share) * base + share * painted, weight)


def smoothed(subject: Subject, base: np.ndarray, weight: np.ndarray, radius: float) -> np.ndarray:
    """Base colours [N,3] averaged with their neighbours of the same mask, metres."""
    rows = np.flatnonzero((weight > 0.05) & (subject.opacities > 0.05))
    if len(rows) < 2:
        return base
    count = min(24, len(rows))
    distance, found = cKDTree(subject.points[rows]).query(subject.points[rows], k=count)
    share = np.exp(-0.5 * (distance / radius) ** 2) * (weight * subject.opacities)[rows][found]
    share /= share.sum(1, keepdims=True) + 1e-9
    result = base.copy()
    result[rows] = (share[..., None] * base[rows][found]).sum(1)
    return result


def _smoothness(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    weight = skin_mask(subject) * ~subject.labelled("ears")
    soft = smoothed(subject, base, weight, 5 * MM)
    # A shadow in a fold is darker than what is around it, so it is lifted a little beyond the mean.
    lifted = np.maximum(soft, 0.85 * soft + 0.15 * base)
    return Paint(np.clip(base + 0.8 * amount * (lifted - base), 0, None), weight)


def _brow_thickness(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    hairs = brow_mask(subject) * side_mask(subject.points, step.side)
    if amount < 0:
        bare = smoothed(subject, base, np.clip(skin_mask(subject), 0, 1), 8 * MM)
        skin = np.broadcast_to(subject.typical(_around_brows(subject)), base.shape)
        edge = hairs * (0.35 + 0.65 * ~_core(subject))
        return Paint(0.5 * bare + 0.5 * skin, np.clip(-amount * edge, 0, 1))
    dark = subject.typical(hairs) if hairs.max() > 0.3 else 0.2 * subject.skin
    band = near(subject.points, brow_line(subject), 3.5 * MM, 6.5 * MM) * ~subject.labelled(
        "eyelids", *INSIDE
    )
    chance = 0.55 + 0.45 * subject.rng(3).random(len(base))
    weight = np.clip(0.9 * amount * band * chance, 0, 1) * side_mask(subject.points, step.side)
    return Paint(np.broadcast_to(dark, base.shape), weight)


def _core(subject: Subject) -> np.ndarray:
    return near(subject.points, brow_line(subject), 1.5 * MM, 2.5 * MM) > 0.5


def _around_brows(subject: Subject) -> np.ndarray:
    return near(subject.points, brow_line(subject), 14 * MM, 16 * MM) * skin_mask(subject) * ~_core(subject)


def _teeth(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    white = (
        greyed(base, 0.7 * amount) * (1 + 0.35 * amount)
        if amount > 0
        else base * np.array([0.8, 0.7, 0.5]) ** -amount
    )
    return Paint(white, part_mask(subject, "teeth"))


# ---- things that are painted on ------------------------------------------------------------------------------


def _lipstick(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    return _lips(subject, base, linear_colour(step.colour, "red"), 0.92 * amount)


def _blush(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    places = landmarks(subject, (116, 50, 345, 280))
    weight = (
        near(subject.points, places, 2 * MM, 28 * MM)
        * skin_mask(subject)
        * side_mask(subject.points, step.side)
    )
    painted = tinted(base, linear_colour(step.colour, "rose"), subject.skin, 0.9)
    return Paint(painted, 0.4 * min(amount, 1.6) * weight)


def _eyeshadow(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    lids = landmarks(subject, (161, 160, 159, 158, 157, 388, 387, 386, 385, 384))
    folds = landmarks(subject, (225, 224, 223, 222, 221, 445, 444, 443, 442, 441))
    weight = np.maximum(
        near(subject.points, lids, 3 * MM, 7 * MM), 0.75 * near(subject.points, folds, 2 * MM, 7 * MM)
    )
    above = np.interp(subject.points[:, 1], [-2 * MM, 1 * MM], [0, 1])
    weight = weight * above * ~subject.labelled(*INSIDE) * side_mask(subject.points, step.side)
    painted = tinted(base, linear_colour(step.colour, "purple"), subject.skin, 0.9)
    return Paint(painted, 0.65 * min(amount, 1.4) * weight)


def _stubble(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    grain = 0.35 + 0.9 * subject.rng(5).random(len(base))
    weight = np.clip(beard_area(subject) * min(amount, 1.3) * grain, 0, 1) * skin_mask(subject)
    return Paint(_gain(greyed(base, 0.25), STUBBLE, 1.1), weight)


def beard_area(subject: Subject) -> np.ndarray:
    """[N]: where a beard grows: upper lip, chin, jaw and the throat under it."""
    points = subject.points
    low = smoothstep(points[:, 1], -0.045, -0.070)
    line = landmarks(subject, (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 58, 288))
    jaw = near(points, line, 12 * MM, 34 * MM)
    lip = near(points, landmarks(subject, (164, 165, 391, 167, 393, 186, 410)), 3 * MM, 10 * MM)
    chin = near(points, landmarks(subject, (18, 200, 199, 175, 194, 418, 32, 262)), 6 * MM, 18 * MM)
    throat = (
        0.5 * subject.labelled("neck") * smoothstep(points[:, 1], -0.140, -0.110) * (points[:, 2] > -0.03)
    )
    area = np.maximum.reduce([jaw * low, lip, chin, throat])
    return area * ~subject.labelled(*INSIDE, "ears", "shoulders", "boundary")


def _shaved(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    cheek = part_mask(subject, "cheeks")
    upper = cheek * (subject.points[:, 1] > -0.045)
    clean = tinted(
        base, subject.typical(upper), subject.typical(beard_area(subject) * skin_mask(subject)), 0.55
    )
    return Paint(clean, np.clip(beard_area(subject) * skin_mask(subject) * amount, 0, 1))


def _dark_circles(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    return Paint(_gain(base, SHADOW, amount), _under_eyes(subject, step.side))


def _rested(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    """As light under the eyes as the cheeks are, and a little lighter than it was in any case."""
    weight = _under_eyes(subject, step.side)
    lift = subject.typical(part_mask(subject, "cheeks")) / np.maximum(subject.typical(weight), 1e-3)
    return Paint(_gain(base, np.clip(lift, SHADOW**-0.25, 1 / SHADOW), amount), weight)


def _under_eyes(subject: Subject, side: str) -> np.ndarray:
    under = landmarks(subject, (111, 117, 118, 119, 120, 121, 340, 346, 347, 348, 349, 350))
    return near(subject.points, under, 3 * MM, 9 * MM) * skin_mask(subject) * side_mask(subject.points, side)


def _smoothed_away(subject: Subject, base: np.ndarray, step: Operation, amount: float) -> Paint:
    paint = _smoothness(subject, base, step, 1.1 * amount)
    if step.position:
        where = np.max([part_mask(subject, name, step.side) for name in step.position], axis=0)
        return Paint(paint.base, paint.weight * where)
    return Paint(paint.base, paint.weight * side_mask(subject.points, step.side))


PAINTS: dict[tuple[str, str], Painter] = {
    ("skin", "lightness"): _lightness, ("hair", "lightness"): _lightness, ("brows", "lightness"): _lightness,
    ("lips", "lightness"): _lightness, ("temples", "lightness"): _lightness, ("lashes", "lightness"): _lightness,
    ("skin", "tan"): _tan, ("skin", "pallor"): _pallor, ("cheeks", "pallor"): _pallor,
    ("skin", "flush"): _flush, ("cheeks", "flush"): _flush, ("nose", "flush"): _flush, ("ears", "flush"): _flush,
    ("skin", "colour"): _colour, ("hair", "colour"): _colour, ("brows", "colour"): _colour,
    ("lips", "colour"): _colour, ("cheeks", "colour"): _colour, ("nose", "colour"): _colour,
    ("ears", "colour"): _colour, ("temples", "colour"): _colour, ("lashes", "colour"): _colour,
    ("teeth", "colour"): _colour, ("teeth", "lightness"): _teeth, ("eyes", "colour"): _iris,
    ("eyes", "lightness"): _iris, ("skin", "smoothness"): _smoothness, ("brows", "thickness"): _brow_thickness,
}  # fmt: skip
PAINTED_THINGS: dict[str, Painter] = {
    "lipstick": _lipstick, "blush": _blush, "eyeshadow": _eyeshadow, "stubble": _stubble,
    "dark_circles": _dark_circles,
}  # fmt: skip
PAINTED_AWAY: dict[str, Painter] = {
    "wrinkles": _smoothed_away, "freckles": _smoothed_away, "age_spots": _smoothed_away, "mole": _smoothed_away,
    "stubble": _shaved, "dark_circles": _rested,
}  # fmt: skip
