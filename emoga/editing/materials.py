"""Whole heads of marble, bronze or clay, or shaded like a cartoon: one substance under the avatar's own light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.editing.light import LUMA, to_linear
from emoga.editing.masks import MM, hair_mask, head_mask, part_mask
from emoga.editing.painting import Paint, smoothed
from emoga.editing.subject import Subject

UP_FRONT = np.array([0.0, 0.45, 0.89])
# Where light comes from that shows form in a head of one colour.
WINDOW = np.array([0.42, 0.55, 0.72])


@dataclass(frozen=True)
class Substance:
    """srgb: colour; vein: colour of what runs through it, and how much of it; gloss: 0 dull, 1 polished metal."""

    srgb: tuple[float, float, float]
    vein: tuple[float, float, float] = (0.0, 0.0, 0.0)
    veined: float = 0.0
    gloss: float = 0.0
    grain: float = 0.0


SUBSTANCES: dict[str, Substance] = {
    "marble": Substance((0.86, 0.85, 0.82), (0.55, 0.55, 0.58), 0.5, 0.08),
    "bronze": Substance((0.66, 0.46, 0.25), (0.33, 0.47, 0.38), 0.2, 0.85),
    "clay": Substance((0.69, 0.42, 0.31), grain=0.06),
    "stone": Substance((0.58, 0.57, 0.55), (0.35, 0.35, 0.34), 0.2, grain=0.16),
    "plaster": Substance((0.93, 0.92, 0.90), grain=0.02),
    "wood": Substance((0.60, 0.41, 0.25), (0.36, 0.22, 0.12), 0.7, 0.1),
    "jade": Substance((0.44, 0.66, 0.52), (0.78, 0.88, 0.78), 0.4, 0.3),
    "gold": Substance((0.86, 0.66, 0.27), gloss=1.0),
    "silver": Substance((0.76, 0.77, 0.79), gloss=1.0),
    "copper": Substance((0.74, 0.44, 0.30), (0.30, 0.55, 0.47), 0.15, 0.9),
    "steel": Substance((0.56, 0.58, 0.61), gloss=0.9),
}  # fmt: skip


def material_paint(subject: Subject, base: np.ndarray, name: str, amount: float) -> Paint:
    """Base colours [N,3] of a head made of a material."""
    weight = head_mask(subject)
    if name == "cartoon":
        return Paint(_cartoon(subject, base), weight * min(amount, 1.0), solid=True)
    substance = SUBSTANCES[name]
    carved = 0.5 + 0.62 * np.clip(subject.normals @ WINDOW, -0.4, 1)
    light = subject.shading(subject.normals) ** 0.5 * carved * _relief(subject, base)
    colour = to_linear(np.array(substance.srgb))
    vein = (substance.veined * _veins(subject.points, name))[:, None]
    body = (1 - vein) * colour + vein * to_linear(np.array(substance.vein))
    shade = light * (1 - substance.gloss) + substance.gloss * polished(subject.normals, light)
    shade = shade * (1 + substance.grain * subject.rng(11).standard_normal(len(base)))
    exposure = np.clip(float(subject.skin @ LUMA) / 0.28, 0.75, 1.15)
    return Paint(np.clip(exposure * shade[:, None] * body, 0, 1.5), weight * min(amount, 1.0), solid=True)


def polished(normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Brightness [M] of polished metal: a bright room above, a dark horizon, a window in front."""
    mirrored = 2 * normals[:, 2:3] * normals - np.array([0.0, 0.0, 1.0])
    sky = 0.35 + 0.75 / (1 + np.exp(-7 * (mirrored[:, 1] - 0.05)))
    window = 1.6 * np.exp(-0.5 * (np.arccos(np.clip(mirrored @ UP_FRONT, -1, 1)) / 0.33) ** 2)
    return 0.75 * (0.55 * (sky + window) + 0.3 * light) ** 1.9


def _relief(subject: Subject, base: np.ndarray) -> np.ndarray:
    """[N]: brightness against the surroundings: folds and eyes stay seen in a head of one colour."""
    bright = np.clip(base @ LUMA, 3e-3, 1.5)
    hair = hair_mask(subject)
    level = np.exp(smoothed(subject, np.log(bright)[:, None].repeat(3, 1), head_mask(subject), 7 * MM)[:, 0])
    detail = np.clip(bright / level, 0.3, 2.5)
    return np.clip(detail ** (0.42 - 0.1 * hair), 0.55, 1.4)


def _veins(points: np.ndarray, name: str) -> np.ndarray:
    """[N] in 0..1: thin wandering bands through space, the same for everybody."""
    rng = np.random.default_rng(sum(map(ord, name)))
    wander = np.zeros(len(points))
    for wavelength, height in ((0.09, 1.0), (0.045, 0.55), (0.022, 0.3), (0.011, 0.15)):
        for _ in range(3):
            direction = rng.standard_normal(3)
            direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
            wander += height * np.sin(points @ direction + rng.uniform(0, 2 * np.pi))
    if name == "wood":
        return 0.5 + 0.5 * np.sin(points[:, 0] * 900 + 2.5 * wander)
    return np.exp(-((wander / 0.22) ** 2))


def _cartoon(subject: Subject, base: np.ndarray) -> np.ndarray:
    """Flat, vivid colours in three tones; brows and eyes keep their lines."""
    result = base.copy()
    for part, radius in (("skin", 6 * MM), ("hair", 4 * MM), ("lips", 3 * MM)):
        weight = part_mask(subject, part)
        colour = subject.typical(weight)
        grey = float(colour @ LUMA)
        tone = np.clip(smoothed(subject, base, weight, radius) @ LUMA / max(grey, 1e-3), 0, 3)
        steps = np.select([tone < 0.62, tone < 1.2], [0.55, 1.0], 1.35)
        vivid = np.clip(grey + 1.25 * (colour - grey), 0.003, 1)
        result = (1 - weight[:, None]) * result + weight[:, None] * steps[:, None] * vivid
    brows = part_mask(subject, "brows")[:, None]
    return np.clip((1 - 0.5 * brows) * result, 0, 1.3)
