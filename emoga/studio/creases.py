"""Folds that skin throws when it moves: grooves along facial lines, deeper as their muscles contract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.studio.anatomy import (
    BROWS_UPPER,
    CORNERS,
    EYES,
    FOREHEAD,
    GLABELLA,
    LOWER_LIDS,
    WINGS,
    Anatomy,
    curve_through,
    distance_to_curve,
)  # fmt: skip

DEPTH = 9e-4  # metres of the deepest groove at full contraction


@dataclass(frozen=True)
class Groove:
    """One line: polyline [P,3] on the template, half width (metres), depth 0..1, and the units that deepen it."""

    line: np.ndarray
    width: float
    depth: float
    units: tuple[tuple[str, float], ...]


def facial_lines(anatomy: Anatomy, rng: np.random.Generator) -> list[Groove]:
    """Forehead, frown, crow's feet, nasolabial, marionette, nose and under-eye lines of one person."""
    marks = anatomy.marks
    grooves = []
    brow = np.concatenate([marks[list(BROWS_UPPER[1])][::-1], marks[list(BROWS_UPPER[0])]])
    raise_units = (("browInnerUp", 0.7), ("browOuterUpLeft", 0.3), ("browOuterUpRight", 0.3))
    top = marks[FOREHEAD]
    for level in (0.26, 0.46, 0.66):
        line = brow * (1 - level) + level * (top + (brow - brow.mean(0)) * [0.8, 0.1, 0.9])
        line = line + rng.normal(0, 0.0012, line.shape) * [0, 1, 0]
        grooves.append(Groove(curve_through(line[1:-1], 120), 0.0019, rng.uniform(0.5, 0.9), raise_units))
    frown = (("browDownLeft", 0.6), ("browDownRight", 0.6))
    for x in (0.0042, -0.0048):
        base = marks[GLABELLA]
        line = (
            base
            + np.array([[x * 1.2, -0.008, 0], [x, 0.004, 0], [x * 1.1, 0.017, 0]])
            + rng.normal(0, 6e-4, (3, 3))
        )
        grooves.append(Groove(curve_through(line, 60), 0.0015, rng.uniform(0.7, 1.0), frown))
    for index, side in enumerate(("Left", "Right")):
        sign = 1 if index == 0 else -1
        smile = ((f"mouthSmile{side}", 0.9), (f"cheekSquint{side}", 0.4), (f"noseSneer{side}", 0.6),
                 (f"mouthUpperUp{side}", 0.3))  # fmt: skip
        wing, corner = marks[WINGS[index]], marks[CORNERS[index]]
        fold = np.stack([wing + [sign * 0.002, 0.004, -0.003],
                         0.5 * (wing + corner) + [sign * 0.0085, 0.0, -0.004],
                         corner + [sign * 0.0105, -0.001, -0.004],
                         corner + [sign * 0.010, -0.010, -0.004]])  # fmt: skip
        grooves.append(Groove(curve_through(fold, 90), 0.0026, rng.uniform(0.8, 1.0), smile))
        down = ((f"mouthFrown{side}", 0.9), (f"mouthStretch{side}", 0.3))
        marionette = np.stack([corner + [sign * 0.003, -0.002, 0], corner + [sign * 0.006, -0.013, -0.001]])
        grooves.append(Groove(curve_through(marionette, 40), 0.0019, rng.uniform(0.5, 0.9), down))
        outer = marks[EYES[index][0]]
        squint = ((f"eyeSquint{side}", 0.5), (f"cheekSquint{side}", 0.6), (f"mouthSmile{side}", 0.35))
        for angle in np.radians([24, 2, -22]) + rng.normal(0, 0.06, 3):
            length = rng.uniform(0.013, 0.019)
            ray = (
                np.array([0.25, 0.6, 1.0])[:, None]
                * np.array([sign * np.cos(angle), np.sin(angle), -0.55])
                * length
            )
            grooves.append(
                Groove(
                    curve_through(outer + [sign * 0.003, 0, 0] + ray, 40),
                    0.0012,
                    rng.uniform(0.35, 0.7),
                    squint,
                )
            )
        for drop in (0.0065, 0.0105):
            under = curve_through(marks[list(LOWER_LIDS[index])][1:], 60) - [0, drop, 0]
            grooves.append(Groove(under, 0.0013, rng.uniform(0.25, 0.5), squint))
        sneer = ((f"noseSneer{side}", 1.0),)
        bridge = marks[GLABELLA] * 0.45 + wing * 0.55
        line = np.stack([bridge + [-sign * 0.006, 0.006, 0.002], bridge + [-sign * 0.001, 0.000, 0]])
        grooves.append(Groove(curve_through(line, 40), 0.0012, rng.uniform(0.4, 0.8), sneer))
    return grooves


@dataclass(frozen=True)
class Creases:
    """Grooves evaluated at points: `profile` [G,N] is their shape, 0 where there is none."""

    grooves: list[Groove]
    profile: np.ndarray
    rest: np.ndarray

    @staticmethod
    def at(points: np.ndarray, grooves: list[Groove], age_lines: float, widen: float = 1.0) -> Creases:
        """Evaluate grooves at template points [N,3]; `age_lines` is how much of them shows at rest."""
        profile = np.zeros((len(grooves), len(points)), np.float32)
        for row, groove in zip(profile, grooves, strict=True):
            box = np.all((points > groove.line.min(0) - 0.02) & (points < groove.line.max(0) + 0.02), 1)
            near = np.flatnonzero(box)
            distance, along = distance_to_curve(points[near], groove.line)
            across = distance / (groove.width * widen)
            shape = -np.exp(-(across**2)) + 0.30 * np.exp(-((across - 2.0) ** 2))
            fade = np.clip(np.minimum(along, 1 - along) / 0.18, 0, 1)
            row[near] = shape * groove.depth * fade
        return Creases(grooves, profile, np.array([0.07 * age_lines for _ in grooves]))

    def activation(self, expr: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Contraction [G] of each groove for unit weights [E]."""
        active = np.array(
            [
                sum(weight * expr[names.index(unit)] for unit, weight in groove.units)
                for groove in self.grooves
            ]
        )
        return self.rest + np.clip(active, 0, 1.2)

    def height(self, expr: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """Displacement [N] along the normal, metres."""
        return DEPTH * (self.activation(expr, names) @ self.profile)
