"""Everything about a performer that does not change from frame to frame, as plain arrays made once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from emoga.head import Head
from emoga.studio.anatomy import Anatomy
from emoga.studio.appearance import Appearance
from emoga.studio.creases import Creases, facial_lines
from emoga.studio.eyes import Eyeball, make_eyeball, paint_eye
from emoga.studio.garment import fit_rows, hidden_by_shirt, make_shirt
from emoga.studio.hair import STYLES, Roots, SkinStrands, grow_arc, grow_hair, scatter_roots
from emoga.studio.mitsuba_scene import vertex_normals
from emoga.studio.noise import gradient_noise
from emoga.studio.performer import Performer
from emoga.studio.skin import SkinPaint, brow_density, flushed, paint_skin
from emoga.studio.subdivide import Subdivision, loop_subdivision, split_uv
from emoga.studio.teeth import make_arch, make_gum
from emoga.studio.uvmap import TexelMap, map_texels

CARUNCLE = 0.0034  # radius in metres
BROW_HAIRS, UPPER_LASHES, LOWER_LASHES = 420, 110, 70


@dataclass(frozen=True)
class Surface:
    """A part of the head mesh made finer: head vertex ids [n], its subdivision, render corners and uv."""

    ids: np.ndarray
    fine: Subdivision
    uv: np.ndarray
    corner_vertex: np.ndarray  # render vertex -> fine vertex
    corner_faces: np.ndarray

    @staticmethod
    def of(faces: np.ndarray, uv: np.ndarray, uv_faces: np.ndarray, levels: int) -> Surface:
        """Take the given triangles out of a head and refine them."""
        ids, local = np.unique(faces, return_inverse=True)
        fine = loop_subdivision(local.reshape(-1, 3), len(ids), levels)
        used, uv_local = np.unique(uv_faces, return_inverse=True)
        fine_uv, fine_uv_faces = split_uv(uv[used], uv_local.reshape(-1, 3), levels)
        pairs = np.stack([fine.faces.ravel(), fine_uv_faces.ravel()], -1)
        corners, inverse = np.unique(pairs, axis=0, return_inverse=True)
        return Surface(ids, fine, fine_uv[corners[:, 1]], corners[:, 0], inverse.reshape(-1, 3))


@dataclass(frozen=True)
class RigidMesh:
    """A mesh that one bone carries, at rest."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None


@dataclass(frozen=True)
class Wardrobe:
    """All that dresses the bare head; arrays only, so it travels to worker processes."""

    skin: Surface
    tongue: Surface
    creases: Creases
    relief: np.ndarray  # [H,W] metres
    roughness: np.ndarray  # [H,W]
    color: np.ndarray  # [H,W,3] linear
    flush: np.ndarray  # [H,W]
    eyeballs: tuple[Eyeball, Eyeball]
    eye_paint: np.ndarray
    caruncles: RigidMesh
    upper_teeth: RigidMesh
    lower_teeth: RigidMesh
    upper_gum: RigidMesh
    lower_gum: RigidMesh
    shirt: RigidMesh
    shirt_paint: np.ndarray
    hidden: np.ndarray  # bool per fine skin vertex: under the shirt, never seen
    hair: tuple[np.ndarray, np.ndarray] | None
    fringe: tuple[SkinStrands, ...]  # brows and lashes


def dress(performer: Performer, texture_size: int = 2048, levels: int = 2) -> Wardrobe:
    """Make a performer's wardrobe. `texture_size` is the side of the skin's pictures in texels."""
    head, looks, anatomy, seed = performer.head, performer.looks, performer.anatomy, performer.seed
    faces, uv, uv_faces = head.faces.numpy(), head.uv.double().numpy(), head.uv_faces.numpy()
    template, rest = head.template.numpy(), performer.identity.rest.numpy()
    kind = _part_of(performer)
    skin_faces = np.all(kind[faces] == 0, 1)
    tongue_faces = np.all(kind[faces] == 1, 1)
    skin = Surface.of(faces[skin_faces], uv, uv_faces[skin_faces], levels)
    tongue = Surface.of(faces[tongue_faces], uv, uv_faces[tongue_faces], levels)
    fine_template, fine_rest = skin.fine.apply(template[skin.ids]), skin.fine.apply(rest[skin.ids])
    fine_normals = vertex_normals(fine_rest, skin.fine.faces)

    ragged = 0.0035 * gradient_noise(fine_template, 0.012, seed + 90, 2)
    growth = anatomy.hair_density(fine_template, looks.recede, ragged)
    inner = head.regions["mouth_interior"].numpy()[skin.ids].astype(float)
    texels = map_texels(skin.uv, skin.corner_faces, texture_size, texture_size)
    at = lambda values: texels.sample(values[skin.corner_vertex], skin.corner_faces)  # noqa: E731
    paint = paint_skin(at(fine_template), anatomy, looks, at(growth), seed)
    paint = _paint_mouth(paint, at(np.clip(skin.fine.spread(inner), 0, 1)))
    rng = np.random.default_rng([seed, 21])
    # What the model cannot say must not be in an in-model performer's geometry.
    lines = [] if performer.in_model else facial_lines(anatomy, rng)
    creases = Creases.at(fine_template, lines, looks.age_lines)
    grown_on = fine_rest if performer.grown_on is None else skin.fine.apply(performer.grown_on[skin.ids])
    hair = _scalp_hair(looks, fine_rest, grown_on, skin.fine.faces, fine_normals, growth, seed)
    collar = _near_collar(fine_rest, fine_normals)
    rows = fit_rows(collar[0])
    radius = performer.identity.eye_radius.numpy()
    limbus = _iris_radius(performer)
    return Wardrobe(
        skin, tongue, creases,
        texels.image(paint.relief, 0.0), texels.image(paint.roughness, 0.5), texels.image(paint.color, looks.skin),
        texels.image(paint.flush, 0.0),
        tuple(make_eyeball(float(r), limbus) for r in radius),
        paint_eye(
            looks.iris, float(np.arcsin(limbus / radius.mean())), looks.pupil, looks.eye_redness, seed,
            int(np.clip(0.6 * texture_size, 256, 1536)),
        ),
        _caruncles(head, rest),
        *_mouth(performer, rest, np.random.default_rng([seed, 22])),
        RigidMesh(*make_shirt(rows, *collar, seed)), _shirt_paint(looks, seed),
        hidden_by_shirt(fine_rest, rows),
        hair,
        _fringe(performer, fine_template, fine_rest, grown_on, skin, fine_normals, np.random.default_rng([seed, 23])),
    )  # fmt: skip


def emotion_color(wardrobe: Wardrobe, amount: float) -> np.ndarray:
    """The skin's colour picture [H,W,3] with more or less blood in it."""
    if amount == 0:
        return wardrobe.color
    flat = SkinPaint(wardrobe.color.reshape(-1, 3), None, None, wardrobe.flush.ravel())  # type: ignore[arg-type]
    return flushed(flat, amount).reshape(wardrobe.color.shape)


def _part_of(performer: Performer) -> np.ndarray:
    """Per vertex: 0 skin, 1 tongue, 2 what the studio builds itself (eyeballs, teeth, lashes)."""
    regions = performer.head.regions
    kind = np.zeros(len(performer.head.template), int)
    kind[regions["tongue"].numpy()] = 1
    for name in ("eyeballs", "teeth"):
        kind[regions[name].numpy()] = 2
    kind[performer.head.lids.lashes.numpy()] = 2
    return kind


def _paint_mouth(paint: SkinPaint, inner: np.ndarray) -> SkinPaint:
    weight = np.clip(1.5 * inner, 0, 1)
    color = paint.color * (1 - weight[:, None]) + np.array([0.26, 0.060, 0.052], np.float32) * weight[:, None]
    rough = paint.roughness * (1 - weight) + 0.3 * weight
    return SkinPaint(
        color.astype(np.float32),
        rough.astype(np.float32),
        paint.relief * (1 - weight),
        paint.flush * (1 - weight),
    )


def _iris_radius(performer: Performer) -> float:
    head = performer.head
    iris = head.regions["irises"].numpy() & (head.template[:, 0].numpy() > 0)
    away = performer.identity.rest.numpy()[iris] - performer.identity.joints[2].numpy()
    return float(np.hypot(away[:, 0], away[:, 1]).max())


def _caruncles(head: Head, rest: np.ndarray) -> RigidMesh:
    """Pink flesh in the inner corners of the eyes, where lids and eyeball leave a gap."""
    ball = make_eyeball(CARUNCLE, CARUNCLE / 2, 16, 16)
    parts = []
    for side in (0, 1):
        rim = rest[np.concatenate([head.lids.upper[side].numpy(), head.lids.lower[side].numpy()])]
        inner = rim[np.argsort(np.abs(rim[:, 0]))[:4]].mean(0)
        outwards = 1.0 if side == 0 else -1.0
        parts.append(ball.vertices + inner + [0.0012 * outwards, 0, -CARUNCLE - 6e-4])
    return RigidMesh(np.concatenate(parts), np.concatenate([ball.faces, ball.faces + len(ball.vertices)]))


def _near_collar(points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low = points[:, 1] < -0.09
    return points[low], normals[low]


def _shirt_paint(looks: Appearance, seed: int, size: int = 1024) -> np.ndarray:
    u, v = np.meshgrid(np.arange(size) / size, np.arange(size) / size)
    knit = 0.5 + 0.5 * np.sin(2 * np.pi * u * 220) * np.sin(2 * np.pi * v * 160)
    points = np.stack([np.cos(2 * np.pi * u), np.sin(2 * np.pi * u), 3 * v], -1).reshape(-1, 3) * 0.3
    fluff = gradient_noise(points, 0.02, seed + 5, 3).reshape(size, size)
    color = looks.cloth * (0.82 + 0.24 * knit[..., None]) * (1 + 0.14 * fluff[..., None])
    band = (v < 0.125)[..., None]
    return np.clip(np.where(band, color * 0.8 + 0.2 * looks.cloth_stripe, color), 0.005, 0.8).astype(
        np.float32
    )


def _scalp_hair(
    looks: Appearance, rest: np.ndarray, grown_on: np.ndarray, faces: np.ndarray, normals: np.ndarray,
    growth: np.ndarray, seed: int,
) -> tuple[np.ndarray, np.ndarray] | None:  # fmt: skip
    if looks.hair_style is None:
        return None
    style = STYLES[looks.hair_style]
    rng = np.random.default_rng([seed, 24])
    roots = scatter_roots(grown_on, faces, growth, style.strands, rng)
    upper = rest[:, 1] > -0.14
    return grow_hair(
        style,
        roots.on(rest, faces),
        roots.on(normals, faces),
        roots.density,
        rest[upper],
        normals[upper],
        seed,
    )


def _fringe(
    performer: Performer,
    template: np.ndarray,
    rest: np.ndarray,
    grown_on: np.ndarray,
    skin: Surface,
    normals: np.ndarray,
    rng: np.random.Generator,
) -> tuple[SkinStrands, ...]:
    faces = skin.fine.faces
    strands = []
    for side in (0, 1):
        strands.append(_brow(performer, template, rest, grown_on, faces, normals, side, rng))
        for ids, count, upper in (
            (performer.head.lids.upper, UPPER_LASHES, True), (performer.head.lids.lower, LOWER_LASHES, False),
        ):  # fmt: skip
            rim = np.searchsorted(skin.ids, ids[side].numpy())
            strands.append(_lashes(rest, faces, normals, rim, count, upper, side, rng))
    return tuple(strands)


def _brow(
    performer: Performer,
    template: np.ndarray,
    rest: np.ndarray,
    grown_on: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray,
    side: int,
    rng: np.random.Generator,
) -> SkinStrands:
    anatomy, looks = performer.anatomy, performer.looks
    sign = 1.0 if side == 0 else -1.0
    mine = (
        (sign * template[:, 0] > 0)
        & (template[:, 2] > anatomy.marks[9, 2] - 0.05)
        & (np.abs(template[:, 1]) < 0.05)
    )
    density = np.zeros(len(template))
    density[mine] = brow_density(template[mine], anatomy, side)
    roots = scatter_roots(grown_on, faces, density, int(BROW_HAIRS * looks.brow_fullness), rng)
    along, across = anatomy.brow(roots.on(template, faces), side)
    origin, normal = roots.on(rest, faces), roots.on(normals, faces)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rise = np.interp(along, [0, 0.25, 0.6, 1], [1.3, 0.7, 0.15, -0.25]) - 0.35 * across
    heading = np.stack([sign * np.interp(along, [0, 0.3, 1], [0.15, 0.9, 1.0]), rise, 0 * rise], -1)
    heading += 0.16 * rng.normal(size=heading.shape)
    heading -= (heading * normal).sum(1, keepdims=True) * normal
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    bend = heading + [sign * 0.35, -0.35, 0] + 0.1 * rng.normal(size=heading.shape)
    length = (
        0.0085
        * np.clip(1 + 0.25 * rng.normal(size=len(origin)), 0.5, 1.6)
        * np.interp(along, [0, 0.2, 1], [0.75, 1, 0.75])
    )
    points = grow_arc(origin - 2e-4 * normal, heading + 0.28 * normal, bend - 0.02 * normal, length, 5)
    radii = 6.5e-5 * np.linspace(1, 0.35, 5)[None] * (0.8 + 0.4 * rng.random(len(origin)))[:, None]
    return SkinStrands.bind(roots, points, radii, rest, faces, normals)


def _lashes(
    rest: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray,
    rim: np.ndarray,
    count: int,
    upper: bool,
    side: int,
    rng: np.random.Generator,
) -> SkinStrands:
    sign = 1.0 if side == 0 else -1.0
    line = rest[rim][np.argsort(sign * rest[rim][:, 0])]
    at = np.sort(rng.uniform(0.06, 0.97, count))
    grid = np.linspace(0, 1, len(line))
    origin = np.stack([np.interp(at, grid, c) for c in line.T], -1)
    # Bind to the triangle whose middle is nearest; the frame is what matters, not the exact spot.
    middles = rest[faces].mean(1)
    face = cKDTree(middles).query(origin)[1]
    roots = Roots(face, np.full((count, 3), 1 / 3), np.ones(count))
    fan = sign * np.interp(at, [0, 0.35, 1], [-0.35, 0.05, 0.75])
    vertical = 1.0 if upper else -1.0
    heading = np.stack([fan, np.full(count, 0.08 * vertical), np.full(count, 1.0)], -1) + 0.09 * rng.normal(
        size=(count, 3)
    )
    bend = np.stack([1.3 * fan, np.full(count, (1.5 if upper else -0.75)), np.full(count, 0.45)], -1)
    size = (0.0088 if upper else 0.0052) * np.interp(at, [0, 0.25, 0.75, 1], [0.55, 0.9, 1.05, 0.8])
    length = size * np.clip(1 + 0.16 * rng.normal(size=count), 0.6, 1.4)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    points = grow_arc(origin, heading, bend, length, 6)
    radii = (6.5e-5 if upper else 4.5e-5) * np.linspace(1, 0.25, 6)[None] * np.ones((count, 1))
    return SkinStrands.bind(roots, points, radii, rest, faces, normals)


def _mouth(performer: Performer, rest: np.ndarray, rng: np.random.Generator) -> tuple[RigidMesh, ...]:
    head = performer.head
    teeth = head.regions["teeth"].numpy()
    on_jaw = head.skin_weights[:, 2].numpy() > 0.5
    upper, lower = rest[teeth & ~on_jaw], rest[teeth & on_jaw]
    made = []
    for points, is_upper in ((upper, True), (lower, False)):
        vertices, faces, shade = make_arch(points, is_upper, rng)
        made.append(
            RigidMesh(vertices, faces, np.stack([np.clip(shade * 0.5, 0, 1), np.full(len(shade), 0.5)], -1))
        )
    for points, is_upper in ((upper, True), (lower, False)):
        made.append(RigidMesh(*make_gum(points, is_upper)))
    return tuple(made)


__all__ = ["Anatomy", "RigidMesh", "Surface", "TexelMap", "Wardrobe", "dress", "emotion_color"]
