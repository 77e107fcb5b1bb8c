"""The skin as it is seen: places on it found from the template, its height over the mesh, its colours."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.avatar import Gaussians
from emoga.avatar.rig import WorldGaussians, to_local
from emoga.editing.light import SH_C0, to_srgb
from emoga.editing.masks import INSIDE, MM
from emoga.editing.still_latents import still_latents
from emoga.editing.subject import Subject, template_vertices
from emoga.geometry import matrix_to_quat

NEIGHBOURS = 24
# What floats higher than this over the mesh is hair or an error of the fit.
HIGHEST = 7 * MM
OPACITY = 0.97


@dataclass(frozen=True)
class Places:
    """M places on the skin at the bind pose.

    points, normals, tangents [M,3], metres; the tangent points up. faces [M]: triangles that carry them.
    """

    points: np.ndarray
    normals: np.ndarray
    tangents: np.ndarray
    faces: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def raised(self, height: np.ndarray | float) -> np.ndarray:
        """[M,3]: the points moved out along their normals by metres."""
        return self.points + np.broadcast_to(height, len(self))[:, None] * self.normals


def find_places(subject: Subject, template_points: np.ndarray) -> Places:
    """The places on this head that template points [M,3] lie nearest to."""
    head, vertices = subject.head, template_vertices(subject.head)
    outer = np.flatnonzero(~head.faces_of(INSIDE).numpy())
    faces = head.faces.numpy()[outer]
    _, near = cKDTree(vertices[faces].mean(1)).query(template_points, k=8)
    shares, distance = _barycentric(template_points[:, None], vertices[faces[near]])
    best = distance.argmin(1)
    each = np.arange(len(template_points))
    chosen, share = near[each, best], shares[each, best]
    corners = faces[chosen]
    points = (share[..., None] * subject.vertices[corners]).sum(1)
    normals = (share[..., None] * subject.vertex_normals[corners]).sum(1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    tangents = np.array([0.0, 1.0, 0.0]) - normals * normals[:, 1:2]
    tangents += 1e-6 * np.array([1.0, 0.0, 0.0])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True) + 1e-12
    lifted = points + skin_height(subject, points, normals)[:, None] * normals
    return Places(lifted, normals, tangents, outer[chosen])


def skin_height(subject: Subject, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """[M] metres: how far over mesh points [M,3] with normals [M,3] the skin's Gaussians lie."""
    count = min(NEIGHBOURS, len(subject.opaque))
    distance, found = subject.tree.query(points, k=count)
    rows = subject.opaque[found]
    height = ((subject.means[rows] - points[:, None]) * normals[:, None]).sum(2)
    weight = subject.opacities[rows] * np.exp(-0.5 * (distance / (3 * MM)) ** 2) * (np.abs(height) < HIGHEST)
    order = np.argsort(height, axis=1)
    height, weight = np.take_along_axis(height, order, 1), np.take_along_axis(weight, order, 1)
    share = np.cumsum(weight, 1) / (weight.sum(1, keepdims=True) + 1e-12)
    index = (share < 0.85).sum(1).clip(max=count - 1)
    chosen = np.take_along_axis(height, index[:, None], 1)[:, 0]
    return np.where(weight.sum(1) > 0.05, chosen, 0.0)


def skin_sh(subject: Subject, points: np.ndarray) -> np.ndarray:
    """SH [M,K,3]: what the skin looks like at points [M,3] of the bind pose."""
    share, rows = _shares(subject, points)
    sh = subject.avatar.gaussians.sh.detach().double().numpy()
    return (share[..., None, None] * sh[rows]).sum(1)


def skin_latents(subject: Subject, points: np.ndarray) -> torch.Tensor:
    """Latents [M,L] of the skin at points [M,3]: what is drawn on it flushes with it."""
    latents = subject.avatar.gaussians.latents
    if latents.shape[1] == 0:
        return latents.new_zeros(len(points), 0)
    share, rows = _shares(subject, points)
    mixed = (share[..., None] * latents.detach().double().numpy()[rows]).sum(1)
    return torch.from_numpy(mixed).to(latents)


def _shares(subject: Subject, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance, found = subject.tree.query(points, k=min(12, len(subject.opaque)))
    rows = subject.opaque[found]
    share = subject.opacities[rows] * np.exp(-0.5 * (distance / (2.5 * MM)) ** 2) + 1e-12
    return share / share.sum(1, keepdims=True), rows


def flat_sh(subject: Subject, linear: np.ndarray) -> np.ndarray:
    """SH [M,K,3] of base colours [M,3] in linear light that look the same from everywhere."""
    terms = subject.avatar.gaussians.sh.shape[1]
    sh = np.zeros((len(linear), terms, 3))
    sh[:, 0] = (to_srgb(linear) - 0.5) / SH_C0
    return sh


def bound_gaussians(
    subject: Subject,
    means: np.ndarray,
    axes: np.ndarray,
    sizes: np.ndarray,
    sh: np.ndarray,
    binding: np.ndarray,
    latents: torch.Tensor | None = None,
    opacity: np.ndarray | float = OPACITY,
    labels: str | np.ndarray = "face",
) -> Gaussians:
    """Gaussians from their look at the bind pose: means [M,3], axes [M,3,3] (columns), sizes [M,3], metres.

    binding [M]: triangles, or -1 - bone. labels: a region, or a number for each. Without latents no emotion changes
    their colours.
    """
    count = len(means)
    if isinstance(labels, str):
        labels = subject.head.region_names.index(labels)
    if latents is None:
        latents = still_latents(subject.avatar, count)
    like = Gaussians(
        *(torch.zeros(count, width) for width in (3, 4, 3)),
        torch.zeros(count),
        torch.from_numpy(sh).float(),
        torch.from_numpy(np.asarray(binding, np.int64)),
        torch.from_numpy(np.full(count, labels, np.uint8)),
        latents,
    )
    world = WorldGaussians(
        torch.from_numpy(means),
        matrix_to_quat(torch.from_numpy(axes)),
        torch.from_numpy(np.maximum(sizes, 0.02 * MM)),
        torch.from_numpy(np.broadcast_to(np.asarray(opacity, np.float64), count).copy()),
    )
    local = to_local(world, subject.bind.map(torch.Tensor.double), like)
    return Gaussians(
        local.means.float(), local.quats.float(), local.log_scales.float(), local.logit_opacities.float(),
        local.sh, local.binding, local.labels, local.latents,
    )  # fmt: skip


def joined(parts: list[Gaussians]) -> Gaussians:
    """Several sets of Gaussians as one."""
    names = [item.name for item in fields(Gaussians)]
    return Gaussians(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _barycentric(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clamped shares [...,3] of corners [...,3,3] at the points nearest to points [...,3], and the distances."""
    a, b, c = (corners[..., i, :] for i in range(3))
    u, v, w = b - a, c - a, points - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    determinant = np.maximum(uu * vv - uv * uv, 1e-18)
    s, t = (vv * wu - uv * wv) / determinant, (uu * wv - uv * wu) / determinant
    shares = np.clip(np.stack([1 - s - t, s, t], -1), 0, None)
    shares /= shares.sum(-1, keepdims=True)
    nearest = (shares[..., None] * corners).sum(-2)
    return shares, np.linalg.norm(points - nearest, axis=-1)
