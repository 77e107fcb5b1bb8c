"""Random people: shape beyond the usual range, hair, beard, headwear, glasses, clothes, eyes and teeth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.head import Head
from emoga.head.model import Identity
from emoga.studio.anatomy import smoothstep
from emoga.studio.appearance import IRIS_COLORS
from emoga.studio.eyes import Eyeball, make_eyeball, paint_eye
from emoga.studio.garment import fit_rows, make_shirt
from emoga.studio.hair import HairStyle, grow_hair, scatter_roots
from emoga.studio.lips import LipContact
from emoga.studio.noise import gradient_noise
from emoga.studio.performer import make_performer
from emoga.studio.teeth import make_arch, make_gum
from tools.face_detector.drawing import normals_of
from tools.face_detector.skin import SkinMap, random_hair_color, random_tone

STRANDS = 3300
COARSE_EYE = (26, 28)


@dataclass(frozen=True)
class Shell:
    """A layer over the skin: fine vertices stand off by thickness [V] metres; its faces; linear colour [V,3]."""

    thickness: np.ndarray
    faces: np.ndarray
    color: np.ndarray
    gloss: float = 0.15


@dataclass(frozen=True)
class Solid:
    """A mesh that the skull, the jaw or the shoulders carry: at rest, with its colour."""

    vertices: np.ndarray
    faces: np.ndarray
    color: np.ndarray
    gloss: float


@dataclass(frozen=True)
class Person:
    """Everything about a person that stays while expressions, skin paint and light change."""

    identity: Identity
    lips: LipContact
    tone: np.ndarray
    hair_color: np.ndarray
    growth: np.ndarray  # scalp hair at fine vertices
    strands: tuple[np.ndarray, np.ndarray, np.ndarray] | None  # points [S,K,3], radii [S,K], colour [S,3]
    shells: tuple[Shell, ...]
    eyeballs: tuple[Eyeball, Eyeball]
    eye_paint: np.ndarray
    skull: tuple[Solid, ...]
    jaw: tuple[Solid, ...]
    body: tuple[Solid, ...]
    glasses: tuple[Solid, ...]
    lenses: Solid | None
    lens_look: tuple[np.ndarray, float]
    lashes: bool


def make_person(seed: int, head: Head, where: SkinMap, lips: LipContact) -> Person:
    """The person of a seed."""
    rng = np.random.default_rng([seed, 61])
    performer = make_performer(seed, spread=rng.uniform(0.6, 1.5))
    identity = performer.identity
    rest = identity.rest.numpy()
    fine = where.skin.fine.apply(rest[where.skin.ids])
    normals = normals_of(fine, where.skin.fine.faces)
    tone = random_tone(rng)
    hair_color = random_hair_color(rng, tone)
    ragged = rng.uniform(0.001, 0.006) * gradient_noise(where.template, 0.012, seed + 90, 2)
    growth = where.anatomy.hair_density(
        where.template, rng.uniform(0, 0.9), ragged + rng.uniform(-0.02, 0.012)
    )
    style = rng.choice(["bald", "shell", "short", "swept", "curly", "long", "bangs", "afro"],
                       p=[0.08, 0.07, 0.2, 0.16, 0.12, 0.18, 0.12, 0.07])  # fmt: skip
    shells, strands = [], None
    if style == "bald":
        growth = growth * 0
    else:
        shells.append(_hair_shell(where, growth, hair_color, style, rng, seed))
        if style != "shell":
            strands = _strands(_style(style, rng), fine, normals, where, growth, hair_color, rng, seed)
    if rng.random() < 0.14:
        shells.append(_beard(where, hair_color, rng, seed))
    if rng.random() < 0.16:
        shells.append(_headwear(where, rng, seed))
        strands = strands if rng.random() < 0.5 else None
    eye_radius = identity.eye_radius.numpy()
    limbus = 0.0058 * rng.uniform(0.92, 1.12)
    iris = np.asarray(IRIS_COLORS[rng.integers(5)]) * rng.uniform(0.4, 1.8) * (1 + 0.15 * rng.normal(size=3))
    # Most people's eyes are dark: iris and lashes merge, and the white lies in the shade of the lids.
    iris = iris * (rng.uniform(0.08, 0.5) if rng.random() < 0.5 else 1.0)
    eye_tint = rng.uniform(0.4, 1.15) * (1 + rng.uniform(0, 0.12) * np.array([0.5, -0.3, -0.6]))
    glasses, lenses, look = (
        _glasses(head, rest, rng) if rng.random() < 0.25 else ((), None, (np.zeros(3), 0.0))
    )
    teeth = rest[head.regions["teeth"].numpy()]
    on_jaw = head.skin_weights[head.regions["teeth"]][:, 2].numpy() > 0.5
    enamel = np.array([0.74, 0.66, 0.53]) * rng.uniform(0.5, 1.2) * (1 + 0.05 * rng.normal(size=3))
    gum = np.array([0.40, 0.14, 0.13]) * rng.uniform(0.5, 1.3)
    dental = []
    for points, upper in ((teeth[~on_jaw], True), (teeth[on_jaw], False)):
        arch, ridge = make_arch(points, upper, rng), make_gum(points, upper)
        dental.append((Solid(arch[0], arch[1], enamel * arch[2][:, None], 0.3), Solid(*ridge, gum, 0.3)))
    return Person(
        identity, lips, tone, hair_color, growth, strands, tuple(shells),
        tuple(make_eyeball(float(r), limbus, *COARSE_EYE) for r in eye_radius),
        paint_eye(np.clip(iris, 0.004, 0.5), float(np.arcsin(limbus / eye_radius.mean())), rng.uniform(0.25, 0.55),
                  rng.uniform(0, 0.8), seed, 160) * eye_tint,
        dental[0], dental[1], (_clothes(fine, normals, rng, seed),), glasses, lenses, look,
        bool(rng.random() < 0.3),
    )  # fmt: skip


def _faces_over(where: SkinMap, weight: np.ndarray, limit: float) -> np.ndarray:
    faces = where.skin.fine.faces
    return faces[(weight[faces] > limit).all(1)]


def _streaked(
    where: SkinMap, color: np.ndarray, rng: np.random.Generator, seed: int, amount: float
) -> np.ndarray:
    streak = gradient_noise(where.template * [1.0, 0.3, 0.4], 0.004, seed, 2)
    wide = gradient_noise(where.template, 0.03, seed + 1, 2)
    return np.clip(color * (1 + amount * streak[:, None] + 0.2 * wide[:, None]), 0.003, 0.9)


def _hair_shell(where, growth, color, style, rng, seed) -> Shell:
    depth = {"shell": 0.003, "short": 0.006, "afro": 0.05}.get(style, 0.01) * rng.uniform(0.6, 1.5)
    lump = 1 + 0.25 * gradient_noise(where.template, 0.02, seed + 8, 2)
    thickness = depth * lump * smoothstep(0.1, 1.0, growth) ** 0.5
    return Shell(thickness, _faces_over(where, growth, 0.25), _streaked(where, color, rng, seed, 0.35))


def _beard(where: SkinMap, color: np.ndarray, rng: np.random.Generator, seed: int) -> Shell:
    from emoga.studio.skin import beard_density

    ragged = 0.3 * gradient_noise(where.template, 0.01, seed + 17, 2)
    weight = np.clip(beard_density(where.template, where.anatomy) + ragged - 0.2, 0, 1)
    weight *= smoothstep(0.001, -0.0025, where.anatomy.signed_lips(where.template))
    depth = rng.uniform(0.001, 0.006) + rng.uniform(0, 0.03) * (rng.random() < 0.3) * smoothstep(
        where.anatomy.marks[17, 1], where.anatomy.marks[152, 1] - 0.01, where.template[:, 1]
    )
    return Shell(depth * weight, _faces_over(where, weight, 0.3), _streaked(where, color, rng, seed, 0.5))


def _headwear(where: SkinMap, rng: np.random.Generator, seed: int) -> Shell:
    """A cap, a hat, a headscarf or a hood: a smooth layer over the skull down to some line."""
    p, marks = where.template, where.anatomy.marks
    brow, top = marks[9, 1], where.anatomy.scalp_top
    kind = rng.random()
    line = (
        brow
        + (top - brow) * rng.uniform(0.25, 0.8)
        + rng.uniform(-0.4, 0.3) * np.minimum(p[:, 2] - marks[9, 2] + 0.03, 0)
    )
    weight = smoothstep(-0.003, 0.006, p[:, 1] - line)
    if kind < 0.4:  # headscarf or hood: all but the face
        centre = 0.5 * (marks[10] + marks[152])
        half = np.array(
            [0.5 * (marks[454] - marks[234])[0], 0.5 * (marks[10] - marks[152])[1]]
        ) * rng.uniform(0.9, 1.15)
        away = np.hypot((p[:, 0] - centre[0]) / half[0], (p[:, 1] - centre[1]) / half[1])
        weight = np.maximum(
            weight * (rng.random() < 0.5),
            smoothstep(0.97, 1.08, away + 3 * np.clip(centre[2] - 0.06 - p[:, 2], 0, 1)),
        )
    color = rng.uniform(0.01, 0.6, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.01, 0.6))
    stripes = 1 + rng.uniform(0, 0.5) * np.sign(np.sin(p @ rng.normal(0, 250, 3))) * (rng.random() < 0.4)
    weave = 1 + 0.1 * gradient_noise(p, 0.003, seed, 1) + 0.15 * gradient_noise(p, 0.02, seed + 1, 2)
    depth = rng.uniform(0.005, 0.02) * (1 + 0.3 * gradient_noise(p, 0.03, seed + 2, 2))
    return Shell(
        depth * weight**0.5,
        _faces_over(where, weight, 0.3),
        np.clip(color * (stripes * weave)[:, None], 0.004, 0.9),
        0.05,
    )


def _style(name: str, rng: np.random.Generator) -> HairStyle:
    r = rng.uniform
    sweep = (rng.normal(0, 0.6), rng.normal(-0.1, 0.3), rng.normal(0, 0.5))
    parting = float(r(-0.04, 0.04)) if rng.random() < 0.5 else None
    curl = r(0, 0.006) * (rng.random() < 0.4)
    return {
        "short": HairStyle(STRANDS, r(0.012, 0.04), 0.25, sweep, r(0.2, 0.9), 0.0, r(0.2, 0.6), None, 5e-4),
        "swept": HairStyle(STRANDS, r(0.05, 0.09), 0.2, (sweep[0], 0.25, -1.0), r(0.2, 0.5), 0.0, 0.35, parting, 6e-4),
        "curly": HairStyle(STRANDS, r(0.05, 0.14), 0.25, sweep, r(0.5, 1.0), r(0.003, 0.008), 0.9, None, 7e-4),
        "long": HairStyle(STRANDS, r(0.15, 0.34), 0.15, (0.7, -0.8, -0.3), 0.25, curl, 0.4, r(-0.03, 0.03), 8e-4),
        "bangs": HairStyle(STRANDS, r(0.03, 0.085), 0.2, (0.3, -0.7, 0.7), r(0.1, 0.4), 0.0, 0.35, None, 8e-4),
        "afro": HairStyle(STRANDS, r(0.06, 0.12), 0.3, (0.0, 0.2, 0.0), 1.0, r(0.006, 0.012), 0.9, None, 9e-4),
    }[name]  # fmt: skip


def _strands(style, fine, normals, where, growth, color, rng, seed):
    roots = scatter_roots(fine, where.skin.fine.faces, growth, style.strands, rng)
    upper = fine[:, 1] > -0.14
    points, radii = grow_hair(
        style, roots.on(fine, where.skin.fine.faces), roots.on(normals, where.skin.fine.faces), roots.density,
        fine[upper], normals[upper], seed,
    )  # fmt: skip
    points = points[:, :: 2 if points.shape[1] > 12 else 1]
    radii = np.maximum(radii[:, :1] * np.linspace(1, 0.5, points.shape[1])[None], 1.5e-4)
    lock = gradient_noise(points[:, 0], 0.012, seed + 4)
    shade = 1 + 0.35 * rng.normal(size=(len(points), 1)) + 0.25 * lock[:, None]
    return points, radii, np.clip(color * np.clip(shade, 0.2, 2.2), 0.003, 0.9)


def _clothes(fine: np.ndarray, normals: np.ndarray, rng: np.random.Generator, seed: int) -> Solid:
    low = fine[:, 1] < -0.09
    rows = fit_rows(fine[low])
    rows[:, 3:] += rng.uniform(-0.03, 0.03)
    vertices, faces, uv = make_shirt(rows, fine[low], normals[low], seed, spokes=48, rings=26)
    color = rng.uniform(0.01, 0.8, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.01, 0.85))
    pattern = np.sin(uv @ rng.normal(0, 60, 2)) > rng.uniform(-0.5, 1.5)
    shade = np.where(
        pattern[:, None], color, rng.uniform(0.01, 0.8, 3) if rng.random() < 0.5 else color * 0.7
    )
    return Solid(vertices, faces, shade, 0.05)


def _tube(line: np.ndarray, radius: float, closed: bool, spokes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A pipe around a polyline [P,3]."""
    tangent = np.roll(line, -1, 0) - np.roll(line, 1, 0) if closed else np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    side = np.cross(tangent, [0.1, 0.2, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    other = np.cross(tangent, side)
    phi = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    ring = line[:, None] + radius * (
        np.cos(phi)[None, :, None] * side[:, None] + np.sin(phi)[None, :, None] * other[:, None]
    )
    count = len(line)
    i, j = np.meshgrid(np.arange(count if closed else count - 1), np.arange(spokes), indexing="ij")
    a, b = i * spokes + j, i * spokes + (j + 1) % spokes
    c, d = (i + 1) % count * spokes + j, (i + 1) % count * spokes + (j + 1) % spokes
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return ring.reshape(-1, 3), faces


def _glasses(head: Head, rest: np.ndarray, rng: np.random.Generator):
    """Frames of two rounded rims, a bridge and temples, lenses, and the lenses' colour and opacity."""
    marks = head.landmarks["mediapipe478"].points(torch.from_numpy(rest)).numpy()
    color = rng.uniform(0.003, 0.3, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(0.003, 0.08))
    radius, power = rng.uniform(0.0005, 0.0026), rng.uniform(0.4, 1.0)
    half = np.array([rng.uniform(0.019, 0.029), rng.uniform(0.012, 0.026)])
    phi = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.stack([np.sign(np.cos(phi)) * np.abs(np.cos(phi)) ** power * half[0],
                        np.sign(np.sin(phi)) * np.abs(np.sin(phi)) ** power * half[1]], -1)  # fmt: skip
    front = marks[[168, 6, 9]][:, 2].max() + rng.uniform(0.002, 0.010)
    lift = rng.uniform(-0.012, 0.002)
    parts, lenses, rims = [], [], []
    ears = rest[head.regions["ears"].numpy()]
    for sign, corners in ((1, (362, 263)), (-1, (133, 33))):
        middle = marks[list(corners)].mean(0)
        curve = -0.15 * np.abs(outline[:, 0] * sign + half[0] * 0.3)
        rim = np.stack(
            [middle[0] + sign * 0.002 + outline[:, 0], middle[1] + lift + outline[:, 1], front + curve], -1
        )
        rims.append(rim)
        parts.append(_tube(rim, radius, True))
        hinge = rim[np.argmax(sign * rim[:, 0])]
        ear = np.array([sign * np.abs(ears[:, 0]).mean(), ears[:, 1].max() - 0.008, ears[:, 2].mean()])
        parts.append(_tube(np.linspace(hinge, ear, 6), radius, False))
        index = np.arange(len(rim))
        lenses.append(
            (
                np.concatenate([rim, rim.mean(0, keepdims=True)]),
                np.stack([index, np.roll(index, -1), np.full_like(index, len(rim))], -1),
            )
        )
    inner = [rim[np.argmin(np.abs(rim[:, 0]) - 0.3 * rim[:, 1])] for rim in rims]
    bend = np.linspace(inner[0], inner[1], 7)
    bend[:, 1] += 0.002 * np.sin(np.linspace(0, np.pi, 7))
    parts.append(_tube(bend, radius, False))
    solids = tuple(Solid(v, f, color, rng.uniform(0.05, 0.8)) for v, f in parts)
    (v0, f0), (v1, f1) = lenses
    lens = Solid(np.concatenate([v0, v1]), np.concatenate([f0, f1 + len(v0)]), np.ones(3), 0.0)
    dark = rng.random() < 0.25
    look = (
        rng.uniform(0.0, 0.1 if dark else 0.8, 3),
        rng.uniform(0.5, 0.97) if dark else rng.uniform(0, 0.3),
    )
    return solids, lens, look
