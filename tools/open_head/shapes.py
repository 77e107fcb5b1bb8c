"""The shape basis: principal components of sampled people, named directions, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.open_head.assemble import Assembly
from tools.open_head.lips import Lips, seal_lips
from tools.open_head.people import (
    AVERAGE,
    average_delta,
    is_held_out,
    local_delta,
    macro_delta,
    sample_person,
    shape_axes,
)
from tools.open_head.source import Source
from tools.open_head.units import EYE_CLEARANCE, seat_eyes

PEOPLE = 1400
COMPONENTS = 70
PERFORMERS = 12
OUTSIDE = 0.0012  # metres RMS over the face that a performer lies outside the basis
SEED = 20
# Named direction -> local targets at +1 (both sides where there are sides), or macro controls (from, to).
DIRECTIONS: dict[str, object] = {
    "age": ({"age": 0.5}, {"age": 0.9}),
    "gender": ({"gender": 0.0}, {"gender": 1.0}),
    "weight": ({"weight": 0.3}, {"weight": 0.9}),
    "muscle": ({"muscle": 0.3}, {"muscle": 0.9}),
    "african": ({}, {"races": (1.0, 0.0, 0.0)}),
    "asian": ({}, {"races": (0.0, 1.0, 0.0)}),
    "caucasian": ({}, {"races": (0.0, 0.0, 1.0)}),
    "face_width": ["head/head-scale-horiz"],
    "face_length": ["head/head-scale-vert"],
    "roundness": ["head/head-round"],
    "nose_width": ["nose/nose-scale-horiz", "nose/nose-nostrils-width"],
    "nose_length": ["nose/nose-scale-vert"],
    "nose_depth": ["nose/nose-scale-depth"],
    "nose_tip": ["nose/nose-point-vertical"],
    "jaw_width": ["chin/chin-bones"],
    "chin_width": ["chin/chin-width"],
    "chin_height": ["chin/chin-height"],
    "chin_forward": ["chin/chin-prominent"],
    "lips_fullness": [
        "mouth/mouth-upperlip-height", "mouth/mouth-lowerlip-height", "mouth/mouth-lowerlip-volume",
    ],
    "mouth_width": ["mouth/mouth-scale-horiz"],
    "mouth_height": ["mouth/mouth-trans-vertical"],
    "ear_size": ["ears/l-ear-scale", "ears/r-ear-scale"],
    "ear_wing": ["ears/l-ear-wing", "ears/r-ear-wing"],
    "forehead_height": ["forehead/forehead-scale-vert"],
    "forehead_slope": ["forehead/forehead-trans-depth"],
    "cheek_bones": ["cheek/l-cheek-bones", "cheek/r-cheek-bones"],
    "cheek_volume": ["cheek/l-cheek-volume", "cheek/r-cheek-volume"],
    "eye_size": ["eyes/l-eye-scale", "eyes/r-eye-scale"],
    "eye_opening": ["eyes/l-eye-height2", "eyes/r-eye-height2"],
    "brow_height": ["eyebrows/eyebrows-trans-vertical"],
    "neck_thickness": ["neck/neck-scale-horiz", "neck/neck-scale-depth"],
}  # fmt: skip


@dataclass(frozen=True)
class Fixes:
    """What every sampled head is put right with: lid vertices that lie on the eyeballs, and the lips' seal."""

    sliding: np.ndarray
    lips: Lips


def head_of(source: Source, layout: Assembly, delta: np.ndarray, fixes: Fixes) -> np.ndarray:
    """Head vertices [V,3] of a person: lips touching, eyeballs seated, lids laid on them."""
    sliding = fixes.sliding
    sealed = seal_lips(layout.apply(source.vertices + delta), fixes.lips)
    seated = seat_eyes(sealed, layout, sliding)
    rows = len(sliding) // 2
    for side, name in enumerate(("left_eye", "right_eye")):
        ball, lid = layout.parts[name], sliding[side * rows : (side + 1) * rows]
        centre = 0.5 * (seated[ball[0]] + seated[ball[-1]])
        arm = seated[lid] - centre
        distance = np.linalg.norm(arm, axis=1, keepdims=True)
        floor = np.linalg.norm(seated[ball[0]] - centre) + EYE_CLEARANCE
        seated[lid] = centre + arm * np.maximum(1, floor / distance)
    return seated - 0.5 * (_centre(seated, layout, "left_eye") + _centre(seated, layout, "right_eye"))


def _centre(vertices: np.ndarray, layout: Assembly, side: str) -> np.ndarray:
    ball = layout.parts[side]
    return 0.5 * (vertices[ball[0]] + vertices[ball[-1]])


def sample_heads(source: Source, layout: Assembly, fixes: Fixes) -> np.ndarray:
    """Random adults and their mirror images [2n,V,3]."""
    rng, axes = np.random.default_rng(SEED), shape_axes(source)
    heads = []
    for _ in range(PEOPLE):
        person, values = sample_person(rng, axes)
        delta = macro_delta(source, person) + local_delta(source, axes, values)
        heads.append(head_of(source, layout, delta, fixes))
    heads = np.stack(heads).astype(np.float32)
    return np.concatenate([heads, heads[:, layout.mirror] * np.float32([-1, 1, 1])])


def vertex_importance(rest: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Weights [V] of the components' fit: the face counts most, what is hidden least."""
    front = 1 / (1 + np.exp(-(rest[:, 2] + 0.03) / 0.015)) / (1 + np.exp(-(rest[:, 1] + 0.12) / 0.01))
    weight = 0.25 + 0.75 * front
    weight[inner] = 0.15
    return weight


def principal_components(heads: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean [V,3], basis [S,V,3] in metres per standard deviation, and the share of variance kept."""
    count, vertices, _ = heads.shape
    mean = heads.mean(0, dtype=np.float64)
    scale = np.repeat(np.sqrt(weight), 3)
    data = (heads - mean.astype(np.float32)).reshape(count, -1)
    gram = (data * (scale**2).astype(np.float32)) @ data.T
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    basis = (vectors.T @ data.astype(np.float64)) / np.sqrt(values)[:, None]
    basis *= np.sqrt(values / (count - 1))[:, None]
    # One sign for all time: the largest entry of each component is positive.
    flip = np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(1)])
    kept = values.sum() / np.trace(gram)
    return mean, (basis * flip[:, None]).reshape(-1, vertices, 3), float(kept)


def project(delta: np.ndarray, basis: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients [S] of the weighted least-squares fit of a displacement [V,3]."""
    scale = np.repeat(np.sqrt(weight), 3)
    columns = (basis.reshape(len(basis), -1) * scale).T
    return np.linalg.lstsq(columns, delta.ravel() * scale, rcond=None)[0]


def semantic_directions(
    source: Source, layout: Assembly, basis: np.ndarray, weight: np.ndarray, fixes: Fixes
) -> dict[str, np.ndarray]:
    """Coefficients [S] of one strong step along each named direction."""
    axes = shape_axes(source)
    average = average_delta(source, axes)
    local = average - macro_delta(source, AVERAGE)
    rest = head_of(source, layout, average, fixes)
    found = {}
    for name, what in DIRECTIONS.items():
        if isinstance(what, tuple):
            people = [macro_delta(source, {**AVERAGE, **end}) + local for end in what]
            ends = [head_of(source, layout, person, fixes) for person in people]
        else:
            values = {axis: 1.0 for axis in what if axis in axes}
            if len(values) != len(what):
                raise ValueError(f"direction {name}: no axis named {set(what) - set(values)}")
            ends = [rest, head_of(source, layout, average + local_delta(source, axes, values), fixes)]
        found[name] = project(ends[1] - ends[0], basis, weight)
    return found


def studio_identities(
    source: Source, layout: Assembly, basis: np.ndarray, rest: np.ndarray, weight: np.ndarray, fixes: Fixes
) -> dict[str, np.ndarray]:
    """Arrays for out-of-model performers: displacements outside the basis, and ready-made people.

    names [K], deltas [K,V,3] of single targets; residual_rms [K] metres over the face after the best fit of
    the basis; performer_shape [P,S] and performer_offset [P,V,3]: basis coefficients, and what lies outside.
    """
    axes = shape_axes(source)
    average = average_delta(source, axes)
    start = head_of(source, layout, average, fixes)
    count, face = len(source.vertices), weight > 0.6
    targets = {f"asym/{k}": t.dense(count) for k, t in source.asymmetric.items() if not k.startswith("asymm")}
    targets |= {k: t.dense(count) for k, t in source.targets.items() if is_held_out(k)}
    names, deltas, residuals = [], [], []
    for name, delta in targets.items():
        moved = head_of(source, layout, average + delta, fixes) - start
        left = moved - np.tensordot(project(moved, basis, weight), basis, 1)
        names.append(name)
        deltas.append(moved)
        residuals.append(np.sqrt((left[face] ** 2).sum(-1).mean()))
    people = _performers(source, layout, axes, targets, fixes, basis, weight)
    shapes = np.stack([project(person - rest, basis, weight) for person in people])
    offsets = people - rest - np.tensordot(shapes, basis, 1)
    return {
        "names": np.array(names), "deltas": np.stack(deltas).astype(np.float16), "residual_rms": np.array(residuals),
        "performer_shape": shapes, "performer_offset": offsets.astype(np.float16),
        "performer_rms": np.sqrt((offsets[:, face] ** 2).sum(-1).mean(-1)),
    }  # fmt: skip


def _performers(
    source: Source,
    layout: Assembly,
    axes: dict,
    targets: dict,
    fixes: Fixes,
    basis: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Heads [P,V,3] of people with held-out targets, as strong as it takes to leave the basis by OUTSIDE."""
    rng, names, face = np.random.default_rng(SEED + 1), sorted(targets), weight > 0.6
    people = []
    for _ in range(PERFORMERS):
        person, values = sample_person(rng, axes)
        plain = macro_delta(source, person) + local_delta(source, axes, values)
        chosen = rng.choice(names, 14, replace=False)
        odd = sum(rng.uniform(0.4, 1.0) * targets[name] for name in chosen)
        moved = head_of(source, layout, plain + odd, fixes) - head_of(source, layout, plain, fixes)
        left = moved - np.tensordot(project(moved, basis, weight), basis, 1)
        strength = min(1.0, OUTSIDE / np.sqrt((left[face] ** 2).sum(-1).mean()))
        people.append(head_of(source, layout, plain + strength * odd, fixes))
    return np.stack(people)
