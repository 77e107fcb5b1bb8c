"""What FLAME's file lacks and emoga's heads have: teeth, named regions, landmarks and a texture layout.

Taken from the user's official files where they are given, else carried over from the open head's surface.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.spatial

from emoga.head.embedding import LandmarkEmbedding
from emoga.head.flame_surface import Anchors, Surface, closest_on, lay_onto
from emoga.head.model import Head

IRIS_ANGLE = 0.5  # radians from the gaze within which an eyeball shows its iris
MOUTH = {"corners": (61, 291), "lips": (13, 14)}  # numbers among mediapipe478
IRISES = slice(468, 478)
EYE_CORNERS = (33, 133, 362, 263)
KEPT = ("brows", "eyelids", "cheeks", "jaw", "mouth_interior")  # what the official masks do not tell apart
COLUMNS, ROWS = 15, 4  # of each row of teeth: edge and root in front, edge and root behind
USUAL_EYES = 0.063  # metres between the eyes of a head whose teeth have the sizes below
ARC, DEPTH, HALF_ANGLE = 0.024, 0.032, 1.25
HEIGHT, THICKNESS, BEHIND_LIPS, OVERBITE = 0.0085, 0.004, 0.0045, 0.0015
SKIN_STRIP = 0.12  # share of the texture's height that eyeballs and teeth take, below the skin


@dataclass(frozen=True)
class Supplied:
    """What the user has beside the model: masks by region, landmark files, a texture layout."""

    masks: dict[str, np.ndarray] = field(default_factory=dict)
    landmarks: list[dict[str, np.ndarray]] = field(default_factory=list)
    uv: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Teeth:
    """Vertices [120,3], the upper row's first; faces [168,3] among them; `near` [P] skin that they follow."""

    vertices: np.ndarray
    faces: np.ndarray
    near: np.ndarray

    @property
    def lower(self) -> np.ndarray:
        """Which vertices the jaw carries [120]."""
        return np.arange(len(self.vertices)) >= COLUMNS * ROWS


def make_teeth(head: Head, surface: Surface) -> Teeth:
    """Two arcs behind the lips. From the mesh alone, so that everybody's are the same."""
    marks = head.landmarks["mediapipe478"].points(head.template.double()).numpy()
    wanted = marks[[*MOUTH["corners"], *MOUTH["lips"]]]
    corners, lips = np.split(lay_onto(head, surface, wanted), 2)
    size = np.linalg.norm(surface.eyes[0] - surface.eyes[1]) / USUAL_EYES
    middle = np.array([corners[:, 0].mean(), lips[:, 1].mean(), lips[:, 2].min() - BEHIND_LIPS * size])
    rows = [
        _arc(middle + [0, -OVERBITE * size, 0], size, HEIGHT),
        _arc(middle + [0, -0.5 * OVERBITE * size, -THICKNESS * size], size, -HEIGHT),
    ]
    strips = _strips()
    faces = np.vstack([strips, strips[:, ::-1] + COLUMNS * ROWS])
    gap = np.linalg.norm(surface.vertices - lips.mean(0), axis=1) + surface.bound
    # To a hundredth of a millimetre: the same digits on every machine.
    return Teeth(np.round(np.vstack(rows), 5), faces, np.sort(np.argsort(gap, kind="stable")[:40]))


def _arc(middle: np.ndarray, size: float, height: float) -> np.ndarray:
    """One row of teeth [60,3] whose edge's middle is at `middle`; `height` is signed, towards the root."""
    angle = np.linspace(-HALF_ANGLE, HALF_ANGLE, COLUMNS)
    arc = np.stack([ARC * np.sin(angle), 0 * angle, DEPTH * (np.cos(angle) - 1)], 1)
    inward = np.stack([-np.sin(angle), 0 * angle, -np.cos(angle)], 1) * THICKNESS
    root = np.array([0, height, 0])
    return middle + size * np.vstack([arc, arc + root, arc + 0.5 * inward, arc + inward + root])


def _strips() -> np.ndarray:
    """Triangles [84,3] of a row whose root is above: front, edge and back, seen from outside."""
    front, root, edge, back = (np.arange(COLUMNS) + row * COLUMNS for row in range(ROWS))
    faces = []
    for above, below in ((root, front), (front, edge), (edge, back)):
        for i in range(COLUMNS - 1):
            faces += [(below[i], below[i + 1], above[i + 1]), (below[i], above[i + 1], above[i])]
    return np.array(faces)


def vertex_regions(head: Head, surface: Surface, supplied: Supplied) -> np.ndarray:
    """For each vertex of the surface the number of its region among the open head's names."""
    names = head.region_names
    template = head.template.double().numpy()
    placed = lay_onto(head, surface, template, anchors(head, surface, supplied))
    labels = np.zeros(len(template), np.int64)
    for name in names:
        labels[_of(head, name)] = names.index(name)
    skin = ~np.isin(labels, [names.index(n) for n in ("eyeballs", "irises", "teeth", "tongue", "lashes")])
    _, near = scipy.spatial.cKDTree(placed[skin]).query(surface.vertices)
    found = labels[skin][near]
    found[_foot(surface)] = names.index("boundary")
    if supplied.masks:
        kept = np.isin(found, [names.index(name) for name in KEPT])
        found[~kept] = names.index("face")
        for name, ids in supplied.masks.items():
            found[ids] = names.index(name)
    found[surface.bound] = names.index("eyeballs")
    for eye in surface.eyes:
        arm = surface.vertices - eye
        ahead = arm[:, 2] > np.cos(IRIS_ANGLE) * np.linalg.norm(arm, axis=1)
        close = np.abs(arm[:, 0]) < 0.5 * abs(surface.eyes[0, 0] - surface.eyes[1, 0])
        found[surface.bound & ahead & close] = names.index("irises")
    return found


def _of(head: Head, name: str) -> np.ndarray:
    """Vertices of a label itself, not of the union that has its name."""
    corners = head.face_regions.numpy() == head.region_names.index(name)
    return np.unique(head.faces.numpy()[corners])


def _foot(surface: Surface) -> np.ndarray:
    """Vertices of the longest open border in the lower quarter: where the neck ends."""
    faces = surface.faces[surface.skin_faces]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    pairs, counts = np.unique(edges, axis=0, return_counts=True)
    border = np.unique(pairs[counts == 1])
    height = surface.vertices[:, 1]
    return border[height[border] < height.min() + 0.25 * np.ptp(height)]


def face_regions(faces: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each triangle the region that most of its corners have, else its first corner's."""
    a, b, c = labels[faces].T
    return np.where(b == c, b, a).astype(np.uint8)


def anchors(head: Head, surface: Surface, supplied: Supplied) -> Anchors | None:
    """Where the user's landmark files say that places of the open head lie; None without such files."""
    source, target = [], []
    for file in supplied.landmarks:
        scheme, points = str(file["scheme"]), file["points"]
        # The outline's points are where a face ends in a picture, no places on the skin.
        inner = points >= 17 if scheme == "ibug68" else points < IRISES.start
        embedding = head.landmarks[scheme]
        source.append(embedding.points(head.template.double()).numpy()[points[inner]])
        target.append(_points(surface, file["faces"][inner], file["bary"][inner]))
    if not source:
        return None
    # Two files may know the same place, a little apart: one of them says enough.
    both, onto = np.vstack(source), np.vstack(target)
    close = scipy.spatial.cKDTree(both).query_pairs(0.002)
    kept = np.setdiff1d(np.arange(len(both)), [second for _, second in close])
    return Anchors(both[kept], onto[kept])


def _points(surface: Surface, faces: np.ndarray, bary: np.ndarray) -> np.ndarray:
    return (surface.vertices[surface.faces[faces]] * bary[..., None]).sum(1)


def embed_landmarks(head: Head, surface: Surface, supplied: Supplied) -> dict[str, np.ndarray]:
    """Triangles and weights of every scheme, `<scheme>_faces` [L] and `<scheme>_bary` [L,3].

    The user's files say it for the points they number; the rest are the open head's, laid onto the skin.
    """
    known = anchors(head, surface, supplied)
    found = {}
    for scheme, embedding in head.landmarks.items():
        faces, bary = _laid(head, surface, embedding, known, scheme)
        for file in supplied.landmarks:
            if str(file["scheme"]) == scheme:
                faces[file["points"]], bary[file["points"]] = file["faces"], file["bary"]
        found |= {f"{scheme}_faces": faces, f"{scheme}_bary": bary}
    return found


def _laid(
    head: Head, surface: Surface, embedding: LandmarkEmbedding, known: Anchors | None, scheme: str
) -> tuple[np.ndarray, np.ndarray]:
    places = lay_onto(head, surface, embedding.points(head.template.double()).numpy(), known)
    faces, bary = closest_on(surface, surface.skin_faces, places)
    if scheme == "mediapipe478":
        on_balls = closest_on(surface, surface.eye_faces, places[IRISES])
        faces[IRISES], bary[IRISES] = on_balls
    return faces, bary


def texture_layout(surface: Surface, teeth: Teeth, supplied: Supplied) -> tuple[np.ndarray, np.ndarray]:
    """uv [U,2] and uv_faces [F,3] of the head with teeth: the user's for FLAME's triangles, else a cylinder's."""
    small = np.stack(
        [np.interp(teeth.vertices[:, a], *_span(teeth.vertices[:, a], 0.01, 0.03)) for a in (0, 1)], 1
    )
    if supplied.uv is not None:
        uv, faces = supplied.uv["uv"], supplied.uv["uv_faces"]
    else:
        uv, faces = _cylinder(surface)
    return np.vstack([uv, small]), np.vstack([faces, teeth.faces + len(uv)])


def _span(values: np.ndarray, low: float, high: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (float(values.min()), float(values.max())), (low, high)


def _cylinder(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Skin unrolled around the head, with the seam behind; eyeballs side by side below it."""
    x, y, z = (surface.vertices - surface.vertices[~surface.bound].mean(0)).T
    around = 0.5 + np.arctan2(x, z) / (2 * np.pi)
    high = np.interp(y, *_span(y, SKIN_STRIP, 1.0))
    uv = np.stack([around, high], 1)
    for side, eye in enumerate(surface.eyes):
        ball = surface.bound & (
            np.abs(surface.vertices[:, 0] - eye[0])
            < np.abs(surface.vertices[:, 0] - surface.eyes[1 - side, 0])
        )
        for axis, low in ((0, 0.1 + 0.15 * side), (1, 0.0)):
            uv[ball, axis] = np.interp(
                surface.vertices[ball, axis], *_span(surface.vertices[ball, axis], low, low + 0.1)
            )
    faces = surface.faces.copy()
    crossing = np.ptp(around[faces], axis=1) > 0.5
    crossing &= ~surface.bound[faces].any(1)
    # Beyond the seam the corners come again, one turn further; a tenth of the width is left for them.
    again = crossing[:, None] & (around[faces] < 0.5)
    faces[again] += len(uv)
    uv = np.vstack([uv, uv + [1.0, 0.0]])
    uv[:, 0] = (uv[:, 0] / 1.1).clip(0, 1)
    return uv, faces
