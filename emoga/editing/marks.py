"""What is drawn on the skin: wrinkles, freckles, spots, scars, eyeliner."""

from __future__ import annotations

import numpy as np

from emoga.avatar import Gaussians
from emoga.editing.drawing import dots, middle_of, scattered, smooth_curve, stroke, template_normal
from emoga.editing.light import to_linear
from emoga.editing.masks import MM, landmarks
from emoga.editing.subject import Subject
from emoga.editing.surface import Places, find_places, joined
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value

FRECKLE, SPOT, MOLE = np.array([0.70, 0.52, 0.38]), np.array([0.74, 0.62, 0.50]), np.array([0.22, 0.14, 0.10])
CREASE, RIDGE = np.array([0.52, 0.45, 0.42]), np.array([1.16, 1.14, 1.13])
HOLLOW = np.array([0.74, 0.68, 0.66])
OVER_EYE = 52 * MM  # metres that a scar over an eye is long at least
SCAR, SCAR_EDGE = np.array([1.75, 1.36, 1.32]), np.array([0.66, 0.44, 0.42])
# Lines of an ageing face: part, mediapipe landmarks along them (right side; the left is their mirror), depth.
MIRROR = {
    129: 358, 203: 423, 206: 426, 216: 436, 212: 432, 33: 263, 226: 446, 31: 261, 228: 448, 229: 449, 230: 450,
    231: 451, 232: 452, 130: 359, 113: 342, 124: 353, 156: 383, 143: 372, 35: 265, 111: 340, 61: 291, 202: 422,
    210: 430, 107: 336, 55: 285, 9: 9, 8: 8, 139: 368, 116: 345, 57: 287,
}  # fmt: skip
CREASES: list[tuple[str, tuple[int, ...], float]] = [
    ("cheeks", (129, 203, 206, 216, 212), 1.0),
    ("cheeks", (57, 202, 210), 0.6),
    ("eyes", (31, 228, 229, 230, 231), 0.55),
]


def wrinkles(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Lines of the forehead, about the eyes, from nose to mouth: all of them, or those of the parts named."""
    rng = subject.rng(13)
    wanted = {"nose": "cheeks", "mouth": "cheeks", "temples": "eyes", "brows": "forehead"}
    parts = {wanted.get(part, part) for part in step.position} or {"forehead", "eyes", "cheeks"}
    deep = amount * (1.35 if "deep" in step.style else 1.0)
    paths = [
        (landmarks(subject, numbers), depth)
        for part, right, depth in CREASES
        if part in parts
        for numbers in (right, tuple(MIRROR[number] for number in right))
    ]
    if "forehead" in parts:
        paths += _forehead_lines(subject, rng)
    if "eyes" in parts:
        paths += _crows_feet(subject, rng)
    return joined([_crease(subject, smooth_curve(path), deep * depth) for path, depth in paths])


def _forehead_lines(subject: Subject, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    low = landmarks(subject, (63, 105, 66, 107, 9, 336, 296, 334, 293))
    high = landmarks(subject, (103, 67, 109, 10, 10, 10, 338, 297, 332))
    lines = []
    for share, depth in ((0.28, 0.9), (0.45, 1.2), (0.62, 1.0)):
        line = low + (share + 0.03 * rng.standard_normal(len(low)))[:, None] * (high - low)
        lines.append((line, depth))
    frown = landmarks(subject, (107, 55))
    for sign in (1, -1):
        line = frown * np.array([sign * 0.42, 1, 1]) + np.array([0, 2 * MM, 0])
        lines.append((line, 0.45))
    return lines


def _crows_feet(subject: Subject, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    lines = []
    for number, sign in ((130, -1), (359, 1)):
        corner = landmarks(subject, (number,))[0] + np.array([sign * 5 * MM, 0, 0])
        for angle in (0.55, 0.1, -0.4):
            reach = (11 + 3 * rng.random()) * MM
            way = np.array([sign * np.cos(angle), np.sin(angle), -0.35 * np.cos(angle)])
            lines.append((corner + np.linspace(0, reach, 4)[:, None] * way, 0.6))
    return lines


def _crease(subject: Subject, path: np.ndarray, depth: float) -> Gaussians:
    """A fold: a dark line with a lighter ridge under it, both fading towards the ends."""
    taper = np.sin(np.pi * np.linspace(0.02, 0.98, len(path)))
    places = find_places(subject, path)
    hollow = stroke(subject, places, 3.4 * MM, HOLLOW, 0.30 * depth * taper)
    places = Places(places.raised(0.15 * MM), places.normals, places.tangents, places.faces)
    line = stroke(subject, places, 0.8 * MM, CREASE, 0.42 * depth * taper)
    along = np.gradient(path, axis=0)
    across = np.cross(along, places.normals)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-12
    across *= np.where(across[:, 1:2] > 0, -1, 1)
    ridge = stroke(
        subject, find_places(subject, path + 2.6 * MM * across), 2.0 * MM, RIDGE, 0.25 * depth * taper
    )
    return joined([hollow, line, ridge])


def freckles(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Small brown dots over nose and cheeks, or over the parts named."""
    rng = subject.rng(17)
    parts = step.position or ("cheeks", "nose")
    reach = {"cheeks": 24, "nose": 13, "forehead": 26, "chin": 14}
    points = [
        scattered(subject, part, step.side, reach.get(part, 20) * MM, int(70 * amount), rng) for part in parts
    ]
    places = find_places(subject, np.concatenate(points))
    radius = 0.45 * MM * np.exp(0.35 * rng.standard_normal(len(places)))
    return dots(subject, places, radius, FRECKLE, 0.55 + 0.3 * rng.random(len(places)))


def age_spots(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Brown patches on temples, cheeks and forehead."""
    rng = subject.rng(19)
    parts = step.position or ("temples", "forehead", "cheekbones")
    points = [scattered(subject, part, step.side, 22 * MM, max(2, int(6 * amount)), rng) for part in parts]
    centres = np.repeat(np.concatenate(points), 4, axis=0)
    centres = centres + 1.1 * MM * rng.standard_normal(centres.shape)
    places = find_places(subject, centres)
    return dots(subject, places, (0.7 + 0.7 * rng.random(len(places))) * MM, SPOT, np.full(len(places), 0.5))


def mole(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """One dark spot: above the lip unless a part is named."""
    part = step.position[0] if step.position else "lips"
    place = find_places(
        subject, middle_of(subject, part, step.side)[None] + np.array([[0, 4 * MM * (part == "lips"), 0]])
    )
    radius = (3.0 if "large" in step.style else 0.7 if "small" in step.style else 1.2) * MM
    return dots(subject, place, np.array([radius]), MOLE, np.array([0.9]))


def scar(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A pale line with darker edges across a part, the left cheek unless one is named."""
    part = step.position[0] if step.position else "cheeks"
    # From the brow to the cheek it goes over the eye.
    part = "eyes" if {"brows", "cheeks"} <= set(step.position) else part
    centre = middle_of(subject, part, step.side)
    length = (46 if "long" in step.style else 16 if {"small", "short"} & set(step.style) else 28) * MM
    slant = 1.5 if "vertical" in step.style or part == "eyes" else 0.05 if "horizontal" in step.style else 1.0
    sign = -1 if centre[0] > 0 else 1
    normal, up = template_normal(subject, centre)
    way = sign * np.cos(slant) * np.cross(up, normal) + np.sin(slant) * up
    if part == "eyes":
        # Not along the lids' own surface, which turns inwards: from above the brow straight to the cheek.
        brow = middle_of(subject, "brows", step.side)
        centre, way = 0.5 * (centre + brow), (brow - centre) / np.linalg.norm(brow - centre)
        length = max(length, OVER_EYE)
    rng = subject.rng(23)
    share = np.linspace(-0.5, 0.5, 9)[:, None]
    path = centre + share * length * way + 0.35 * MM * rng.standard_normal((9, 3))
    places = find_places(subject, smooth_curve(path))
    taper = np.sin(np.pi * np.linspace(0.02, 0.98, len(places))) ** 0.5
    width = (2.4 if {"thick", "deep"} & set(step.style) else 1.0 if "thin" in step.style else 1.6) * MM
    edge = stroke(subject, places, 2.0 * width, SCAR_EDGE, 0.6 * amount * taper)
    line = stroke(
        subject,
        Places(places.raised(0.2 * MM), places.normals, places.tangents, places.faces),
        width,
        SCAR,
        0.9 * amount * taper,
    )
    return joined([edge, line])


def eyeliner(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A line along the edges of the upper lids."""
    lids = {
        "right": (33, 246, 161, 160, 159, 158, 157, 173),
        "left": (263, 466, 388, 387, 386, 385, 384, 398),
    }
    ink = to_linear(np.array(colour_value(step.colour or "black")))
    width = (0.6 if "thin" in step.style else 1.4 if "thick" in step.style else 0.9) * MM
    drawn = []
    for side, numbers in lids.items():
        if step.side in ("", "both", side):
            places = find_places(
                subject, smooth_curve(landmarks(subject, numbers) + np.array([0, 0.8 * MM, 0.3 * MM]))
            )
            opacity = 0.85 * min(amount, 1.1) * np.linspace(1, 0.6, len(places))
            drawn.append(stroke(subject, places, width, np.ones(3), opacity, ink))
    return joined(drawn)
