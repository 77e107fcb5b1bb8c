"""Paint over patches of drawn eyes and mouths: irises, lashes, lids' shadows, folds, brows, lips of many colours.

Drawn people are fair and plain beside real ones. None of this moves a rim, and all of it has been taken for one.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.capture.face_details import Part

UPPER_LID = (362, 398, 384, 385, 386, 387, 388, 466, 263)
LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)
IRIS, IRIS_RIM = 473, (474, 475, 476, 477)
INNER = {"upper": (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
         "lower": (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)}  # fmt: skip
OUTER = {"upper": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
         "lower": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)}  # fmt: skip
PAINTED = 0.6  # share of the patches
TOUCHING = 0.02  # of half a patch between lips that touch
FINE = 4  # bits of a pixel that lines are drawn to
LARGER = 4  # times, areas before they are brought to a patch's pixels


class Canvas:
    """A patch [S,S,3] in 0..1 under the brush, and its points in pixels."""

    def __init__(self, image: np.ndarray, part: Part, places: np.ndarray) -> None:
        self.image, self.side = image, len(image)
        self.at = dict(zip(part.points, (places + 1) * self.side / 2 - 0.5, strict=True))

    def line(self, ids: tuple[int, ...]) -> np.ndarray:
        """The points [K,2] of some landmarks."""
        return np.stack([self.at[i] for i in ids])

    def stroke(self, line: np.ndarray, width: float, soft: float) -> np.ndarray:
        """Weight [S,S] of a soft line `width` pixels across."""
        mask = np.zeros((self.side, self.side), np.float32)
        fixed = np.round(line * 2**FINE).astype(np.int32)
        cv2.polylines(mask, [fixed], False, 1.0, max(1, round(width)), cv2.LINE_AA, FINE)
        return np.clip(cv2.GaussianBlur(mask, (0, 0), soft), 0, 1)

    def area(self, outline: np.ndarray, soft: float) -> np.ndarray:
        """Weight [S,S] of a polygon."""
        # Drawn larger: OpenCV fills a border of half a pixel, too, as wide as gaps between lips that hardly part.
        mask = np.zeros((self.side * LARGER, self.side * LARGER), np.float32)
        fixed = ((outline + 0.5) * LARGER - 0.5) * 2**FINE
        cv2.fillPoly(mask, [np.round(fixed).astype(np.int32)], 1.0, cv2.LINE_8, FINE)
        mask = cv2.resize(mask, (self.side, self.side), interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(mask, (0, 0), soft)

    def reach(self, side: str, share: float) -> np.ndarray:
        """From the inner rim [11,2] of a lip that share of the way to its outer one."""
        return share * (self.line(OUTER[side]) - self.line(INNER[side]))

    def band(self, side: str, share: float, tapered: float, rng: np.random.Generator) -> np.ndarray:
        """Weight [S,S] of the inner share of a lip, which narrows towards the corners; its border is soft or sharp."""
        inner = self.line(INNER[side])
        along = np.sin(np.pi * np.linspace(0, 1, len(inner))) ** tapered
        outline = np.concatenate([inner, (inner + self.reach(side, share) * along[:, None])[::-1]])
        return self.area(outline, rng.uniform(0.4, 2.0) * self.side / 64)

    def color(self, places: np.ndarray) -> np.ndarray:
        """The median colour [3] at points [K,2]; those outside are taken at the border."""
        x, y = np.clip(np.round(places).astype(int), 0, self.side - 1).T
        return np.median(self.image[y, x], axis=0)

    def lay(self, weight: np.ndarray, color: np.ndarray) -> None:
        """Cover with a colour [3]."""
        self.image = self.image * (1 - weight[..., None]) + color * weight[..., None]

    def shade(self, weight: np.ndarray, factor: np.ndarray) -> None:
        """Multiply by a factor [3] where the weight is 1."""
        self.image = self.image * (1 + weight[..., None] * (factor - 1))


def painted(
    images: torch.Tensor, places: torch.Tensor, visible: torch.Tensor, part: Part, rng: np.random.Generator
) -> torch.Tensor:
    """Patches [B,3,S,S] in 0..1, some of them painted over; places [B,P,2], visible [B,P] in 0..1."""
    images = images.clone()
    brush = _paint_mouth if 13 in part.points else _paint_eye
    seen = visible.mean(1).numpy() > 0.7
    for k in np.flatnonzero(seen & (rng.random(len(images)) < PAINTED)):
        canvas = Canvas(images[k].permute(1, 2, 0).numpy(), part, places[k].double().numpy())
        brush(canvas, rng)
        images[k] = torch.from_numpy(np.ascontiguousarray(canvas.image.clip(0, 1).transpose(2, 0, 1)))
    return images


def _dark(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.01, 0.22) * np.array([1.0, rng.uniform(0.7, 1.0), rng.uniform(0.5, 1.0)])


def _paint_eye(canvas: Canvas, rng: np.random.Generator) -> None:
    upper, lower = canvas.line(UPPER_LID), canvas.line(LOWER_LID)
    pixel = canvas.side / 48
    across = upper[-1] - upper[0]
    length = np.hypot(*across)
    up = np.array([across[1], -across[0]]) / max(length, 1.0)
    opening = canvas.area(np.concatenate([upper, lower[::-1]]), 0.5 * pixel)
    if rng.random() < 0.6:
        centre = canvas.at[IRIS]
        radius = np.linalg.norm(canvas.line(IRIS_RIM) - centre, axis=1).mean()
        y, x = np.mgrid[: canvas.side, : canvas.side]
        disc = np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1).astype(np.float32)
        canvas.shade(disc * opening, rng.uniform(0.1, 0.7) * np.array([1.0, 0.85, 0.7]))
    if rng.random() < 0.4:
        canvas.shade(
            opening, rng.uniform(0.45, 1.0) * np.array([1.0, rng.uniform(0.8, 1), rng.uniform(0.75, 1)])
        )
    if rng.random() < 0.5:
        for line, way in ((upper, 1), (lower, -1)):
            away = rng.uniform(0.05, 0.2) * length
            shadow = canvas.stroke(
                line + way * away * up, rng.uniform(2, 9) * pixel, rng.uniform(1.5, 4) * pixel
            )
            canvas.shade(shadow, rng.uniform(0.45, 1.15) * np.array([1.0, 0.92, 0.92]))
    if rng.random() < 0.6:
        away = rng.uniform(0.06, 0.26) * length
        fold = canvas.stroke(upper + away * up, rng.uniform(0.6, 1.6) * pixel, rng.uniform(0.4, 1.0) * pixel)
        canvas.shade(fold, np.full(3, rng.uniform(0.3, 1.25)))
    if rng.random() < 0.7:
        _paint_lashes(canvas, upper, up, rng)
    _paint_rims(canvas, upper, lower, up, opening, rng)
    if rng.random() < 0.35:
        _paint_brow(canvas, upper, up, length, pixel, rng)


def _paint_lashes(canvas: Canvas, upper: np.ndarray, up: np.ndarray, rng: np.random.Generator) -> None:
    """A dark line along the upper rim: lashes that stand up, or hang down over the eyeball from a rim above them."""
    pixel = canvas.side / 48
    width = rng.uniform(0.8, 2.0) if rng.random() < 0.5 else rng.uniform(1.2, 3.6)
    middle = 0.5 if width < 1.2 or rng.random() < 0.4 else -0.5 * width + rng.uniform(0.0, 0.6)
    lash = canvas.stroke(upper + middle * pixel * up, width * pixel, rng.uniform(0.35, 0.8) * pixel)
    canvas.lay(lash * rng.uniform(0.2, 1.0), _dark(rng))


def _paint_rims(
    canvas: Canvas, upper: np.ndarray, lower: np.ndarray, up: np.ndarray, opening: np.ndarray,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """What makes an open eye look narrower than it is: the upper lid's shadow on it, and the lower lid's wet edge."""
    pixel = canvas.side / 48
    if rng.random() < 0.5:
        under = upper - rng.uniform(0, 2) * pixel * up
        shadow = canvas.stroke(under, rng.uniform(1, 4) * pixel, rng.uniform(0.4, 1.4) * pixel)
        canvas.shade(shadow * opening, rng.uniform(0.15, 0.9) * np.array([1.0, 0.95, 0.9]))
    if rng.random() < 0.35:
        edge = canvas.stroke(lower, rng.uniform(0.8, 2.2) * pixel, rng.uniform(0.3, 0.7) * pixel)
        wet = canvas.color(lower - 3 * pixel * up) * rng.uniform(0.85, 1.4)
        canvas.lay(edge * opening * rng.uniform(0.3, 0.9), wet * np.array([1.0, *rng.uniform(0.75, 1.0, 2)]))


def _paint_brow(
    canvas: Canvas, upper: np.ndarray, up: np.ndarray, length: float, pixel: float, rng: np.random.Generator
) -> None:
    """A heavy brow, an arc above the upper lid."""
    middle = upper.mean(0)
    arc = middle + (upper - middle) * rng.uniform(1.1, 1.6) + rng.uniform(0.38, 0.75) * length * up
    arc = arc + np.linspace(-1, 1, len(arc))[:, None] * rng.normal(0, 0.06) * length * up
    brow = canvas.stroke(arc, rng.uniform(3, 8) * pixel, rng.uniform(0.5, 1.5) * pixel)
    hairs = 1 - rng.uniform(0, 0.5) * rng.random(brow.shape)
    canvas.lay((brow * hairs * rng.uniform(0.4, 1.0)).astype(np.float32), _dark(rng))


def _paint_two_tones(canvas: Canvas, lips: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """A dark upper lip, darkest where it turns in, on a lower one that is pale and pink inside and brown outside.

    Shut or open alike, so that tone says nothing of how far lips part: nothing but the edges of the gap does.
    """
    inner, outer = canvas.line(INNER["lower"])[3:8], canvas.line(OUTER["lower"])[3:8]
    skin = canvas.color(outer + 0.25 * (outer - inner) + [0, canvas.side / 32])
    brown = skin * rng.uniform(0.5, 1.0) * np.array([1.0, *rng.uniform(0.75, 1.0, 2)])
    if rng.random() < 0.8:
        canvas.lay(lips["upper"] * rng.uniform(0.3, 0.9), brown * rng.uniform(0.55, 1.05))
        if rng.random() < 0.7:
            turned = canvas.band("upper", rng.uniform(0.15, 0.8), rng.uniform(0.0, 0.6), rng)
            darker = rng.uniform(0.45, 0.95) * np.array([1.0, *rng.uniform(0.8, 1.05, 2)])
            canvas.shade(turned * lips["upper"], darker)
    if rng.random() < 0.8:
        canvas.lay(lips["lower"] * rng.uniform(0.3, 0.9), brown)
    ground = skin if rng.random() < 0.6 else canvas.color(inner + 0.4 * (outer - inner))
    pink = rng.uniform(0.8, 1.5) * ground * np.array([1.0, *rng.uniform(0.65, 1.0, 2)])
    pale = canvas.band("lower", rng.uniform(0.25, 1.0), rng.uniform(0.2, 2.0), rng)
    canvas.lay(pale * lips["lower"] * rng.uniform(0.4, 0.95), pink)
    if rng.random() < 0.4:
        edge = canvas.band("lower", rng.uniform(0.05, 0.3), rng.uniform(0.0, 0.6), rng)
        canvas.shade(edge * lips["lower"], np.full(3, rng.uniform(0.5, 1.1)))
    if rng.random() < 0.4:
        _paint_glints(canvas, lips["lower"], rng)


def _paint_glints(canvas: Canvas, lip: np.ndarray, rng: np.random.Generator) -> None:
    """Light spots on a wet lower lip, as bright as teeth."""
    pixel = canvas.side / 64
    inner = canvas.line(INNER["lower"])
    for _ in range(rng.integers(1, 4)):
        first = rng.integers(2, 8)
        along = (inner + canvas.reach("lower", rng.uniform(0.1, 0.6)))[first : first + rng.integers(2, 4)]
        glint = canvas.stroke(along, rng.uniform(0.7, 2.5) * pixel, rng.uniform(0.4, 1.2) * pixel)
        canvas.lay(glint * lip * rng.uniform(0.1, 0.6), rng.uniform(0.7, 1.0) * np.array([1.0, 0.95, 0.93]))


def _paint_corners(canvas: Canvas, rng: np.random.Generator) -> None:
    """Shadows between the lips on either side of a paler middle, which look like teeth in the dark."""
    pixel = canvas.side / 64
    upper, lower = canvas.line(INNER["upper"]), canvas.line(INNER["lower"])
    middle, far = (upper + lower) / 2, rng.integers(2, 6)
    width, soft = rng.uniform(1.5, 6) * pixel, rng.uniform(0.7, 2.0) * pixel
    dark = rng.uniform(0.3, 0.9) * np.array([1.0, 0.95, 0.95])
    for end in (middle[:far], middle[-far:]):
        canvas.shade(canvas.stroke(end, width, soft), dark)
    if rng.random() < 0.5:
        pale = canvas.color(lower[3:8] + canvas.reach("lower", 0.3)[3:8]) * rng.uniform(0.9, 1.2)
        above = (upper + canvas.reach("upper", rng.uniform(0.0, 0.6)))[4:7]
        spot = canvas.stroke(above, rng.uniform(1.5, 5) * pixel, rng.uniform(0.7, 2.0) * pixel)
        canvas.lay(spot * rng.uniform(0.1, 0.6), pale)


def _paint_inside(canvas: Canvas, rng: np.random.Generator) -> None:
    """Between parted lips: the dark, teeth of any brightness, a tongue; lips that touch are left alone."""
    pixel = canvas.side / 64
    upper, lower = canvas.line(INNER["upper"]), canvas.line(INNER["lower"])
    if np.linalg.norm(upper - lower, axis=1).mean() < TOUCHING * canvas.side / 2:
        return
    gap = canvas.area(np.concatenate([upper, lower[::-1]]), 0.4 * pixel)
    lip = canvas.color(upper[3:8] + canvas.reach("upper", 0.4)[3:8])
    if rng.random() < 0.5:
        canvas.lay(gap * rng.uniform(0.3, 1.0), lip * rng.uniform(0.05, 0.6) * np.array([1.0, 0.8, 0.8]))
    kind = rng.random()
    if kind < 0.5:
        share, soft = rng.uniform(0.2, 1.0), 0.4 * pixel
        teeth = canvas.area(np.concatenate([upper, (upper + share * (lower - upper))[::-1]]), soft)
        white = rng.uniform(0.25, 0.95) * np.array([1.0, 0.95, rng.uniform(0.75, 0.95)])
        canvas.lay(teeth * gap * rng.uniform(0.3, 1.0), white)
    elif kind < 0.75:
        share, soft = rng.uniform(0.2, 0.8), 0.6 * pixel
        tongue = canvas.area(np.concatenate([lower, (lower + share * (upper - lower))[::-1]]), soft)
        pink = lip * rng.uniform(0.5, 1.4) * np.array([1.0, *rng.uniform(0.6, 1.0, 2)])
        canvas.lay(tongue * gap * rng.uniform(0.3, 1.0), pink)


def _paint_shade(canvas: Canvas, side: str, beside: np.ndarray, rng: np.random.Generator) -> None:
    """Shaded skin below the lower lip, or stubble above the upper one, as dark as a lip and bordering on it."""
    pixel = canvas.side / 64
    outer = canvas.line(OUTER[side])
    across = outer[-1] - outer[0]
    away = np.array([-across[1], across[0]]) * (1 if side == "lower" else -1)
    along = np.sin(np.pi * np.linspace(0, 1, len(outer))) ** rng.uniform(0.3, 2.0)
    reach = outer + (rng.uniform(0.04, 0.25) * along)[:, None] * away
    shade = canvas.area(np.concatenate([outer, reach[::-1]]), rng.uniform(0.5, 2.5) * pixel)
    canvas.shade(shade * beside, rng.uniform(0.4, 0.95) * np.array([1.0, *rng.uniform(0.8, 1.05, 2)]))


def _paint_contact(canvas: Canvas, rng: np.random.Generator) -> None:
    """A dark line where lips touch, or none between dark and light ones; open mouths are left alone."""
    pixel = canvas.side / 64
    upper, lower = canvas.line(INNER["upper"]), canvas.line(INNER["lower"])
    if np.linalg.norm(upper - lower, axis=1).mean() > TOUCHING * canvas.side / 2:
        return
    middle = (upper + lower)[rng.integers(0, 3) : 11 - rng.integers(0, 3)] / 2
    line = canvas.stroke(middle, rng.uniform(0.6, 2.0) * pixel, rng.uniform(0.3, 0.9) * pixel)
    canvas.shade(line, rng.uniform(0.2, 1.3) * np.array([1.0, 0.9, 0.9]))


def _paint_mouth(canvas: Canvas, rng: np.random.Generator) -> None:
    pixel = canvas.side / 64
    lips = {
        side: canvas.area(
            np.concatenate([canvas.line(OUTER[side]), canvas.line(INNER[side])[::-1]]), 0.6 * pixel
        )
        for side in INNER
    }
    two_tones = rng.random() < 0.6
    if rng.random() < 0.5 and not two_tones:
        canvas.shade(lips["upper"], rng.uniform(0.35, 1.05) * np.array([1.0, rng.uniform(0.85, 1.1), 1.0]))
    if rng.random() < 0.3:
        canvas.shade(lips["lower"], rng.uniform(0.6, 1.4) * np.array([1.0, rng.uniform(0.8, 1.1), 1.0]))
    if rng.random() < 0.5:
        _paint_shade(canvas, "lower", 1 - lips["lower"], rng)
    if rng.random() < 0.25:
        _paint_shade(canvas, "upper", 1 - lips["upper"], rng)
    if two_tones:
        _paint_two_tones(canvas, lips, rng)
    if rng.random() < 0.5:
        _paint_inside(canvas, rng)
    if rng.random() < 0.4:
        _paint_corners(canvas, rng)
    if rng.random() < 0.5:
        _paint_contact(canvas, rng)
    for side, share in (("lower", 0.6), ("upper", 0.25)):
        if rng.random() > share:
            continue
        within = rng.uniform(0.0, 0.85)
        middle = canvas.line(INNER[side]) * (1 - within) + canvas.line(OUTER[side]) * within
        middle = middle[rng.integers(0, 4) : 11 - rng.integers(0, 4)]
        band = canvas.stroke(middle, rng.uniform(0.7, 4) * pixel, rng.uniform(0.4, 1.5) * pixel)
        canvas.shade(
            band * (lips[side] + 0.2).clip(0, 1), rng.uniform(0.55, 1.9) * np.array([1.0, 0.95, 0.95])
        )
    if rng.random() < 0.25:
        border = canvas.stroke(
            canvas.line(OUTER["lower"]), rng.uniform(1, 4) * pixel, rng.uniform(0.5, 1.5) * pixel
        )
        canvas.shade(border, np.full(3, rng.uniform(0.5, 1.1)))
