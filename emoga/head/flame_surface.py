"""Where the open head's surface lies on another head's: what one knows of its face, the other then knows too.

The open head is set onto the other's eyeballs, bent by what landmarks say, if any, and stretched linearly until
it lies close. To draw it on further, part by part, made the places on the surface worse: closest points slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.interpolate
import scipy.spatial
import torch

from emoga.geometry import vertex_normals
from emoga.head.model import Head

UNLIKE = ("eyeballs", "mouth_interior", "teeth", "tongue", "lashes", "shoulders", "boundary", "neck")
NORMAL_SHARE = 0.03  # metres that opposite directions count as, halved
REACH = 0.012  # metres beyond which a nearest point is another part
BEND_REACH = 0.04  # metres from a landmark within which it says where things lie
ROUNDS = 12
CONTROLS = 1200
SLIDING = 0.05  # how much a nearest place pulls along the surface, where it knows little


@dataclass(frozen=True)
class Surface:
    """Another head: vertices [V,3] metres, faces [F,3], eyes [2,3] centres, bound [V] which belong to eyeballs."""

    vertices: np.ndarray
    faces: np.ndarray
    eyes: np.ndarray
    bound: np.ndarray

    @property
    def skin_faces(self) -> np.ndarray:
        """Numbers of the triangles that are not of eyeballs."""
        return np.flatnonzero(~self.bound[self.faces].any(1))

    @property
    def eye_faces(self) -> np.ndarray:
        """Numbers of the triangles of eyeballs."""
        return np.flatnonzero(self.bound[self.faces].all(1))


@dataclass(frozen=True)
class Anchors:
    """Places [P,3] on the open head and where they are known to lie on the other."""

    source: np.ndarray
    target: np.ndarray


def lay_onto(head: Head, surface: Surface, points: np.ndarray, anchors: Anchors | None = None) -> np.ndarray:
    """Points [P,3] near the open head's surface, moved as its skin moves onto another head."""
    skin = ~np.any([head.regions[name].numpy() for name in UNLIKE], axis=0)
    template = head.template.double().numpy()
    normals = vertex_normals(head.template.double(), head.faces).numpy()
    ids = np.flatnonzero(skin)
    ids = ids[np.linspace(0, len(ids) - 1, min(CONTROLS, len(ids))).astype(int)]
    eyes = head.joints[2:].double().numpy()
    fit = _set_on_eyes(eyes, surface.eyes)
    controls, others = fit(template[ids]), fit(points)
    if anchors is not None:
        bend = _bend(fit(anchors.source), anchors.target)
        controls, others = controls + bend(controls), others + bend(others)
    target = _Target(surface)
    for _ in range(ROUNDS):
        change, weight = target.pull(controls, normals[ids])
        linear = _affine(controls, controls + change, weight, surface.eyes)
        controls, others = linear(controls), linear(others)
    return others


def _set_on_eyes(eyes: np.ndarray, wanted: np.ndarray):
    """The scaling and shift that take two eye centres onto two others; axes are alike."""
    scale = np.linalg.norm(wanted[0] - wanted[1]) / np.linalg.norm(eyes[0] - eyes[1])
    return lambda points: scale * (points - eyes.mean(0)) + wanted.mean(0)


def _bend(known: np.ndarray, wanted: np.ndarray):
    """Displacements of points [P,3], smooth, that take known places to where they are wanted; none far off."""
    spline = scipy.interpolate.RBFInterpolator(known, wanted - known, smoothing=1e-4)
    tree = scipy.spatial.cKDTree(known)

    def moved(points: np.ndarray) -> np.ndarray:
        gap, _ = tree.query(points)
        return spline(points) * np.exp(-((gap / BEND_REACH) ** 2))[:, None]

    return moved


class _Target:
    """The other head's skin, to be asked for its nearest places that look the same way."""

    def __init__(self, surface: Surface) -> None:
        faces = surface.faces[surface.skin_faces]
        vertices, index = torch.from_numpy(surface.vertices), torch.from_numpy(faces)
        normals = vertex_normals(vertices, index).numpy()
        used = np.unique(faces)
        self.places, self.normals = surface.vertices[used], normals[used]
        self.tree = scipy.spatial.cKDTree(np.hstack([self.places, NORMAL_SHARE * self.normals]))

    def pull(self, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacements [P,3] along the surface's normals and how far [P] each is to be believed, 0 to 1."""
        _, near = self.tree.query(np.hstack([points, NORMAL_SHARE * normals]))
        gap = self.places[near] - points
        alike = (normals * self.normals[near]).sum(1).clip(0, 1)
        weight = alike * np.exp(-(gap**2).sum(1) / REACH**2)
        across = (gap * self.normals[near]).sum(1, keepdims=True) * self.normals[near]
        return (1 - SLIDING) * across + SLIDING * gap, weight


def _affine(points: np.ndarray, wanted: np.ndarray, weight: np.ndarray, eyes: np.ndarray):
    """The linear map that takes points to where they are wanted, nearly a similarity, eyes staying in place."""
    centre = eyes.mean(0)
    held = 0.05 * weight.sum() * np.eye(3) * (points - centre).var(0).mean()
    x, change = points - centre, wanted - points
    moment = (x * weight[:, None]).T @ x + held
    matrix = np.linalg.solve(moment, (x * weight[:, None]).T @ change)
    return lambda given: given + (given - centre) @ matrix


def closest_on(
    surface: Surface, chosen: np.ndarray, points: np.ndarray, neighbours: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Of the triangles `chosen`, the one nearest to each point [P] and the weights [P,3] of its corners."""
    corners = surface.vertices[surface.faces[chosen]]
    tree = scipy.spatial.cKDTree(corners.mean(1))
    _, near = tree.query(points, k=min(neighbours, len(chosen)))
    bary = _nearest_weights(corners[near], points[:, None])
    gap = ((bary[..., None] * corners[near]).sum(-2) - points[:, None]) ** 2
    best = gap.sum(-1).argmin(1)
    rows = np.arange(len(points))
    return chosen[near[rows, best]], bary[rows, best]


def _nearest_weights(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Weights [...,3] of the place in each triangle [...,3,3] that is nearest to a point [...,3]."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    u, v, w = b - a, c - a, points - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    area = (uu * vv - uv * uv).clip(1e-18)
    s, t = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    inside = np.stack([1 - s - t, s, t], -1)
    options = [inside]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, way = corners[..., first, :], corners[..., second, :] - corners[..., first, :]
        share = (((points - start) * way).sum(-1) / (way * way).sum(-1).clip(1e-18)).clip(0, 1)
        edge = np.zeros(inside.shape)
        edge[..., first], edge[..., second] = 1 - share, share
        options.append(edge)
    stacked = np.stack(options, -2)
    gap = (((stacked[..., None] * corners[..., None, :, :]).sum(-2) - points[..., None, :]) ** 2).sum(-1)
    gap[..., 0] = np.where((inside >= 0).all(-1), gap[..., 0], np.inf)
    best = gap.argmin(-1)
    return np.take_along_axis(stacked, best[..., None, None], -2)[..., 0, :]
