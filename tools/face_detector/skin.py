"""Where things are on the skin's texture, once for all people, and a new random skin painted from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.head import Head
from emoga.studio.anatomy import (
    CHEEKS,
    FOREHEAD,
    LOWER_LIDS,
    NOSE_TIP,
    Anatomy,
    curve_through,
    distance_to_curve,
    smoothstep,
)
from emoga.studio.appearance import SKIN_TONES
from emoga.studio.creases import Creases, facial_lines
from emoga.studio.lips import INNER_LOWER, INNER_UPPER
from emoga.studio.noise import cell_noise, gradient_noise
from emoga.studio.skin import beard_density, brow_density
from emoga.studio.uvmap import TexelMap, map_texels
from emoga.studio.wardrobe import Surface
from tools.face_detector.contrasts import eye_contrasts, eye_fields, heavy_brows, lip_contrasts

SIDE = 576  # texels
NOISE_SIZES = (0.05, 0.02, 0.008, 0.003, 0.0015)  # metres
NOISES = 6  # of each size


@dataclass(frozen=True)
class SkinMap:
    """The refined skin of the head and, per texel [N], the fields that painting mixes."""

    skin: Surface
    template: np.ndarray  # fine template points [V,3]
    anatomy: Anatomy
    texels: TexelMap
    fields: dict[str, np.ndarray]
    noises: np.ndarray  # [sizes, NOISES, N]
    streaks: np.ndarray  # [4, N], hair-like
    spots: tuple[np.ndarray, np.ndarray]


def skin_faces(head: Head) -> np.ndarray:
    """Which triangles [F] are skin: what the detector's people have made for themselves is left out."""
    other = head.regions["eyeballs"] | head.regions["teeth"] | head.regions["tongue"]
    other[head.lids.lashes] = True
    return ~other.numpy()[head.faces.numpy()].any(1)


def skin_map(head: Head) -> SkinMap:
    """Fields of the head's skin."""
    chosen = skin_faces(head)
    skin = Surface.of(head.faces.numpy()[chosen], head.uv.double().numpy(), head.uv_faces.numpy()[chosen], 1)
    template = skin.fine.apply(head.template.double().numpy()[skin.ids])
    anatomy = Anatomy.of(head)
    texels = map_texels(skin.uv, skin.corner_faces, SIDE, SIDE)
    points = texels.sample(template[skin.corner_vertex], skin.corner_faces)
    inner = skin.fine.spread(head.regions["mouth_interior"].numpy()[skin.ids].astype(float))
    fields = {"mouth": np.clip(1.5 * texels.sample(inner[skin.corner_vertex], skin.corner_faces), 0, 1)}
    border = anatomy.signed_lips(points)
    fields["lips"] = smoothstep(-0.0011, 0.0008, border)
    fields["lip_border"] = np.exp(-((border / 0.001) ** 2))
    line = _mouth_line(anatomy)
    above = points[:, 1] - np.interp(points[:, 0], line[:, 0], line[:, 1])
    fields["above_mouth"] = above
    fields["upper_lip"] = fields["lips"] * smoothstep(-0.0004, 0.0004, above)
    fields["seam"] = fields["lips"] * np.exp(-((distance_to_curve(points, line)[0] / 0.0012) ** 2))
    fields["beard"] = beard_density(points, anatomy)
    fields["cheeks"] = np.clip(
        sum(anatomy.near(points, mark, 0.026) for mark in (*CHEEKS, NOSE_TIP)) + anatomy.near_ears(points, 0.012), 0, 1
    )  # fmt: skip
    fields["forehead"] = anatomy.near(points, FOREHEAD, 0.06)
    front = points[:, 2] > anatomy.marks[33, 2] - 0.035
    fields |= eye_fields(points, anatomy, front)
    for side in (0, 1):
        near = front & (np.sign(points[:, 0]) == (1 if side == 0 else -1))
        for name, width in (("thin", 0.55), ("brow", 0.85), ("thick", 1.25)):
            fields[name] = fields.get(name, 0) + brow_density(points, anatomy, side, width) * near
        eye = anatomy.signed_eye(points, side)
        lid = smoothstep(0.012, 0.0, np.abs(eye + 0.004)) * front
        fields["lid"] = fields.get("lid", 0) + lid * (points[:, 1] > anatomy.marks[33, 1])
        fields["liner"] = fields.get("liner", 0) + np.exp(-((eye / 0.0013) ** 2)) * front
        fields["rim"] = fields.get("rim", 0) + smoothstep(-0.0006, 0.0012, eye) * front
        bag = curve_through(anatomy.marks[list(LOWER_LIDS[side])], 40) - [0, 0.009, 0]
        fields["bag"] = fields.get("bag", 0) + np.exp(-((distance_to_curve(points, bag)[0] / 0.008) ** 2))
    lines = Creases.at(points, facial_lines(anatomy, np.random.default_rng(5)), 1.0)
    fields["creases"] = -lines.profile.sum(0)
    noises = np.stack(
        [[gradient_noise(points, size, 97 * k + i, 2) for k in range(NOISES)] for i, size in enumerate(NOISE_SIZES)]
    )  # fmt: skip
    streaks = np.stack(
        [gradient_noise(points * np.array(axes), 0.0016, 7 + i) for i, axes in
         enumerate([(0.25, 1.0, 0.3), (0.45, 0.8, 0.3), (1.0, 0.3, 0.3), (1.0, 0.5, 0.5)])]
    )  # fmt: skip
    return SkinMap(skin, template, anatomy, texels, fields, noises, streaks, cell_noise(points, 0.0035, 3))


def _mouth_line(anatomy: Anatomy) -> np.ndarray:
    """Where the lips meet [K,3], from one corner to the other."""
    line = (anatomy.marks[list(INNER_UPPER)] + anatomy.marks[list(INNER_LOWER)]) / 2
    line = line[np.argsort(line[:, 0])]
    return np.stack(
        [np.interp(np.linspace(line[0, 0], line[-1, 0], 40), line[:, 0], line[:, k]) for k in range(3)], -1
    )


def random_tone(rng: np.random.Generator) -> np.ndarray:
    """A linear skin colour: anything between the studio's tones, shifted in hue and brightness."""
    at = rng.uniform(0, len(SKIN_TONES) - 1)
    tones = np.asarray(SKIN_TONES)
    tone = tones[int(at)] * (1 - at % 1) + tones[min(int(at) + 1, len(tones) - 1)] * (at % 1)
    return np.clip(tone * rng.uniform(0.75, 1.25) * (1 + 0.07 * rng.normal(size=3)), 0.015, 0.85)


def random_hair_color(rng: np.random.Generator, tone: np.ndarray) -> np.ndarray:
    """A linear hair colour: black to blond, red, grey, white, now and then dyed."""
    kind = rng.random()
    if kind < 0.06:
        return rng.uniform(0.02, 0.6, 3)
    if kind < 0.24:
        return np.full(3, rng.uniform(0.1, 0.7)) * (1 + 0.06 * rng.normal(size=3))
    dark, fair = np.array([0.012, 0.009, 0.007]), np.array([0.42, 0.27, 0.13])
    mix = rng.random() ** 2 * (1.0 if tone[0] > 0.4 else 0.25)
    color = dark * (1 - mix) + fair * mix
    return np.clip(
        color * (1 + np.array([0.5, -0.05, -0.3]) * (rng.random() < 0.15)) * rng.uniform(0.6, 1.4), 0.004, 0.8
    )


def paint(
    where: SkinMap, tone: np.ndarray, hair: np.ndarray, growth: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Linear colours [SIDE,SIDE,3] of a random skin; growth [N] is scalp hair's density at the texels."""
    f = where.fields

    def noise(size: int) -> np.ndarray:
        return where.noises[size, rng.integers(NOISES)][:, None]

    def lay(color: np.ndarray, over: np.ndarray, weight: np.ndarray) -> np.ndarray:
        weight = np.clip(weight, 0, 1)[:, None]
        return color * (1 - weight) + over * weight

    rough = rng.uniform(0.3, 2.2)
    color = tone * (
        1 + rough * (0.05 * noise(0) + 0.05 * noise(1) + 0.05 * noise(2) + 0.04 * noise(3) + 0.04 * noise(4))
    )
    red = np.array([0.05, -0.2, -0.16])
    color = color * (1 + (rng.uniform(0, 1.6) * f["cheeks"][:, None] + rng.uniform(0, 0.5) * noise(2)) * red)
    color = color * (1 + rng.uniform(-0.1, 0.25) * f["forehead"][:, None] * np.array([0.3, 0.3, 0.2]))
    color = color * (1 - rng.uniform(-0.05, 0.4) * f["bag"][:, None] * np.array([0.7, 1.0, 0.85]))
    color = color * (1 - rng.uniform(0, 0.35) * f["lid"][:, None] * np.array([0.7, 1.0, 0.9]))
    color = color * (
        1 - rng.uniform(0, 0.45) * (rng.random() < 0.7) * f["creases"][:, None] * np.array([0.8, 1.0, 1.0])
    )
    if rng.random() < 0.3:  # freckles and spots
        distance, label = where.spots
        spot = (label < rng.uniform(0.1, 0.7)) * smoothstep(0.5, 0.15, distance) * rng.uniform(0.1, 0.6)
        color = lay(
            color, tone * np.array([0.5, 0.36, 0.3]), spot * np.clip(f["cheeks"] + f["forehead"], 0, 1)
        )
    if rng.random() < 0.25:  # make-up of the lids
        color = lay(color, rng.uniform(0.01, 0.5, 3), rng.uniform(0.1, 0.7) * f["lid"])
    lips = tone * np.array([0.86, 0.56, 0.60]) * (1 + 0.1 * rng.normal()) * (1 + 0.06 * rng.normal(size=3))
    if rng.random() < 0.3:
        lips = np.array([rng.uniform(0.15, 0.6), rng.uniform(0.01, 0.2), rng.uniform(0.02, 0.25)])
    color = lay(color, lips * (1 + 0.15 * noise(3) + 0.1 * noise(4)), f["lips"] * rng.uniform(0.25, 1.0))
    # Many upper lips are darker than the lower ones: that is no open mouth.
    darker = rng.choice([0.0, rng.uniform(0.1, 0.75), rng.uniform(-0.2, 0.0)], p=[0.3, 0.6, 0.1])
    color = color * (1 - darker * f["upper_lip"][:, None] * np.array([0.9, 1.0, 0.9]))
    color = color * (1 - rng.uniform(0, 0.8) * (rng.random() < 0.6) * f["seam"][:, None])
    color = lay(color, np.array([0.52, 0.24, 0.20]), f["rim"] * rng.uniform(0.2, 0.8))
    color = lip_contrasts(color, f, rng)
    color = eye_contrasts(color, f, rng)
    color = lay(color, hair * 0.5, f["liner"] * rng.uniform(0.0, 0.7) * (rng.random() < 0.7))
    brow_color = (
        np.minimum(hair, 0.35) * rng.uniform(0.15, 0.9)
        if rng.random() < 0.8
        else tone * rng.uniform(0.05, 0.7)
    )
    brow = f[rng.choice(["thin", "brow", "brow", "thick"])]
    hairs = np.clip(0.9 + rng.uniform(0.2, 0.7) * where.streaks[rng.integers(2)], 0, 1.2)
    color = lay(
        color,
        np.clip(brow_color, 0.004, 0.6),
        1.3 * brow * hairs * rng.choice([rng.uniform(0.6, 1.1), rng.uniform(0, 0.6)], p=[0.8, 0.2]),
    )
    if rng.random() < 0.35:
        color = heavy_brows(color, brow, where.streaks[rng.integers(2)], rng)
    if rng.random() < 0.45:  # shaved or short beard
        ragged = np.clip(f["beard"] * (1 + 0.5 * noise(1)[:, 0]), 0, 1)
        hairs = np.clip(0.5 + rng.uniform(0.1, 0.8) * where.streaks[2 + rng.integers(2)], 0, 1)
        color = lay(
            color, hair * rng.uniform(0.6, 1.3), ragged * hairs * (1 - f["lips"]) * rng.uniform(0.1, 1.0)
        )
    scalp = np.clip(0.8 + 0.4 * where.streaks[3], 0, 1) * growth
    color = lay(color, hair * rng.uniform(0.6, 1.2), scalp * rng.uniform(0.4, 1.0))
    mouth = np.array([rng.uniform(0.1, 0.35), rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.08)])
    color = lay(color, mouth, f["mouth"])
    return where.texels.image(np.clip(color, 0.003, 0.95).astype(np.float32), tone.astype(np.float32))
