"""Soft masks over Gaussians: which of them are skin, hair, lips, brows, irises, seen by place and by colour."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from emoga.editing.subject import LANDMARKS, OPAQUE, Subject, template_vertices

MM = 1e-3
INSIDE = ("mouth_interior", "teeth", "tongue", "eyeballs", "irises", "lashes")
CLOTHES = ("shoulders", "boundary")
# The ear proper is further from the middle of the template than this; the region around it is skin and sideburns.
STANDS_OFF = 67 * MM
# MediaPipe's points before the ears, down which hair may grow.
SIDEBURNS = (127, 234, 93, 356, 454, 323)
# Chances of being hair between which a Gaussian takes part: all the doubtful skin of a forehead would show a tint.
CERTAIN = (0.15, 0.6)
# Metres under the surface between which a Gaussian counts as the head's filling, and how many times as far as the
# scalp bare skin has to be before that filling is hair's alone.
BURIED = (-9 * MM, -13 * MM)
BESIDE = (2.2, 1.4)
BARE = ("forehead", "face", "cheeks", "ears", "neck", "jaw")
# Saturation in shares of skin's between which a Gaussian of the teeth is one.
PALER = (0.9, 0.6)
# Metres from the lips and spreads of skin's colour from which, and up to which, what is labelled mouth is skin.
FROM_LIPS, LIKE_SKIN = 8 * MM, 3.0
# What a mask is of, for each name that plans use.
PARTS: dict[str, tuple[str, ...]] = {
    "eyes": ("irises",), "lips": ("lips",), "mouth": ("lips",), "ears": ("ears",),
    "neck": ("neck",), "nose": ("nose",), "forehead": ("forehead",), "jaw": ("jaw",), "chin": ("jaw",),
    "lashes": ("lashes",),
}  # fmt: skip


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high` (which may be the smaller one), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def part_mask(subject: Subject, part: str, side: str = "") -> np.ndarray:
    """[N] in 0..1: the Gaussians that show a part of the head, on one side or on both."""
    makers = {
        "skin": skin_mask, "face": skin_mask, "hair": hair_mask, "brows": brow_mask, "person": head_mask,
        "cheeks": _cheeks, "cheekbones": _cheeks, "temples": _temples, "lips": lip_mask, "mouth": lip_mask,
        "teeth": _teeth,
    }  # fmt: skip
    weight = makers[part](subject) if part in makers else _by_label(subject, *PARTS[part])
    return weight * side_mask(subject.points, side)


def side_mask(points: np.ndarray, side: str) -> np.ndarray:
    """[N] in 0..1: template points on a side of the subject; the left is +x."""
    if side == "left":
        return smoothstep(points[:, 0], -2 * MM, 2 * MM)
    if side == "right":
        return smoothstep(points[:, 0], 2 * MM, -2 * MM)
    return np.ones(len(points))


def near(points: np.ndarray, places: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """[N]: 1 within `inner` metres of any of the places [M,3], 0 beyond `outer`."""
    distance, _ = cKDTree(places).query(points, distance_upper_bound=2 * outer)
    return smoothstep(np.minimum(distance, 2 * outer), outer, inner)


def head_mask(subject: Subject) -> np.ndarray:
    """Everything but clothes."""
    return (~clothes(subject)).astype(float)


def clothes(subject: Subject) -> np.ndarray:
    """[N] bool: below the neck, and on the neck what has another colour than skin."""
    low = subject.labelled(*CLOTHES)
    return low | (subject.labelled("neck") & (_difference(subject) > 4.5))


def hair_mask(subject: Subject) -> np.ndarray:
    """Hair of the scalp: by place, and near the hairline by colour."""
    points = subject.points
    scalp = template_vertices(subject.head)[subject.head.regions["scalp"].numpy()]
    distance, _ = cKDTree(scalp).query(points)
    own = subject.labelled("scalp")
    # Hairlines differ: above the forehead the colour decides.
    inner = 0.93 - 0.45 * smoothstep(points[:, 2], -45 * MM, -5 * MM) * smoothstep(
        points[:, 1], 105 * MM, 80 * MM
    )
    # Below the scalp and behind the ears what is dark is mostly shade.
    reach = np.where(subject.labelled("ears"), 20 * MM, np.where(subject.labelled("neck"), 16 * MM, 28 * MM))
    prior = np.where(own, inner, 0.5 * smoothstep(distance, reach, 4 * MM))
    off = ((subject.means - subject.bind.origin.numpy()[subject.rows]) * subject.normals).sum(1)
    prior = np.maximum(
        prior, 0.8 * smoothstep(off, 4 * MM, 9 * MM) * (distance < 45 * MM) * (points[:, 1] > -0.03)
    )
    prior = np.maximum(prior, 0.15 * near(points, landmarks(subject, SIDEBURNS), 6 * MM, 14 * MM))
    prior = prior * ~subject.labelled(*INSIDE, *CLOTHES, "lips", "eyelids", "nose")
    # What fills the head shows through thin skin, not as hair; more so where bare skin is hardly farther than hair.
    prior = prior * smoothstep(off, -25 * MM, -15 * MM)
    beside = smoothstep(_to_bare_skin(subject) / np.maximum(distance, 1e-6), *BESIDE)
    prior = prior * (1 - beside * smoothstep(off, *BURIED))
    # The shadows inside an ear are as dark as hair.
    own_ear = subject.labelled("ears") & (np.abs(points[:, 0]) > STANDS_OFF)
    prior = np.where(own_ear, 0.06 * prior, prior)
    crown = own & (points[:, 1] > 0.05) & (points[:, 2] < -0.02) & (subject.opacities > OPAQUE)
    hair, skin = _model(subject, crown), _model(subject, subject.labelled("cheeks", "nose", "forehead"))
    if hair is None or skin is None:
        return prior
    likelihood = np.clip(_log_density(subject, hair) - _log_density(subject, skin), -6, 6)
    odds = prior / np.maximum(1 - prior, 1e-6) * np.exp(0.9 * likelihood)
    sure = smoothstep(odds / (1 + odds), *CERTAIN)
    return np.where(prior > 0.02, sure, 0.0)


def _to_bare_skin(subject: Subject) -> np.ndarray:
    """[N] metres from the regions of the template on which no hair of the scalp grows."""
    regions = subject.head.regions
    bare = np.any([regions[name].numpy() for name in BARE if name in regions], axis=0)
    places = template_vertices(subject.head)[bare & ~regions["scalp"].numpy()]
    return cKDTree(places).query(subject.points)[0]


def brow_mask(subject: Subject) -> np.ndarray:
    """Dark hairs in the band where brows are."""
    line = brow_line(subject)
    band = near(subject.points, line, 5 * MM, 9 * MM) * ~subject.labelled("eyelids", *INSIDE)
    around = near(subject.points, line, 16 * MM, 18 * MM) * subject.labelled("forehead", "face", "brows")
    skin = float(subject.typical(around) @ np.array([0.3, 0.6, 0.1]))
    darkness = 1 - (subject.base @ np.array([0.3, 0.6, 0.1])) / max(skin, 1e-3)
    return band * smoothstep(darkness, 0.12, 0.5)


def lip_mask(subject: Subject) -> np.ndarray:
    """The lips outside the mouth."""
    weight = np.maximum(
        subject.labelled("lips"), near(subject.points, _lip_places(subject), 0.5 * MM, 1.8 * MM)
    )
    return weight * ~subject.labelled("teeth", "tongue", "eyeballs", "irises", "nose")


def skin_mask(subject: Subject) -> np.ndarray:
    """Skin of head and neck, without hair, brows, lips and eyes."""
    outside = ~(subject.labelled(*INSIDE) | clothes(subject)) | _behind_cheeks(subject)
    rest = (1 - hair_mask(subject)) * (1 - brow_mask(subject)) * (1 - lip_mask(subject))
    return outside * rest


def _teeth(subject: Subject) -> np.ndarray:
    """What is paler than skin of the Gaussians of teeth: the rest went behind the cheeks, and shows through them."""
    own = _by_label(subject, "teeth")
    pale = smoothstep(_saturation(subject.base) / max(float(_saturation(subject.skin)), 1e-3), *PALER)
    return own * pale if (own * pale > 0.5).any() else own


def _saturation(colours: np.ndarray) -> np.ndarray:
    return 1 - colours.min(-1) / np.maximum(colours.max(-1), 1e-3)


def _behind_cheeks(subject: Subject) -> np.ndarray:
    """[N] bool: Gaussians of the mouth that look like skin and lie far from its opening: they show through cheeks."""
    far = cKDTree(_lip_places(subject)).query(subject.points)[0] > FROM_LIPS
    alike = (_difference(subject) < LIKE_SKIN) & (
        _saturation(subject.base) > PALER[0] * _saturation(subject.skin)
    )
    return subject.labelled("mouth_interior", "teeth") & far & alike


def _by_label(subject: Subject, *names: str) -> np.ndarray:
    return subject.labelled(*names).astype(float)


def _lip_places(subject: Subject) -> np.ndarray:
    """Vertices of the lips that are seen: those of the rim, not those that turn into the mouth."""
    vertices = template_vertices(subject.head)
    return vertices[subject.head.regions["lips"].numpy()]


def brow_line(subject: Subject) -> np.ndarray:
    """Points [M,3] along both brows of the template."""
    upper = {"right": (70, 63, 105, 66, 107), "left": (300, 293, 334, 296, 336)}
    lower = {"right": (46, 53, 52, 65, 55), "left": (276, 283, 282, 295, 285)}
    found = []
    for side in upper:
        line = 0.5 * (landmarks(subject, upper[side]) + landmarks(subject, lower[side]))
        steps = np.linspace(0, len(line) - 1, 25)
        found.append(
            np.stack([np.interp(steps, np.arange(len(line)), line[:, axis]) for axis in range(3)], 1)
        )
    return np.concatenate(found)


def landmarks(subject: Subject, numbers: tuple[int, ...]) -> np.ndarray:
    """[M,3] metres: mediapipe's landmarks on the template."""
    found = subject.head.landmarks[LANDMARKS]
    numbers = list(numbers)
    corners = template_vertices(subject.head)[subject.head.faces.numpy()[found.faces.numpy()[numbers]]]
    return (corners * found.bary.numpy()[numbers][..., None]).sum(1)


def _cheeks(subject: Subject) -> np.ndarray:
    return near(subject.points, landmarks(subject, (50, 280)), 8 * MM, 26 * MM) * skin_mask(subject)


def _temples(subject: Subject) -> np.ndarray:
    return near(subject.points, landmarks(subject, (127, 356)), 25 * MM, 50 * MM) * hair_mask(subject)


def _features(subject: Subject) -> np.ndarray:
    """[N,3]: log brightness and two log ratios of the base colours."""
    base = np.log(np.clip(subject.base, 3e-3, 2.0))
    return np.stack([base.mean(1), base[:, 0] - base[:, 1], base[:, 1] - base[:, 2]], 1)


def _model(subject: Subject, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Median and spread [3] of the features of some Gaussians."""
    rows = chosen & (subject.opacities > OPAQUE)
    if rows.sum() < 20:
        return None
    features = _features(subject)[rows]
    middle = np.median(features, 0)
    return middle, np.clip(1.5 * np.median(np.abs(features - middle), 0), 0.12, 1.5)


def _log_density(subject: Subject, model: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    middle, spread = model
    return -0.5 * (((_features(subject) - middle) / spread) ** 2).sum(1) - np.log(spread).sum()


def _difference(subject: Subject) -> np.ndarray:
    """[N]: how far the colours are from skin, in spreads of skin's."""
    skin = _model(subject, subject.labelled("cheeks", "nose", "forehead"))
    if skin is None:
        return np.zeros(len(subject.points))
    return np.abs((_features(subject) - skin[0]) / np.maximum(skin[1], 0.3)).max(1)
