"""The part of pytorch3d that emoga calls, by brute force, with the conventions of its documentation.

View axes: x left, y up, z into the picture. Normalised device coordinates: the same axes, 0 in the middle, the
shorter side from -1 to 1. Faces count over the whole batch; those seen from behind have negative area.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import torch


@dataclass
class PerspectiveCameras:
    focal_length: torch.Tensor
    principal_point: torch.Tensor
    device: torch.device


@dataclass
class RasterizationSettings:
    image_size: tuple[int, int]
    blur_radius: float
    faces_per_pixel: int
    cull_backfaces: bool


@dataclass
class Meshes:
    verts: list[torch.Tensor]
    faces: list[torch.Tensor]


@dataclass
class MeshRasterizer:
    cameras: PerspectiveCameras
    settings: RasterizationSettings

    def __call__(self, meshes: Meshes) -> SimpleNamespace:
        height, width = self.settings.image_size
        half = min(height, width) / 2
        x = (width / 2 - torch.arange(width) - 0.5) / half
        y = (height / 2 - torch.arange(height) - 0.5) / half
        found, first = [], 0
        for c, (verts, faces) in enumerate(zip(meshes.verts, meshes.faces, strict=True)):
            assert verts.dtype == torch.float32, "its kernels take nothing else"
            focal, principal = self.cameras.focal_length[c], self.cameras.principal_point[c]
            points = focal * verts[:, :2] / verts[:, 2:] + principal
            nearest = self._nearest(points[faces], verts[:, 2][faces], x[None, :], y[:, None])
            found.append(torch.where(nearest >= 0, nearest + first, -1))
            first += len(faces)
        return SimpleNamespace(pix_to_face=torch.stack(found)[..., None])

    def _nearest(self, corners, depths, x, y):
        best = torch.full((y.shape[0], x.shape[1]), torch.inf)
        index = torch.full(best.shape, -1)
        for f, ((v0, v1, v2), z) in enumerate(zip(corners, depths, strict=True)):
            area = _edge(v2[0], v2[1], v0, v1)
            if area == 0 or (self.settings.cull_backfaces and _edge(v0[0], v0[1], v1, v2) < 0):
                continue
            bary = torch.stack([_edge(x, y, a, b) / area for a, b in ((v1, v2), (v2, v0), (v0, v1))], -1)
            depth = 1 / (bary / z).sum(-1)
            closer = (bary > 0).all(-1) & (depth > 0) & (depth < best)
            best, index = torch.where(closer, depth, best), torch.where(closer, f, index)
        return index


def _edge(x, y, a, b):
    """`edge_function` of pytorch3d."""
    return (x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0])


def pytorch3d_modules() -> dict[str, ModuleType]:
    """Modules to put in the place of pytorch3d's."""
    renderer, structures = ModuleType("pytorch3d.renderer"), ModuleType("pytorch3d.structures")
    for kind in (MeshRasterizer, PerspectiveCameras, RasterizationSettings):
        setattr(renderer, kind.__name__, kind)
    structures.Meshes = Meshes
    modules = (ModuleType("pytorch3d"), renderer, structures)
    return {module.__name__: module for module in modules}
