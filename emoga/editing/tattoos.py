"""Tattoos: a picture, or one of a few shapes in dark ink, under the skin."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from emoga.avatar import Gaussians
from emoga.editing.drawing import dots, middle_of, template_normal
from emoga.editing.light import to_linear
from emoga.editing.masks import MM
from emoga.editing.subject import Subject
from emoga.editing.surface import find_places
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value


def tattoo(subject: Subject, step: Operation, amount: float, picture: np.ndarray | None = None) -> Gaussians:
    """A picture [H,W,4] in 0..1 under the skin, or one of the built-in shapes in dark ink."""
    if picture is None:
        ink = np.array(colour_value(step.colour or "#1c2730"))
        picture = np.concatenate([np.broadcast_to(ink, (64, 64, 3)), shape_mask(step.style)[..., None]], -1)
    part = step.position[0] if step.position else "cheeks"
    centre = middle_of(subject, part, step.side)
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
    normal, up = template_normal(subject, centre)
    right = np.cross(up, normal)
    offset = ((x - (columns - 1) / 2)[..., None] * right - (y - (rows - 1) / 2)[..., None] * up) * spacing
    inked = pixels[..., 3] > 0.05
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
