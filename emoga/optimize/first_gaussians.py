"""The first Gaussians: spread over the head's triangles, coloured from the pictures, a sink for clothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames, triangle_areas
from emoga.avatar.rig import Rig
from emoga.head import Head
from emoga.render import SH_C0

# How densely each region is covered, relative to its area; regions not named count 1.
REGION_WEIGHT = {
    "face": 1.5, "forehead": 1.3, "brows": 3.0, "eyelids": 2.5, "lips": 3.0, "nose": 1.5, "scalp": 2.5,
    "ears": 0.7, "neck": 0.8, "shoulders": 0.4, "boundary": 0.2, "mouth_interior": 0.4,
}  # fmt: skip
# Regions whose number of Gaussians never changes, with that number as a share of the start.
FIXED_SHARE = {"eyeballs": 0.05, "irises": 0.05, "teeth": 0.04, "tongue": 0.02}
START_OPACITY = 0.5
REGION_OPACITY = {
    "scalp": 0.35,
    **dict.fromkeys(("mouth_interior", "teeth", "tongue", "eyeballs", "irises"), 0.9),
}
HAIR_HEIGHT = 1.2  # local units (each about the width of a triangle) that hair may start above the skin
FLATNESS = 0.35
COVER = 0.75


@dataclass(frozen=True)
class Labels:
    """Region of each triangle as the head names it, and what follows for density control."""

    names: tuple[str, ...]

    def index(self, name: str) -> int:
        """Label of a region."""
        return self.names.index(name)

    def among(self, labels: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
        """bool [N]: labels [N] that belong to one of the regions named."""
        wanted = torch.tensor([self.names.index(name) for name in names if name in self.names])
        return torch.isin(labels.long(), wanted)


def start_gaussians(
    head: Head, rest: torch.Tensor, rig: Rig, count: int, sh_degree: int, generator: np.random.Generator
) -> Gaussians:
    """About `count` grey Gaussians on the triangles of the person's rest mesh [V,3], at least one each."""
    faces = head.faces.numpy()
    areas = triangle_areas(rest.double().numpy(), faces)
    per_face = triangle_counts(head, areas, count)
    binding = np.repeat(np.arange(len(faces)), per_face)
    labels = head.face_regions.numpy()[binding]
    frames = rig.frames(rest)
    points = _points_on_triangles(rest.numpy()[faces[binding]], generator)
    means = _to_local(points, frames, binding)
    size = frames.size.numpy()[binding]
    spacing = COVER * np.sqrt(areas[binding] / per_face[binding]) / size
    normal = rig.normal
    scales = np.repeat(spacing[:, None], 3, axis=1)
    scales[:, normal] *= FLATNESS
    hair = labels == head.region_names.index("scalp")
    lift = generator.random(len(binding)) ** 1.5 * HAIR_HEIGHT
    means[hair, normal] += lift[hair]
    scales[hair, normal] = scales[hair, normal - 1]
    opacity = np.array([REGION_OPACITY.get(name, START_OPACITY) for name in head.region_names])[labels]
    sh = np.zeros((len(binding), (sh_degree + 1) ** 2, 3), np.float32)
    quats = np.zeros((len(binding), 4), np.float32)
    quats[:, 0] = 1
    return Gaussians(
        torch.from_numpy(means.astype(np.float32)),
        torch.from_numpy(quats),
        torch.from_numpy(np.log(scales).astype(np.float32)),
        torch.from_numpy(np.log(opacity / (1 - opacity)).astype(np.float32)),
        torch.from_numpy(sh),
        torch.from_numpy(binding.astype(np.int64)),
        torch.from_numpy(labels.astype(np.uint8)),
    )


def triangle_counts(head: Head, areas: np.ndarray, count: int) -> np.ndarray:
    """How many Gaussians [F] each triangle gets: by area and region, fixed shares for eyes and teeth."""
    regions = head.face_regions.numpy()
    weights = np.zeros(len(areas))
    free = 1.0
    for label, name in enumerate(head.region_names):
        inside = regions == label
        if name in FIXED_SHARE and inside.any():
            free -= FIXED_SHARE[name]
            weights[inside] = areas[inside] / areas[inside].sum() * FIXED_SHARE[name]
    others = ~np.isin(regions, [i for i, name in enumerate(head.region_names) if name in FIXED_SHARE])
    wanted = areas * np.array([REGION_WEIGHT.get(name, 1.0) for name in head.region_names])[regions]
    weights[others] = wanted[others] / wanted[others].sum() * free
    return np.maximum(1, np.round(weights * count)).astype(np.int64)


def paint(gaussians: Gaussians, rows: torch.Tensor, colors: torch.Tensor) -> None:
    """Set the base colour of some Gaussians (rows [M]) to colors [M,3] in 0..1, in place."""
    gaussians.sh[rows, 0] = (colors - 0.5) / SH_C0


def _points_on_triangles(corners: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One uniformly drawn point [N,3] on each triangle [N,3,3]."""
    u, v = generator.random((2, len(corners), 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    return corners[:, 0] + u * (corners[:, 1] - corners[:, 0]) + v * (corners[:, 2] - corners[:, 0])


def _to_local(points: np.ndarray, frames: TriangleFrames, binding: np.ndarray) -> np.ndarray:
    offset = points - frames.origin.numpy()[binding]
    turned = np.einsum("nij,ni->nj", frames.rotation.numpy()[binding], offset)
    return turned / frames.size.numpy()[binding][:, None]
