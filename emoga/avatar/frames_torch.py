"""Triangle frames of many posed heads at once, for GPUs: nothing goes to the device or comes from it per call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar.frames import AREA_FLOOR, TriangleFrames, ga_frames
from emoga.avatar.light import Shading
from emoga.avatar.rig import Rig, with_bones


@dataclass(frozen=True, eq=False)
class FrameMaker:
    """What one rig needs on one device, in one float dtype.

    faces [F,3]. For the smooth rig also neighbours [F*P] vertex indices, their weights [F,P,2] for tangent and
    bitangent, rest_size [F] metres, and the triangles that fade: fading [M] rows, fading_corners [3M] vertex
    indices, fading_area [M] square metres at rest; None for the "ga" rig. shading: what light does, if there is any.
    """

    faces: torch.Tensor
    neighbours: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    rest_size: torch.Tensor | None = None
    fading: torch.Tensor | None = None
    fading_corners: torch.Tensor | None = None
    fading_area: torch.Tensor | None = None
    shading: Shading | None = None

    @classmethod
    def of(cls, rig: Rig, device: torch.device | str, dtype: torch.dtype = torch.float32) -> FrameMaker:
        """Prepare a rig for a device."""
        faces, patches = rig.faces.to(device), rig.patches
        shading = None if rig.shading is None else rig.shading.to(device, dtype)
        if patches is None:
            return cls(faces, shading=shading)

        def floats(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(array, dtype=dtype, device=device)

        rows = np.flatnonzero(patches.fading)
        return cls(
            faces,
            torch.as_tensor(patches.neighbours.ravel(), device=device),
            floats(np.stack([patches.tangent, patches.bitangent], -1)),
            floats(patches.rest_size),
            torch.as_tensor(rows, device=device),
            torch.as_tensor(patches.faces[rows].ravel(), device=device),
            floats(patches.rest_area[rows]),
            shading,
        )

    def frames(self, vertices: torch.Tensor, bones: torch.Tensor) -> TriangleFrames:
        """Frames [B,F+K] of posed vertices [B,V,3] and world transforms of bones [B,K,3,4], as `Rig.frames` does.

        Differentiable in both but for the fade, which `carry` takes as given.
        """
        if self.weights is None:
            triangles = ga_frames(vertices, self.faces)
        else:
            triangles = self._smooth(vertices)
        if self.shading is not None:
            normals = triangles.rotation[..., 1 if self.weights is None else 2].detach()
            triangles = replace(triangles, shade=self.shading.of(normals))
        return with_bones(triangles, bones)

    def _smooth(self, vertices: torch.Tensor) -> TriangleFrames:
        """The formulas of `smooth_frames`; its sparse product is a gather and a sum here."""
        batch, count = vertices.shape[0], self.faces.shape[0]
        patch = vertices.index_select(1, self.neighbours).reshape(batch, count, -1, 1, 3)
        tangent, bitangent = (patch * self.weights[..., None]).sum(2).unbind(2)
        corners = vertices.index_select(1, self.faces.reshape(-1)).reshape(batch, count, 3, 3)
        normal = torch.linalg.cross(tangent, bitangent)
        area = (normal * normal).sum(-1)
        normal = normal / (area + 1e-20).sqrt()[..., None]
        x = tangent + torch.linalg.cross(bitangent, normal)
        x = x - (x * normal).sum(-1, keepdim=True) * normal
        x = x / ((x * x).sum(-1, keepdim=True) + 1e-20).sqrt()
        rotation = torch.stack([x, torch.linalg.cross(normal, x), normal], -1)
        size = self.rest_size * (area + AREA_FLOOR**2) ** 0.25
        with torch.no_grad():
            fade = self._fade(vertices, normal)
        return TriangleFrames(corners.mean(2), rotation, size, fade)

    def _fade(self, vertices: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """[B,F]: 1, falling to 0 where a lid triangle has lost its area or turned against its surroundings."""
        fade = torch.ones_like(normal[..., 0])
        corners = vertices.index_select(1, self.fading_corners)
        corners = corners.reshape(len(vertices), len(self.fading), 3, 3)
        a, b, c = corners.unbind(2)
        facing = torch.linalg.cross(b - a, c - a) * normal.index_select(1, self.fading)
        t = ((facing.sum(-1) / 2 / self.fading_area - 0.02) / 0.18).clamp(0, 1)
        return fade.index_copy(1, self.fading, t * t * (3 - 2 * t))
