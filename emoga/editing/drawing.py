"""Drawing on the skin: lines and dots as small Gaussians just above it, found by places of the template."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from emoga.avatar import Gaussians
from emoga.editing.light import LUMA, SH_C0, repainted, to_linear
from emoga.editing.masks import MM, landmarks
from emoga.editing.subject import Subject, template_vertices
from emoga.editing.surface import Places, bound_gaussians, skin_latents, skin_sh
from emoga.geometry import vertex_normals

# Above the skin's own Gaussians, metres.
ABOVE = 0.5 * MM
# Landmarks at the middle of a part: the subject's right, his left.
CENTRES: dict[str, tuple[int, int]] = {
    "cheeks": (50, 280), "forehead": (151, 151), "chin": (175, 175), "neck": (172, 397), "nose": (4, 4),
    "lips": (39, 269), "mouth": (39, 269), "eyes": (118, 347), "brows": (105, 334), "temples": (139, 368),
    "jaw": (136, 365), "cheekbones": (117, 346), "ears": (234, 454), "face": (50, 280), "skin": (50, 280),
    "hair": (10, 10), "teeth": (39, 269), "lashes": (118, 347),
}  # fmt: skip


def smooth_curve(path: np.ndarray, spacing: float = 0.55 * MM) -> np.ndarray:
    """Points [P,3] evenly along a smooth curve through template points."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(length) > 1e-6])
    count = max(6, int(length[-1] / spacing))
    return PchipInterpolator(length[keep], path[keep])(np.linspace(0, length[-1], count))


def stroke(
    subject: Subject,
    places: Places,
    width: float,
    gain: np.ndarray,
    opacity: np.ndarray,
    colour: np.ndarray | None = None,
) -> Gaussians:
    """A line of Gaussians along places, `width` metres wide: the skin's colours times a gain, or one colour."""
    along = np.gradient(places.points, axis=0)
    length = np.linalg.norm(along, axis=1)
    along = along - places.normals * (along * places.normals).sum(1, keepdims=True)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    axes = np.stack([along, np.cross(places.normals, along), places.normals], -1)
    sizes = np.stack([0.8 * length, np.full(len(along), 0.5 * width), np.full(len(along), 0.08 * MM)], 1)
    return _drawn(subject, places, axes, sizes, gain, opacity, colour)


def dots(
    subject: Subject,
    places: Places,
    radius: np.ndarray,
    gain: np.ndarray,
    opacity: np.ndarray,
    colour: np.ndarray | None = None,
) -> Gaussians:
    """Round spots of radius [M] metres."""
    axes = np.stack([np.cross(places.tangents, places.normals), places.tangents, places.normals], -1)
    sizes = np.stack([radius, radius, np.full(len(radius), 0.08 * MM)], 1)
    return _drawn(subject, places, axes, sizes, gain, opacity, colour)


def _drawn(
    subject: Subject, places: Places, axes: np.ndarray, sizes: np.ndarray, gain: np.ndarray, opacity: np.ndarray,
    colour: np.ndarray | None,
) -> Gaussians:  # fmt: skip
    sh = torch.from_numpy(skin_sh(subject, places.points))
    linear = to_linear(np.clip(0.5 + SH_C0 * sh[:, 0].numpy(), 0, None))
    if colour is None:
        linear = linear * gain
    else:
        shade = np.clip((linear @ LUMA) / max(float(subject.skin @ LUMA), 1e-3), 0.3, 1.6)
        linear = shade[:, None] * colour
    sh = repainted(sh, linear, np.ones(len(sh))).numpy()
    means = places.raised(ABOVE)
    return bound_gaussians(
        subject, means, axes, sizes, sh, places.faces, skin_latents(subject, places.points),
        np.clip(opacity, 0.004, 0.97), subject.head.face_regions.numpy()[places.faces],
    )  # fmt: skip


def middle_of(subject: Subject, part: str, side: str) -> np.ndarray:
    """[3] template: the middle of a part, on the left unless the right is named."""
    right, left = CENTRES.get(part, CENTRES["cheeks"])
    place = landmarks(subject, (right if side == "right" else left,))[0]
    if part == "neck":
        # Not in front: there a chin hides it.
        vertices = template_vertices(subject.head)[subject.head.regions["neck"].numpy()]
        place = np.array([(-1 if side == "right" else 1) * 55 * MM, -0.105, -0.060])
        place = vertices[np.argsort(np.linalg.norm(vertices - place, axis=1))[:3]].mean(0)
    if part == "forehead" and side:
        place = place + np.array([(-1 if side == "right" else 1) * 22 * MM, 0, -4 * MM])
    if part == "chin" and side:
        place = place + np.array([(-1 if side == "right" else 1) * 12 * MM, 0, -2 * MM])
    return place


def template_normal(subject: Subject, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The template's normal [3] near a point, and the direction [3] along the surface that is up."""

    vertices = template_vertices(subject.head)
    normals = vertex_normals(torch.tensor(vertices), subject.head.faces).numpy()
    outer = ~np.any(
        [
            subject.head.regions[n].numpy()
            for n in ("eyeballs", "teeth", "tongue", "lashes", "mouth_interior")
        ],
        0,
    )
    distance = np.linalg.norm(vertices - point, axis=1) + 1e3 * ~outer
    normal = normals[np.argsort(distance)[:12]].mean(0)
    normal /= np.linalg.norm(normal)
    up = np.array([0, 1.0, 0]) - normal * normal[1]
    return normal, up / np.linalg.norm(up)


def scattered(
    subject: Subject, part: str, side: str, reach: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Points [M,3] about the middle of a part of the template, on one or both sides."""
    sides = (side,) if side in ("left", "right") else ("left", "right")
    if CENTRES.get(part, (0, 1))[0] == CENTRES.get(part, (0, 1))[1]:
        sides = ("",)
    found = []
    for each in sides:
        centre = middle_of(subject, part, each)
        normal, up = template_normal(subject, centre)
        right = np.cross(up, normal)
        radius = reach * np.sqrt(rng.random(max(count, 1)))
        angle = 2 * np.pi * rng.random(max(count, 1))
        found.append(
            centre + (radius * np.cos(angle))[:, None] * right + 0.7 * (radius * np.sin(angle))[:, None] * up
        )
    return np.concatenate(found)
