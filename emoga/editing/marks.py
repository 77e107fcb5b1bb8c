"""What is drawn on the skin: wrinkles, freckles, spots, scars, eyeliner, tattoos; small Gaussians just above it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from emoga.avatar import Gaussians
from emoga.editing.light import LUMA, repainted, to_linear
from emoga.editing.masks import MM, landmarks
from emoga.editing.subject import Subject, template_vertices
from emoga.editing.surface import Places, bound_gaussians, find_places, joined, skin_latents, skin_sh
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value

# Above the skin's own Gaussians, metres.
ABOVE = 0.35 * MM
FRECKLE, SPOT, MOLE = np.array([0.70, 0.52, 0.38]), np.array([0.74, 0.62, 0.50]), np.array([0.22, 0.14, 0.10])
CREASE, RIDGE = np.array([0.52, 0.45, 0.42]), np.array([1.16, 1.14, 1.13])
HOLLOW = np.array([0.74, 0.68, 0.66])
SCAR, SCAR_EDGE = np.array([1.30, 1.02, 1.0]), np.array([0.80, 0.62, 0.60])
# Landmarks at the middle of a part: the subject's right, his left.
CENTRES: dict[str, tuple[int, int]] = {
    "cheeks": (50, 280), "forehead": (151, 151), "chin": (175, 175), "neck": (172, 397), "nose": (4, 4),
    "lips": (39, 269), "mouth": (39, 269), "eyes": (118, 347), "brows": (105, 334), "temples": (139, 368),
    "jaw": (136, 365), "cheekbones": (117, 346), "ears": (234, 454), "face": (50, 280), "skin": (50, 280),
    "hair": (10, 10), "teeth": (39, 269), "lashes": (118, 347),
}  # fmt: skip
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
    rng = np.random.default_rng(13)
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
    return joined([_crease(subject, _curve(path), deep * depth) for path, depth in paths])


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


def _curve(path: np.ndarray, spacing: float = 0.55 * MM) -> np.ndarray:
    """Points [P,3] evenly along a smooth curve through template points."""
    from scipy.interpolate import PchipInterpolator

    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(length) > 1e-6])
    count = max(6, int(length[-1] / spacing))
    return PchipInterpolator(length[keep], path[keep])(np.linspace(0, length[-1], count))


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


def stroke(
    subject: Subject,
    places: Places,
    width: float,
    gain: np.ndarray,
    opacity: np.ndarray,
    colour: np.ndarray | None = None,
) -> Gaussians:
    """A line of Gaussians along places, `width` metres wide: the skin's colours times a gain, or one colour."""
    along = np.gradient(places.points, axis=0)
    length = np.linalg.norm(along, axis=1)
    along = along - places.normals * (along * places.normals).sum(1, keepdims=True)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    axes = np.stack([along, np.cross(places.normals, along), places.normals], -1)
    sizes = np.stack([0.8 * length, np.full(len(along), 0.5 * width), np.full(len(along), 0.08 * MM)], 1)
    return _drawn(subject, places, axes, sizes, gain, opacity, colour)


def dots(
    subject: Subject,
    places: Places,
    radius: np.ndarray,
    gain: np.ndarray,
    opacity: np.ndarray,
    colour: np.ndarray | None = None,
) -> Gaussians:
    """Round spots of radius [M] metres."""
    axes = np.stack([np.cross(places.tangents, places.normals), places.tangents, places.normals], -1)
    sizes = np.stack([radius, radius, np.full(len(radius), 0.08 * MM)], 1)
    return _drawn(subject, places, axes, sizes, gain, opacity, colour)


def _drawn(subject, places, axes, sizes, gain, opacity, colour) -> Gaussians:  # type: ignore[no-untyped-def]
    import torch

    sh = torch.from_numpy(skin_sh(subject, places.points))
    linear = to_linear(np.clip(0.5 + 0.28209479177387814 * sh[:, 0].numpy(), 0, None))
    if colour is None:
        linear = linear * gain
    else:
        shade = np.clip((linear @ LUMA) / max(float(subject.skin @ LUMA), 1e-3), 0.3, 1.6)
        linear = shade[:, None] * colour
    sh = repainted(sh, linear, np.ones(len(sh))).numpy()
    means = places.raised(ABOVE)
    return bound_gaussians(
        subject, means, axes, sizes, sh, places.faces, skin_latents(subject, places.points),
        np.clip(opacity, 0.004, 0.97),
    )  # fmt: skip


def freckles(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Small brown dots over nose and cheeks, or over the parts named."""
    rng = np.random.default_rng(17)
    parts = step.position or ("cheeks", "nose")
    reach = {"cheeks": 24, "nose": 13, "forehead": 26, "chin": 14}
    points = [
        _scattered(subject, part, step.side, reach.get(part, 20) * MM, int(70 * amount), rng)
        for part in parts
    ]
    places = find_places(subject, np.concatenate(points))
    radius = 0.35 * MM * np.exp(0.35 * rng.standard_normal(len(places)))
    return dots(subject, places, radius, FRECKLE, 0.45 + 0.3 * rng.random(len(places)))


def age_spots(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Brown patches on temples, cheeks and forehead."""
    rng = np.random.default_rng(19)
    parts = step.position or ("temples", "forehead", "cheekbones")
    points = [_scattered(subject, part, step.side, 22 * MM, max(2, int(4 * amount)), rng) for part in parts]
    centres = np.repeat(np.concatenate(points), 4, axis=0)
    centres = centres + 1.1 * MM * rng.standard_normal(centres.shape)
    places = find_places(subject, centres)
    return dots(subject, places, (0.7 + 0.7 * rng.random(len(places))) * MM, SPOT, np.full(len(places), 0.35))


def mole(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """One dark spot: above the lip unless a part is named."""
    part = step.position[0] if step.position else "lips"
    place = find_places(
        subject, _centre(subject, part, step.side)[None] + np.array([[0, 4 * MM * (part == "lips"), 0]])
    )
    radius = (1.4 if "large" in step.style else 0.6 if "small" in step.style else 0.95) * MM
    return dots(subject, place, np.array([radius]), MOLE, np.array([0.9]))


def scar(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A pale line with darker edges across a part, the left cheek unless one is named."""
    part = step.position[0] if step.position else "cheeks"
    centre = _centre(subject, part, step.side)
    length = (46 if "long" in step.style else 16 if {"small", "short"} & set(step.style) else 28) * MM
    slant = 1.5 if "vertical" in step.style or part == "eyes" else 0.05 if "horizontal" in step.style else 1.0
    sign = -1 if centre[0] > 0 else 1
    way = np.array([sign * np.cos(slant), np.sin(slant), 0])
    rng = np.random.default_rng(23)
    share = np.linspace(-0.5, 0.5, 9)[:, None]
    path = centre + share * length * way + 0.5 * MM * rng.standard_normal((9, 3))
    places = find_places(subject, _curve(path))
    taper = np.sin(np.pi * np.linspace(0.02, 0.98, len(places))) ** 0.5
    width = (2.4 if {"thick", "deep"} & set(step.style) else 1.0 if "thin" in step.style else 1.6) * MM
    edge = stroke(subject, places, 2.0 * width, SCAR_EDGE, 0.45 * amount * taper)
    line = stroke(
        subject,
        Places(places.raised(0.2 * MM), places.normals, places.tangents, places.faces),
        width,
        SCAR,
        0.75 * amount * taper,
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
                subject, _curve(landmarks(subject, numbers) + np.array([0, 0.8 * MM, 0.3 * MM]))
            )
            opacity = 0.85 * min(amount, 1.1) * np.linspace(1, 0.6, len(places))
            drawn.append(stroke(subject, places, width, np.ones(3), opacity, ink))
    return joined(drawn)


def tattoo(subject: Subject, step: Operation, amount: float, picture: np.ndarray | None = None) -> Gaussians:
    """A picture [H,W,4] in 0..1 under the skin, or one of the built-in shapes in dark ink."""
    if picture is None:
        ink = np.array(colour_value(step.colour or "#1c2730"))
        picture = np.concatenate([np.broadcast_to(ink, (64, 64, 3)), shape_mask(step.style)[..., None]], -1)
    part = step.position[0] if step.position else "cheeks"
    centre = _centre(subject, part, step.side)
    small = "teardrop" in step.style or "dot" in step.style or "small" in step.style
    width = (9 if small else 34 if "large" in step.style else 20) * MM
    spacing = max(0.45 * MM, width / 50)
    columns = max(6, int(width / spacing))
    rows = max(6, int(columns * picture.shape[0] / picture.shape[1]))
    shrunk = Image.fromarray((picture * 255).astype(np.uint8), "RGBA").resize(
        (columns, rows), Image.Resampling.BOX
    )
    pixels = np.asarray(shrunk, np.float64) / 255
    y, x = np.mgrid[0:rows, 0:columns]
    middle = find_places(subject, centre[None])
    normal, up = _template_normal(subject, centre)
    right = np.cross(up, normal)
    offset = ((x - (columns - 1) / 2)[..., None] * right - (y - (rows - 1) / 2)[..., None] * up) * spacing
    inked = pixels[..., 3] > 0.05
    assert len(middle) == 1
    places = find_places(subject, (centre + offset)[inked])
    colours = to_linear(pixels[..., :3][inked])
    opacity = 0.82 * min(amount, 1.15) * pixels[..., 3][inked]
    return dots(subject, places, np.full(len(places), 0.62 * spacing), np.ones(3), opacity, colours)


def shape_mask(style: tuple[str, ...], side: int = 64) -> np.ndarray:
    """[side,side] in 0..1: a star, heart, cross, moon, drop or dot."""
    image = Image.new("L", (4 * side, 4 * side), 0)
    draw, s = ImageDraw.Draw(image), 4 * side
    turn = np.linspace(0, 2 * np.pi, 11)[:-1] - np.pi / 2
    if "heart" in style:
        t = np.linspace(0, 2 * np.pi, 90)
        x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        draw.polygon(
            [(s / 2 + a * s / 36, s / 2 - (b + 2) * s / 36) for a, b in zip(x, y, strict=True)], fill=255
        )
    elif "cross" in style:
        draw.rectangle([0.42 * s, 0.04 * s, 0.58 * s, 0.96 * s], fill=255)
        draw.rectangle([0.18 * s, 0.26 * s, 0.82 * s, 0.42 * s], fill=255)
    elif "moon" in style:
        draw.ellipse([0.05 * s, 0.05 * s, 0.95 * s, 0.95 * s], fill=255)
        draw.ellipse([0.28 * s, 0.0, 1.1 * s, 0.82 * s], fill=0)
    elif "teardrop" in style:
        draw.ellipse([0.25 * s, 0.45 * s, 0.75 * s, 0.95 * s], fill=255)
        draw.polygon([(0.5 * s, 0.03 * s), (0.27 * s, 0.62 * s), (0.73 * s, 0.62 * s)], fill=255)
    elif "dot" in style:
        draw.ellipse([0.1 * s, 0.1 * s, 0.9 * s, 0.9 * s], fill=255)
    else:
        reach = np.where(np.arange(10) % 2 == 0, 0.48, 0.2) * s
        draw.polygon(
            [(s / 2 + r * np.cos(a), s / 2 + r * np.sin(a)) for r, a in zip(reach, turn, strict=True)],
            fill=255,
        )
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64) / 255


def _centre(subject: Subject, part: str, side: str) -> np.ndarray:
    """[3] template: the middle of a part, on the left unless the right is named."""
    right, left = CENTRES.get(part, CENTRES["cheeks"])
    place = landmarks(subject, (right if side == "right" else left,))[0]
    if part == "neck":
        sign = -1 if side == "right" else 1
        place = np.array([sign * 42 * MM, -0.112, -0.020]) if side else np.array([0, -0.125, -0.012])
    if part == "forehead" and side:
        place = place + np.array([(-1 if side == "right" else 1) * 22 * MM, 0, -4 * MM])
    if part == "chin" and side:
        place = place + np.array([(-1 if side == "right" else 1) * 12 * MM, 0, -2 * MM])
    return place


def _template_normal(subject: Subject, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The template's normal [3] near a point, and the direction [3] along the surface that is up."""
    import torch

    from emoga.geometry import vertex_normals

    vertices = template_vertices(subject.head)
    normals = vertex_normals(torch.from_numpy(vertices), subject.head.faces).numpy()
    outer = ~np.any(
        [
            subject.head.regions[n].numpy()
            for n in ("eyeballs", "teeth", "tongue", "lashes", "mouth_interior")
        ],
        0,
    )
    distance = np.linalg.norm(vertices - point, axis=1) + 1e3 * ~outer
    normal = normals[np.argsort(distance)[:12]].mean(0)
    normal /= np.linalg.norm(normal)
    up = np.array([0, 1.0, 0]) - normal * normal[1]
    return normal, up / np.linalg.norm(up)


def _scattered(
    subject: Subject, part: str, side: str, reach: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Points [M,3] about the middle of a part of the template, on one or both sides."""
    sides = (side,) if side in ("left", "right") else ("left", "right")
    if CENTRES.get(part, (0, 1))[0] == CENTRES.get(part, (0, 1))[1]:
        sides = ("",)
    found = []
    for each in sides:
        centre = _centre(subject, part, each)
        normal, up = _template_normal(subject, centre)
        right = np.cross(up, normal)
        radius = reach * np.sqrt(rng.random(max(count, 1)))
        angle = 2 * np.pi * rng.random(max(count, 1))
        found.append(
            centre + (radius * np.cos(angle))[:, None] * right + 0.7 * (radius * np.sin(angle))[:, None] * up
        )
    return np.concatenate(found)
