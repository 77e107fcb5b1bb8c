"""One picture after another of random people, and shards of them on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head
from emoga.studio.lips import LipContact
from emoga.studio.mitsuba_scene import vertex_normals
from emoga.studio.stage import move
from tools.face_detector.acting import random_expression, random_gaze, random_turn
from tools.face_detector.drawing import EYE, SKIN, Pile, draw, normals_of, random_lights
from tools.face_detector.mouths import close_mouths, seen_rims
from tools.face_detector.people import Person, make_person
from tools.face_detector.skin import SkinMap, paint, skin_map

SIDE, OVERSAMPLED = 192, 1.5  # pixels of a stored picture, and how much finer it is drawn
PER_PERSON, SAME_PAINT = 24, 3
MARGINS = (1.55, 2.7)  # side of the picture over that of the face's box
NEAR = 1.2  # the same where a face fills the picture
FLIP = np.diag([1.0, -1.0, -1.0])  # head axes to camera axes


@dataclass(frozen=True)
class Sample:
    """rgba uint8 [S,S,4] (colour not multiplied by alpha); points [478,2] pixels; visible [478]; whether a face."""

    rgba: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    face: bool


class Studio:
    """Makes samples; holds what all people share. near: faces fill their pictures, for networks of their parts."""

    def __init__(self, head: Head, near: bool = False) -> None:
        self.near = near
        self.head = head.to(dtype=torch.float64)
        self.where: SkinMap = skin_map(head)
        self.lips = LipContact.of(head)
        self.embedding = head.landmarks["mediapipe478"]
        self.lash_faces = head.faces.numpy()[np.isin(head.faces.numpy(), head.lids.lashes.numpy()).all(1)]
        self.tongue_faces = head.faces.numpy()[head.regions["tongue"].numpy()[head.faces.numpy()].all(1)]

    def samples(self, seed: int) -> list[Sample]:
        """PER_PERSON pictures of the person of a seed."""
        person = make_person(seed, self.head, self.where, self.lips)
        rng = np.random.default_rng([seed, 62])
        expr = np.stack([random_expression(self.head, rng) for _ in range(PER_PERSON)])
        eyes = np.stack([random_gaze(rng) for _ in range(PER_PERSON)])
        neck = rng.normal(0, 1, (PER_PERSON, 3)) * [0.12, 0.2, 0.12]
        jaw = rng.normal(0, 1, (PER_PERSON, 3)) * [0.0, 0.015, 0.01]
        given = [torch.from_numpy(part) for part in (expr, neck, jaw, eyes)]
        vertices = person.identity.pose(given[0], None, *given[1:]).numpy()
        if rng.random() < 0.8:
            vertices = self.lips.separate(vertices, person.identity.rest.numpy())
        vertices = close_mouths(vertices, self.lips, rng)
        bones = person.identity.bones(given[0], None, *given[1:]).numpy()
        growth = self.where.texels.sample(
            person.growth[self.where.skin.corner_vertex], self.where.skin.corner_faces
        )
        samples = []
        for t in range(PER_PERSON):
            if t % SAME_PAINT == 0:
                texture = paint(self.where, person.tone, person.hair_color, growth, rng)
            samples.append(self._sample(person, vertices[t], bones[t], texture, rng))
        return samples

    def _sample(
        self,
        person: Person,
        vertices: np.ndarray,
        bones: np.ndarray,
        texture: np.ndarray,
        rng: np.random.Generator,
    ) -> Sample:
        pile = self._pile(person, vertices, bones, rng)
        turn = random_turn(rng)
        behind = rng.random() < 0.03
        if behind:
            turn[0] = np.radians(rng.uniform(125, 235))
        marks = self.embedding.points(torch.from_numpy(vertices)).numpy()
        R = FLIP @ _euler(turn)
        centre = marks.mean(0) - [0, 0, 0.05]
        size = int(SIDE * OVERSAMPLED)
        margin = NEAR if self.near else MARGINS[0] if rng.random() < 0.75 else MARGINS[1]
        # Wide lenses come near: the focal length is that of a whole picture, of which this is a crop.
        distance = 0.28 * np.exp(rng.uniform(0, 2.3))
        shift = np.array([0, 0, max(distance, 0.3)])
        seen = (marks - centre) @ R.T + shift
        box = seen[:468, :2] / seen[:468, 2:]
        low, high = box.min(0), box.max(0)
        span = float((high - low).max()) * margin
        focal = size / span
        middle = (low + high) / 2 + rng.uniform(-0.04, 0.04, 2) * span
        K = np.array(
            [[focal, 0, size / 2 - focal * middle[0]], [0, focal, size / 2 - focal * middle[1]], [0, 0, 1]]
        )
        for index in range(len(pile.vertices)):
            pile.vertices[index] = (pile.vertices[index] - centre) @ R.T + shift
            pile.normals[index] = pile.normals[index] @ R.T
        eye = person.eye_paint.astype(np.float32)
        color, alpha, depth = draw(pile, K, size, random_lights(rng), texture, eye, rng.uniform(0.3, 1.3))
        if person.lenses is not None:
            color = _through_lenses(color, person, bones[1], centre, R, shift, K, size)
        rgba = _developed(color, alpha, rng)
        pixels = seen @ K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        points = seen_rims(pixels, seen, depth) / OVERSAMPLED
        return Sample(rgba, points.astype(np.float32), _visible(pixels, seen[:, 2], depth), not behind)

    def _pile(self, person: Person, vertices: np.ndarray, bones: np.ndarray, rng: np.random.Generator):
        """All meshes of a posed person in the head's axes."""
        skin, pile = self.where.skin, Pile()
        fine = np.ascontiguousarray(skin.fine.apply(vertices[skin.ids]))
        normals = normals_of(fine, skin.fine.faces)
        corner = skin.corner_vertex
        pile.add(
            fine[corner],
            skin.corner_faces,
            normals[corner],
            uv=skin.uv,
            kind=SKIN,
            gloss=rng.uniform(0.0, 0.25),
        )
        for shell in person.shells:
            lifted = fine + normals * shell.thickness[:, None]
            pile.add(lifted, shell.faces, normals_of(lifted, shell.faces), shell.color, gloss=shell.gloss)
        for eye, bone, joint in zip(person.eyeballs, (3, 4), (2, 3), strict=True):
            place = bones[bone]
            centre = person.identity.joints[joint].numpy()
            pile.add(
                move(place, eye.vertices + centre),
                eye.faces,
                eye.normals @ place[:, :3].T,
                uv=eye.uv,
                kind=EYE,
                gloss=rng.uniform(0.5, 3.0),
            )
        solids = [(1, s) for s in (*person.skull, *person.glasses)] + [(2, s) for s in person.jaw]
        solids += [(0, s) for s in person.body]
        for bone, solid in solids:
            placed = np.ascontiguousarray(move(bones[bone], solid.vertices))
            pile.add(placed, solid.faces, normals_of(placed, solid.faces), solid.color, gloss=solid.gloss)
        whole = vertex_normals(vertices, self.head.faces.numpy())
        pile.add(vertices, self.tongue_faces, whole, (0.36, 0.11, 0.10), gloss=0.3)
        if person.lashes:
            kept = self.lash_faces[rng.random(len(self.lash_faces)) < rng.uniform(0.2, 0.9)]
            pile.add(vertices, kept, whole, np.minimum(person.hair_color, 0.1) * 0.5, gloss=0.0)
        if person.strands is not None:
            points, radii, color = person.strands
            pile.add(
                *_ribbons(move(bones[1], points), radii), np.repeat(color, 2 * points.shape[1], 0), gloss=0.2
            )
        return pile


def _euler(turn: np.ndarray) -> np.ndarray:
    """Rotation [3,3]: yaw first, then pitch, then roll (radians)."""
    yaw, pitch, roll = turn
    turns = [axis_angle_to_matrix(torch.tensor(v, dtype=torch.float64)[None])[0].numpy()
             for v in ([0.0, yaw, 0.0], [pitch, 0.0, 0.0], [0.0, 0.0, roll])]  # fmt: skip
    return turns[2] @ turns[1] @ turns[0]


def _ribbons(points: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strands [S,K,3] as bands with their width across the outward direction: vertices, faces, normals."""
    tangent = np.gradient(points, axis=1)
    outward = points - np.array([0, -0.02, -0.09])
    side = np.cross(tangent, outward)
    side /= np.linalg.norm(side, axis=2, keepdims=True) + 1e-12
    normal = np.cross(side, tangent)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-12
    width = (2.3 * radii)[..., None] * side
    vertices = np.stack([points - width, points + width], 2).reshape(-1, 3)
    strands, count = points.shape[:2]
    base = (np.arange(strands)[:, None] * count + np.arange(count - 1)[None]).reshape(-1) * 2
    faces = np.concatenate(
        [np.stack([base, base + 1, base + 2], -1), np.stack([base + 1, base + 3, base + 2], -1)]
    )
    return vertices, faces, np.repeat(normal.reshape(-1, 3), 2, 0)


def _through_lenses(color, person, bone, centre, R, shift, K, size) -> np.ndarray:
    from emoga.triangles import rasterize_faces

    lens = (move(bone, person.lenses.vertices) - centre) @ R.T + shift
    covered = rasterize_faces(lens, person.lenses.faces, K, size, size)[0] >= 0
    tint, opacity = person.lens_look
    slope = np.linspace(0.5, 1.5, size)[:, None, None]
    return np.where(covered[..., None], color * (1 - opacity) + opacity * tint * slope, color).astype(
        np.float32
    )


def _developed(color: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [SIDE,SIDE,4] in sRGB of drawn light, well exposed or not quite."""
    alpha = cv2.resize(alpha, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    color = cv2.resize(color, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.maximum(alpha, 1e-3)[..., None]
    level = np.median(color[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4].mean(-1)) + 1e-3
    color = color * (rng.uniform(0.10, 0.42) / level) ** rng.uniform(0.6, 1.0)
    color = np.where(color > 0.7, 0.7 + 0.3 * (1 - np.exp(-(color - 0.7) / 0.3)), color)
    color = np.where(color <= 0.0031308, 12.92 * color, 1.055 * np.maximum(color, 1e-9) ** (1 / 2.4) - 0.055)
    return (np.concatenate([color, alpha[..., None]], -1) * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _visible(pixels: np.ndarray, depth: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Which points [478] nothing hides: within 4 mm of what is drawn there."""
    size = len(drawn)
    at = np.clip(pixels.astype(int), 0, size - 1)
    patch = cv2.dilate(drawn, np.ones((3, 3)))
    return depth < patch[at[:, 1], at[:, 0]] + 0.004


def write_shard(folder: Path, number: int, studio: Studio, people: range) -> None:
    """Write the pictures of some people: NUMBER.pictures.npy [N,S,S,4], NUMBER.marks.npz."""
    samples = [sample for seed in people for sample in studio.samples(seed)]
    np.savez(
        folder / f"{number:05d}.marks.npz",
        points=np.stack([s.points for s in samples]), visible=np.stack([s.visible for s in samples]),
        face=np.array([s.face for s in samples]),
    )  # fmt: skip
    temporary = folder / f"{number:05d}.tmp.npy"
    np.save(temporary, np.stack([s.rgba for s in samples]))
    temporary.rename(folder / f"{number:05d}.pictures.npy")
