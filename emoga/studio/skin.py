"""Painted skin: linear colour, roughness and pore relief per texel, from anatomy and 3D noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.studio.anatomy import (
    CHEEKS,
    CHIN,
    FOREHEAD,
    GLABELLA,
    LOWER_LIDS,
    NOSE_TIP,
    WINGS,
    Anatomy,
    curve_through,
    distance_to_curve,
    smoothstep,
)  # fmt: skip
from emoga.studio.appearance import Appearance
from emoga.studio.noise import cell_noise, gradient_noise

PORE_DEPTH = 5.5e-5  # metres
FLUSH_LIMIT = 0.5


@dataclass(frozen=True)
class SkinPaint:
    """Per texel [N]: linear color [N,3], roughness [N], relief [N] metres, flush weight [N], hair density [N]."""

    color: np.ndarray
    roughness: np.ndarray
    relief: np.ndarray
    flush: np.ndarray


def paint_skin(
    points: np.ndarray, anatomy: Anatomy, looks: Appearance, hair: np.ndarray, seed: int
) -> SkinPaint:
    """Paint template points [N,3]; `hair` [N] is the scalp's growth density there."""
    lips = anatomy.signed_lips(points) + 0.0005 * gradient_noise(points, 0.004, seed + 1, 2)
    on_lips = smoothstep(-0.0011, 0.0008, lips)
    flush = _flush(points, anatomy)
    color = _complexion(points, anatomy, looks, flush, seed)
    color = _marks(color, points, anatomy, looks, seed)
    color = _brow_and_stubble(color, points, anatomy, looks, on_lips, seed)
    color = _lips(color, points, lips, on_lips, looks, seed)
    color = _eye_rims(color, points, anatomy)
    under_hair = (0.72 * hair * smoothstep(0.02, 0.6, hair))[:, None] if looks.hair_style else 0.0
    color = color * (1 - under_hair) + under_hair * (0.35 * color + 0.65 * looks.hair_color * 1.6)
    return SkinPaint(
        np.clip(color, 0.004, 0.9).astype(np.float32),
        _roughness(points, anatomy, looks, on_lips, seed),
        _relief(points, anatomy, looks, on_lips, hair, seed),
        flush.astype(np.float32),
    )


def _flush(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Where blood shows: cheeks, nose, ears, a little on the chin and forehead."""
    cheeks = sum(anatomy.near(points, mark, 0.026) for mark in CHEEKS)
    nose = anatomy.near(points, NOSE_TIP, 0.019) + 0.6 * sum(
        anatomy.near(points, mark, 0.010) for mark in WINGS
    )
    rest = 0.35 * anatomy.near(points, CHIN, 0.02) + 0.22 * anatomy.near(points, FOREHEAD, 0.05)
    return np.clip(0.85 * cheeks + 0.8 * nose + 0.9 * anatomy.near_ears(points, 0.012) + rest, 0, 1)


def _complexion(
    points: np.ndarray, anatomy: Anatomy, looks: Appearance, flush: np.ndarray, seed: int
) -> np.ndarray:
    blotch = gradient_noise(points, 0.030, seed + 2, 2)[:, None]
    mottle = gradient_noise(points, 0.0065, seed + 3, 3)[:, None]
    grain = gradient_noise(points, 0.0012, seed + 4, 2)[:, None]
    blood = gradient_noise(points, 0.010, seed + 5, 3)[:, None]
    color = looks.skin * (1 + 0.035 * blotch + 0.045 * mottle + 0.05 * grain)
    red = np.array([0.03, -0.17, -0.13])
    color = color * (1 + (0.22 + 0.26 * blood + 0.80 * looks.blush * flush[:, None]) * red)
    # Bone near the skin looks yellower, the sockets darker and bluer.
    forehead = anatomy.near(points, FOREHEAD, 0.06)[:, None]
    color = color * (1 + forehead * np.array([0.03, 0.03, -0.01]))
    for side in (0, 1):
        hollow = curve_through(anatomy.marks[list(LOWER_LIDS[side])], 40) - [0, 0.008, 0]
        shade = np.exp(-((distance_to_curve(points, hollow)[0] / 0.0075) ** 2))[:, None]
        color = color * (1 - shade * np.array([0.10, 0.17, 0.12]))
        lid = smoothstep(0.012, 0.0, np.abs(anatomy.signed_eye(points, side) + 0.004))[:, None]
        upper = (points[:, 1:2] > 0) * lid
        color = color * (1 - upper * np.array([0.08, 0.16, 0.13]))
    # Fine vessels about the nose wings and on the cheeks.
    thread = np.exp(-((gradient_noise(points, 0.0045, seed + 6, 2) / 0.035) ** 2))
    color = color * (1 + (0.6 * thread * flush * np.clip(0.3 + blood[:, 0], 0, 1))[:, None] * red)
    return color


def _marks(
    color: np.ndarray, points: np.ndarray, anatomy: Anatomy, looks: Appearance, seed: int
) -> np.ndarray:
    """Freckles on nose and cheeks, a few moles anywhere."""
    dark = looks.skin * np.array([0.50, 0.36, 0.30])
    zone = np.clip(sum(anatomy.near(points, m, 0.035) for m in (*CHEEKS, NOSE_TIP, GLABELLA)), 0, 1)
    for octave, size in enumerate((0.0030, 0.0017)):
        distance, label = cell_noise(points, size, seed + 40 + octave)
        chosen = label < looks.freckles * zone * 0.55
        edge = 0.24 + 0.22 * np.modf(label * 97)[0]
        spot = (
            chosen * smoothstep(edge + 0.14, edge - 0.10, distance) * (0.18 + 0.42 * np.modf(label * 53)[0])
        )
        color = color * (1 - spot[:, None]) + dark * spot[:, None]
    rng = np.random.default_rng([seed, 3])
    front = np.flatnonzero(points[:, 2] > -0.05)
    for _ in range(looks.moles):
        centre = points[rng.choice(front)]
        radius = rng.uniform(0.0006, 0.0017)
        distance = np.linalg.norm(points - centre, axis=1) / radius
        spot = (smoothstep(1.25, 0.75, distance) * rng.uniform(0.55, 0.95))[:, None]
        color = color * (1 - spot) + dark * 0.55 * spot
    return color


def _brow_and_stubble(
    color: np.ndarray, points: np.ndarray, anatomy: Anatomy, looks: Appearance, on_lips: np.ndarray, seed: int
) -> np.ndarray:
    """A faint shadow under brow hairs, and shaved hairs of the beard with their bluish skin."""
    for side in (0, 1):
        near = (np.sign(points[:, 0]) == (1 if side == 0 else -1)) & (
            points[:, 2] > anatomy.marks[GLABELLA, 2] - 0.05
        )
        shadow = (0.33 * brow_density(points, anatomy, side, 0.9) * near)[:, None]
        color = color * (1 - shadow) + shadow * (0.5 * color + 0.5 * looks.hair_color)
    if looks.stubble > 0:
        beard = beard_density(points, anatomy) * looks.stubble * (1 - on_lips)
        distance, label = cell_noise(points, 0.00085, seed + 50)
        follicle = smoothstep(0.36, 0.16, distance) * (label < 0.85) * beard
        color = color * (1 - (0.13 * beard)[:, None] * np.array([1.0, 0.9, 0.7]))
        color = color * (1 - 0.6 * follicle[:, None]) + 0.6 * follicle[:, None] * looks.hair_color
    return color


def brow_density(points: np.ndarray, anatomy: Anatomy, side: int, width: float = 1.0) -> np.ndarray:
    """Growth [N] of one brow: full in the middle, thin at the outer end, soft at the edges."""
    along, across = anatomy.brow(points, side)
    taper = np.interp(along, [0, 0.12, 0.6, 1], [0.75, 1.0, 0.9, 0.45])
    return smoothstep(1.15, 0.35, np.abs(across) / (width * taper)) * np.interp(
        along, [0, 0.1, 0.85, 1], [0.5, 1, 1, 0.3]
    )


def beard_density(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Growth [N] of beard: jaw, chin, upper lip and upper neck."""
    marks = anatomy.marks
    corner = np.abs(marks[list((61, 291))][:, 0]).mean()
    mouth = marks[13, 1]
    nose = marks[2, 1]
    side = np.abs(points[:, 0])
    across = [0, 0.6 * corner, 1.25 * corner, 1.9 * corner, 0.078]
    line = np.interp(side, across, [nose - 0.003, nose - 0.004, mouth + 0.002, mouth + 0.012, 0.0])
    low = marks[CHIN, 1] - 0.045
    grow = smoothstep(0.004, -0.010, points[:, 1] - line) * smoothstep(low - 0.02, low + 0.02, points[:, 1])
    return (
        grow * smoothstep(-0.075, -0.045, points[:, 2]) * smoothstep(0.0, 0.006, np.abs(side - 0.0) + 0.006)
    )


def _lips(
    color: np.ndarray, points: np.ndarray, lips: np.ndarray, on_lips: np.ndarray, looks: Appearance, seed: int
) -> np.ndarray:
    streak_at = points * np.array([1.0, 0.22, 0.22])
    streak = gradient_noise(streak_at, 0.0011, seed + 60, 2)[:, None]
    patch = gradient_noise(points, 0.005, seed + 61, 2)[:, None]
    inner = smoothstep(0.003, 0.009, lips)[:, None]
    lip = looks.lips * (1 + 0.10 * streak + 0.08 * patch) * (1 + inner * np.array([0.05, -0.16, -0.10]))
    # The border is a touch lighter than the skin around it.
    rim = np.exp(-(((lips + 0.0016) / 0.0011) ** 2))[:, None]
    color = color * (1 + 0.05 * rim)
    return color * (1 - on_lips[:, None]) + lip * on_lips[:, None]


def _eye_rims(color: np.ndarray, points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Pink, wet lid margins and the tear corner."""
    pink = np.array([0.52, 0.24, 0.20])
    for side in (0, 1):
        inside = smoothstep(-0.0012, 0.0008, anatomy.signed_eye(points, side)) * (
            points[:, 2] > anatomy.marks[33, 2] - 0.03
        )
        color = color * (1 - 0.6 * inside[:, None]) + pink * 0.6 * inside[:, None]
    return color


def _roughness(
    points: np.ndarray, anatomy: Anatomy, looks: Appearance, on_lips: np.ndarray, seed: int
) -> np.ndarray:
    shine = np.clip(
        anatomy.near(points, NOSE_TIP, 0.022) + 0.8 * anatomy.near(points, GLABELLA, 0.03)
        + 0.6 * anatomy.near(points, CHIN, 0.018) + 0.45 * sum(anatomy.near(points, m, 0.022) for m in CHEEKS),
        0, 1,
    )  # fmt: skip
    rough = 0.53 - 0.10 * looks.oiliness * shine + 0.03 * gradient_noise(points, 0.004, seed + 70, 2)
    rough = rough * (1 - on_lips) + 0.36 * on_lips
    for side in (0, 1):
        wet = smoothstep(-0.0006, 0.0008, anatomy.signed_eye(points, side))
        rough = rough * (1 - wet) + 0.22 * wet
    return np.clip(rough, 0.2, 0.7).astype(np.float32)


def _relief(
    points: np.ndarray, anatomy: Anatomy, looks: Appearance, on_lips: np.ndarray, hair: np.ndarray, seed: int
) -> np.ndarray:
    """Height [N] in metres: pores, fine lines, lip furrows."""
    open_pores = np.clip(
        0.35
        + anatomy.near(points, NOSE_TIP, 0.025)
        + 0.8 * sum(anatomy.near(points, m, 0.03) for m in CHEEKS),
        0,
        1.2,
    )
    distance, label = cell_noise(points, 0.00115, seed + 80)
    pores = -np.exp(-((distance / 0.30) ** 2)) * (0.4 + 0.9 * label) * open_pores
    lines = gradient_noise(points, 0.0009, seed + 81, 2) * 0.5
    lumps = gradient_noise(points, 0.004, seed + 82, 2)
    skin = PORE_DEPTH * (pores + lines) + 4.0e-5 * lumps
    furrow = gradient_noise(points * np.array([1.0, 0.13, 0.13]), 0.0012, seed + 83, 2)
    lip = 9e-5 * furrow
    return (skin * (1 - on_lips) * (1 - 0.6 * hair) + lip * on_lips).astype(np.float32)


def flushed(paint: SkinPaint, amount: float) -> np.ndarray:
    """Colours [N,3] with more (or, below zero, less) blood in the skin."""
    redder = np.array([0.05, -0.30, -0.26]) if amount > 0 else np.array([-0.02, 0.16, 0.14])
    spread = 0.18 + 0.82 * paint.flush
    change = 1 + abs(amount) * FLUSH_LIMIT / 0.5 * spread[:, None] * redder
    return np.clip(paint.color * change, 0.004, 0.9).astype(np.float32)
