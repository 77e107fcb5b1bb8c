"""Earrings, studs and rings for the nose, at the size they have in life."""

from __future__ import annotations

import numpy as np

from emoga.avatar import Gaussians
from emoga.editing.masks import MM, STANDS_OFF, landmarks
from emoga.editing.meshes import Solid, ball, circle, merged, tube
from emoga.editing.subject import Subject, template_vertices
from emoga.editing.surface import Places, find_places, joined
from emoga.editing.wearing import finish_of, worn
from emoga.guidance import Operation

STEP = 0.6 * MM


def earring(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A hoop or a drop in the lobe of one ear, or of both."""
    sides = ("left", "right") if step.side == "both" else (step.side if step.side == "right" else "left",)
    return joined([_earring(subject, step, side) for side in sides])


def stud(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A ball on the lobe."""
    sides = ("left", "right") if step.side == "both" else (step.side if step.side == "right" else "left",)
    return joined([_on(subject, _stud(step, 2.2 * MM), lobe(subject, side), step, "ears") for side in sides])


def nose_stud(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A small ball on the wing of the nose."""
    number = 64 if step.side == "right" else 294
    place = find_places(subject, landmarks(subject, (number,)) + np.array([[0, 1.5 * MM, 0]]))
    return _on(subject, _stud(step, 1.3 * MM), place, step, "nose")


def nose_ring(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A ring through a wing of the nose, or through the septum when no side is named."""
    size = _size(step)
    thickness = _thickness(step, 0.55 * MM)
    if step.side in ("left", "right"):
        place = find_places(subject, landmarks(subject, (64 if step.side == "right" else 294,)))
        ring = tube(circle(4.2 * MM * size), thickness, STEP / 1.5, closed=True)
        sideways = np.array([1.0 if step.side == "left" else -1.0, 0, 0])
        forward = np.array([0, 0, 1.0])
        frame = np.stack([forward, np.array([0, 1.0, 0]), np.cross(forward, [0, 1.0, 0])], 1)
        origin = place.points[0] - 1.0 * MM * sideways + np.array([0, -3.2 * MM * size, 1.0 * MM])
    else:
        place = find_places(subject, landmarks(subject, (2,)))
        ring = tube(circle(4.6 * MM * size), thickness, STEP / 1.5, closed=True)
        frame, origin = np.eye(3), place.points[0] + np.array([0, -2.2 * MM * size, -0.5 * MM])
    solid = ring.placed(frame, origin)
    return worn(subject, solid, finish_of(step, "gold"), int(place.faces[0]), "nose")


def lobe(subject: Subject, side: str) -> Places:
    """The place on an ear's lobe where earrings are worn, facing outwards."""
    vertices = template_vertices(subject.head)
    sign = 1 if side == "left" else -1
    ears = vertices[subject.head.regions["ears"].numpy() & (sign * vertices[:, 0] > STANDS_OFF)]
    low = ears[ears[:, 1] < ears[:, 1].min() + 10 * MM]
    outer = low[np.argsort(sign * low[:, 0])[-max(3, len(low) // 3) :]].mean(0)
    return find_places(subject, np.array([[outer[0] + sign * 2 * MM, low[:, 1].min() + 4 * MM, outer[2]]]))


def _earring(subject: Subject, step: Operation, side: str) -> Gaussians:
    place = lobe(subject, side)
    sign = 1.0 if side == "left" else -1.0
    point = place.points[0]
    size = _size(step)
    if "drop" in step.style or (step.material in ("pearl", "diamond", "jade") and "hoop" not in step.style):
        gem = ball(3.4 * MM * size, STEP).placed(np.eye(3), np.array([0, -12 * MM * size, 0]))
        wire = tube(np.array([[0, 0, 0], [0, -9 * MM * size, 0]]), 0.35 * MM, STEP / 2)
        hook = ball(1.0 * MM, STEP / 2)
        hanging = merged([wire, hook]).placed(np.eye(3), point + sign * np.array([1.2 * MM, 0, 0]))
        gem = gem.placed(np.eye(3), point + sign * np.array([1.2 * MM, 0, 0]))
        metal = Operation(
            "add", "earring", material="gold" if step.material in ("pearl", "jade") else "silver"
        )
        frames = int(place.faces[0])
        parts = [worn(subject, hanging, finish_of(metal, "gold"), frames, "ears")]
        return joined([*parts, worn(subject, gem, finish_of(step, "gold"), frames, "ears")])
    radius = (11 if "hoop" in step.style else 8) * MM * size
    hoop = tube(circle(radius), _thickness(step, 0.9 * MM), STEP, closed=True)
    # The ring hangs from the lobe in the plane that runs from front to back.
    frame = np.stack([np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), np.array([-1.0, 0, 0])], 1)
    outwards = place.normals[0] * np.array([1, 0, 1])
    origin = point + np.array([0, -radius + 1.5 * MM, 0]) + 0.3 * MM * outwards
    return worn(subject, hoop.placed(frame, origin), finish_of(step, "gold"), int(place.faces[0]), "ears")


def _stud(step: Operation, radius: float) -> Solid:
    return ball(radius * _size(step), STEP / 1.5, squash=0.7)


def _on(subject: Subject, solid: Solid, place: Places, step: Operation, label: str) -> Gaussians:
    """A solid set on the skin, its z along the normal."""
    normal, up = place.normals[0], place.tangents[0]
    frame = np.stack([np.cross(up, normal), up, normal], 1)
    radius = float(np.abs(solid.centres[:, 2]).max())
    origin = place.points[0] + 0.5 * radius * normal
    return worn(subject, solid.placed(frame, origin), finish_of(step, "gold"), int(place.faces[0]), label)


def _size(step: Operation) -> float:
    return 1.5 if "large" in step.style or "long" in step.style else 0.65 if "small" in step.style else 1.0


def _thickness(step: Operation, usual: float) -> float:
    return usual * (0.6 if "thin" in step.style else 1.7 if "thick" in step.style else 1.0)
