"""Sample plausible adults from MakeHuman's modelling targets."""

from __future__ import annotations

import itertools

import numpy as np

from tools.open_head.source import Source

RACES = ("african", "asian", "caucasian")
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"),
    ("concave", "convex"), ("compress", "uncompress"),
)  # fmt: skip
# Several motions share a stem ('eye-trans-up', 'eye-trans-out'): the axis name says which.
KINDS = {"down": "-vertical", "in": "-lateral", "backward": "-depth"}
# Motions of the whole head or neck, which pose and translation already describe.
POSE_LIKE = ("head/head-trans", "head/head-angle", "neck-trans-in", "neck-trans-out")
# Left out of the shape basis on purpose: studio performers use them, so the tracker cannot span them.
HELD_OUT = (
    "nose-hump", "chin-cleft", "mouth-dimples", "mouth-laugh-lines", "nose-septumangle", "eye-eyefold-angle",
    "forehead-nubian", "mouth-upperlip-ext", "cheek-inner", "eye-push2", "nose-width2",
)  # fmt: skip

# Where MakeHuman's average head departs from anthropometry (eye distance 63 mm, lid opening 30 x 9.5 mm,
# mouth 49 mm, narrower face): means of local axes, both sides.
CENTRES = {
    "eyes/eye-scale": 1.0, "eyes/eye-push1": 0.5, "eyes/eye-height2": 0.3, "eyes/eye-trans-lateral": 0.45,
    "mouth/mouth-scale-horiz": 0.65, "head/head-scale-horiz": -0.2,
}  # fmt: skip


# A target at 1 is a caricature (23 mm longer face): real faces vary by about a fifth of that (one deviation).
SPREAD = 0.2


def is_held_out(name: str) -> bool:
    """Whether a target is reserved for out-of-model performers."""
    return any(key in name for key in HELD_OUT)


def shape_axes(source: Source) -> dict[str, tuple[str, str | None]]:
    """Axis name -> (target at -1, target at +1); one-sided targets have None for the first."""
    names = [n for n in source.targets if not any(key in n for key in POSE_LIKE)]
    axes: dict[str, tuple] = {}
    for name in names:
        for low, high in OPPOSITES:
            if name.endswith(f"-{low}") and f"{name[: -len(low)]}{high}" in source.targets:
                stem = name[: -len(low) - 1]
                axes[stem + KINDS.get(low, "")] = (name, f"{name[: -len(low)]}{high}")
                break
            if name.endswith(f"-{high}") and f"{name[: -len(high)]}{low}" in source.targets:
                break
        else:
            axes[name] = (None, name)
    return axes


def _segments(value: float, knots: list[tuple[float, str]]) -> dict[str, float]:
    """Weights of the two names around `value` on a piecewise linear scale."""
    for (a, low), (b, high) in itertools.pairwise(knots):
        if value <= b:
            t = min(max((value - a) / (b - a), 0.0), 1.0)
            return {low: 1 - t, high: t}
    return {knots[-1][1]: 1.0}


def macro_delta(source: Source, person: dict) -> np.ndarray:
    """Displacement [N,3] of the macro controls of a person (see `sample_person`)."""
    gender = {"female": 1 - person["gender"], "male": person["gender"]}
    age = _segments(person["age"], [(0, "baby"), (0.1875, "child"), (0.5, "young"), (1.0, "old")])
    muscle = _segments(person["muscle"], [(0, "minmuscle"), (0.5, "averagemuscle"), (1, "maxmuscle")])
    weight = _segments(person["weight"], [(0, "minweight"), (0.5, "averageweight"), (1, "maxweight")])
    proportion = _segments(
        person["proportions"], [(0, "uncommonproportions"), (0.5, ""), (1, "idealproportions")]
    )
    parts: list[tuple[str, float]] = []
    for (g, wg), (a, wa) in itertools.product(gender.items(), age.items()):
        parts += [(f"{race}-{g}-{a}", wg * wa * w) for race, w in zip(RACES, person["races"], strict=True)]
        for (m, wm), (k, wk) in itertools.product(muscle.items(), weight.items()):
            both = wg * wa * wm * wk
            parts.append((f"universal-{g}-{a}-{m}-{k}", both))
            parts += [(f"{g}-{a}-{m}-{k}-{p}", both * wp) for p, wp in proportion.items() if p]
    total = np.zeros_like(source.vertices)
    for name, w in parts:
        if w and name in source.macros:
            target = source.macros[name]
            np.add.at(total, target.ids, w * target.deltas)
    return total


AVERAGE = {
    "gender": 0.5,
    "age": 0.58,
    "muscle": 0.5,
    "weight": 0.5,
    "proportions": 0.5,
    "races": (1 / 3,) * 3,
}


def average_delta(source: Source, axes: dict) -> np.ndarray:
    """Displacement [N,3] of the average adult from the base mesh."""
    values = {name: CENTRES.get(_both_sides(name), 0.0) for name in axes}
    return macro_delta(source, AVERAGE) + local_delta(source, axes, values)


def _both_sides(name: str) -> str:
    """The name of an axis without its side, and eye shifts told apart: 'eyes/l-eye-scale' -> 'eyes/eye-scale'."""
    folder, stem = name.split("/")
    return f"{folder}/{stem[2:]}" if stem[:2] in ("l-", "r-") else name


def local_delta(source: Source, axes: dict, values: dict[str, float]) -> np.ndarray:
    """Displacement [N,3] of local targets, values in [-1,1] by axis name."""
    total = np.zeros_like(source.vertices)
    for name, value in values.items():
        low, high = axes[name]
        target = high if value > 0 else low
        if target is not None:
            total[source.targets[target].ids] += abs(value) * source.targets[target].deltas
    return total


def sample_person(rng: np.random.Generator, axes: dict) -> tuple[dict, dict[str, float]]:
    """Macro controls and local values of one random adult; both sides of the face nearly alike."""
    person = {
        "gender": float(rng.beta(0.7, 0.7)),
        "age": float(rng.uniform(0.42, 0.92)),
        "muscle": float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
        "weight": float(np.clip(rng.normal(0.5, 0.18), 0, 1)),
        "proportions": float(np.clip(rng.normal(0.5, 0.25), 0, 1)),
        "races": tuple(rng.dirichlet((0.6, 0.6, 0.6))),
    }
    values: dict[str, float] = {}
    for name, (low, _) in axes.items():
        if is_held_out(name):
            continue
        key = _both_sides(name)
        if key not in values:
            values[key] = rng.normal(0, SPREAD) if low else max(0.0, rng.normal(-SPREAD, 2 * SPREAD))
        own = values[key] + (rng.normal(0, 0.2 * SPREAD) if key != name else 0)
        values[name] = CENTRES.get(key, 0.0) + float(np.clip(own, -0.95, 0.95))
    return person, {name: values[name] for name in axes if name in values}
