"""Glasses and sunglasses: frames about the eyes, a bridge over the nose, temples to the ears."""

from __future__ import annotations

import numpy as np

from emoga.avatar import Gaussians
from emoga.editing.masks import MM, landmarks
from emoga.editing.meshes import Solid, merged, sheet, tube
from emoga.editing.subject import Subject
from emoga.editing.surface import find_places, joined
from emoga.editing.wearing import SKULL, Finish, finish_of, worn
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value

STEP = 0.9 * MM
# From the bridge of the nose to the lenses, metres.
CLEARANCE = 4 * MM
CLEAR = Finish((0.85, 0.90, 0.93), 0.2, 0.9, 0.015)
TINTED = Finish((0.06, 0.06, 0.07), 0.15, 0.6, 0.90)


def glasses(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Glasses with clear lenses."""
    return _eyewear(subject, step, dark=False)


def sunglasses(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """Glasses with dark lenses."""
    return _eyewear(subject, step, dark=True)


def _eyewear(subject: Subject, step: Operation, dark: bool) -> Gaussians:
    at = _places(subject)
    eyes, bridge = (at["left"], at["right"]), at["bridge"]
    half = 0.5 * float(np.linalg.norm(eyes[0] - eyes[1]))
    size = (1.15 if "large" in step.style else 0.88 if "small" in step.style else 1.0) * (
        1.1 if dark else 1.0
    )
    thickness = (0.7 if "thin" in step.style or step.material in ("gold", "silver", "steel") else 1.25) * MM
    thickness *= 1.6 if "thick" in step.style else 1.0
    front = max(bridge[2] + CLEARANCE, eyes[0][2] + 10 * MM, at["brow"][2] - 2 * MM)
    rims, lenses = [], []
    for sign, eye in ((1, eyes[0]), (-1, eyes[1])):
        outline = _outline(step, half, size, sign)
        # Lenses wrap a little around the face.
        outline[:, 2] = (
            -0.10 * np.abs(outline[:, 0] * sign + 0.25 * half) * (outline[:, 0] * sign > -0.25 * half)
        )
        outline = outline + np.array([eye[0], eye[1] - 2 * MM, front])
        rims.append(outline)
        lenses.append(sheet(outline, 1.0 * MM, 1.6 * MM))
    inner = [rim[(sign * rim[:, 0]).argmin()] for sign, rim in zip((1, -1), rims, strict=True)]
    high = 5 * MM
    arch = np.array(
        [
            inner[0] + [0, high, 0],
            [0, max(inner[0][1] + high + 2 * MM, bridge[1] + 3 * MM), front + 1.5 * MM],
            inner[1] + [0, high, 0],
        ]
    )
    solids = [tube(rim, thickness, STEP, closed=True) for rim in rims if "rimless" not in step.style]
    solids.append(tube(_bent(arch), thickness, STEP))
    solids += [
        _temple(rim, at[f"{side}_ear"], sign, thickness)
        for rim, side, sign in zip(rims, ("left", "right"), (1, -1), strict=True)
    ]
    frame = merged(solids)
    finish = finish_of(step, "plastic", "black")
    parts = [worn(subject, frame, finish, SKULL)]
    glass = TINTED if dark else CLEAR
    if dark and step.colour and not step.material:
        glass = Finish(tuple(0.35 * part for part in colour_value(step.colour)), 0.15, 0.6, 0.9)
    return joined([*parts, worn(subject, merged(lenses), glass, SKULL)])


def _places(subject: Subject) -> dict[str, np.ndarray]:
    """Points of this head at the bind pose that glasses are fitted to."""
    head = subject.head
    at = {}
    for side, sign in (("left", 1), ("right", -1)):
        eyeball = head.regions["eyeballs"].numpy() & (sign * head.template.numpy()[:, 0] > 0)
        at[side] = subject.vertices[eyeball].mean(0)
        number = 356 if side == "left" else 127
        ear = head.regions["ears"].numpy() & (sign * head.template.numpy()[:, 0] > 0)
        root = subject.vertices[ear]
        top = root[root[:, 1] > np.quantile(root[:, 1], 0.75)]
        temple = find_places(subject, landmarks(subject, (number,)))
        at[f"{side}_ear"] = np.array(
            [
                sign * max(abs(temple.points[0][0]) + 4 * MM, np.abs(top[:, 0]).min() + 4 * MM),
                np.quantile(root[:, 1], 0.85),
                np.quantile(root[:, 2], 0.45),
            ]
        )
        at[f"{side}_ear"][0] = sign * max(abs(at[f"{side}_ear"][0]), _width(subject, at[f"{side}_ear"], sign))
    at["bridge"] = find_places(subject, landmarks(subject, (6,))).points[0]
    at["brow"] = find_places(subject, landmarks(subject, (105,))).points[0]
    return at


def _width(subject: Subject, place: np.ndarray, sign: int) -> float:
    """How far out, metres, hair and skin reach just in front of the top of an ear."""
    rows = subject.opaque[~subject.labelled("ears")[subject.opaque]]
    points = subject.means[rows]
    close = np.abs(points[:, 1] - place[1]) < 8 * MM
    close &= (
        (points[:, 2] - place[2] > -5 * MM) & (points[:, 2] - place[2] < 25 * MM) & (sign * points[:, 0] > 0)
    )
    reach = np.quantile(sign * points[close, 0], 0.97) if close.sum() > 5 else 0.0
    return float(min(reach, abs(place[0]) + 12 * MM)) + 1.2 * MM


def _outline(step: Operation, half: float, size: float, sign: int) -> np.ndarray:
    """A closed outline [P,3] of a lens about its eye; x grows to the subject's left."""
    width, height, corner = 0.76 * half * size, 0.60 * half * size, 3.2
    if "round" in step.style:
        width = height = 0.68 * half * size
        corner = 2.0
    elif "square" in step.style:
        corner, height = 6.0, 0.62 * half * size
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / corner) * width
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / corner) * height
    if "aviator" in step.style:
        y = np.where(y < 0, 1.25 * y, y)
        x = x + 0.12 * half * np.clip(-y / height, 0, 1) * sign
    if "cateye" in step.style:
        y = y + 0.22 * height * np.clip(sign * x / width, 0, 1) ** 2
    return np.stack([x, y, np.zeros_like(x)], 1)


def _temple(rim: np.ndarray, ear: np.ndarray, sign: int, thickness: float) -> Solid:
    """The arm from the lens's outer corner over the ear and down behind it."""
    outer = rim[(sign * rim[:, 0] + 0.6 * rim[:, 1]).argmax()]
    hinge = outer + np.array([sign * 3 * MM, 0, -2 * MM])
    side = max(abs(ear[0]), abs(hinge[0])) * sign
    middle = np.array([0.5 * (hinge[0] + side), 0.5 * (hinge[1] + ear[1]), 0.5 * (hinge[2] + ear[2])])
    behind = np.array([ear[0], ear[1] - 16 * MM, ear[2] - 20 * MM])
    path = np.stack([outer, hinge, middle, np.array([ear[0], ear[1], ear[2] + 6 * MM]), behind])
    return tube(_bent(path), 0.9 * thickness, STEP)


def _bent(path: np.ndarray, count: int = 40) -> np.ndarray:
    """A smooth curve [count,3] through points."""
    from scipy.interpolate import PchipInterpolator

    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return PchipInterpolator(along, path)(np.linspace(0, along[-1], count))
