"""Carry displacements from one identity's surface to another by local edge frames."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from emoga.geometry import vertex_normals

SMOOTHING_ROUNDS = 3


@dataclass(frozen=True)
class EdgeFrames:
    """What is needed of the template to compute local deformations, made once by `edge_frames`.

    faces [F,3]; start, end [N] directed edges; edges [N,3] along the template; normals [V,3];
    area [V] mean squared edge length; degree [V] edges per vertex; inverse [V,3,3] of the template's second
    moment of edges.
    """

    faces: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    edges: torch.Tensor
    normals: torch.Tensor
    area: torch.Tensor
    degree: torch.Tensor
    inverse: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> EdgeFrames:
        """A copy on `device` with floating arrays in `dtype`."""
        return EdgeFrames(
            *(
                value.to(device, dtype if value.is_floating_point() else value.dtype)
                for value in (getattr(self, f.name) for f in fields(self))
            )
        )


def _directed_edges(faces: torch.Tensor) -> torch.Tensor:
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return torch.unique(torch.cat([pairs, pairs.flip(1)]), dim=0)


def _sum_at(index: torch.Tensor, values: torch.Tensor, count: int) -> torch.Tensor:
    return values.new_zeros(count, *values.shape[1:]).index_add(0, index, values)


def edge_frames(template: torch.Tensor, faces: torch.Tensor) -> EdgeFrames:
    """Precompute the frames of a template [V,3] with faces [F,3]; computed in float64."""
    vertices, count = template.double(), template.shape[0]
    start, end = _directed_edges(faces).unbind(1)
    edges = vertices[end] - vertices[start]
    normals = vertex_normals(vertices, faces)
    degree = _sum_at(start, torch.ones_like(edges[:, 0]), count).clamp_min(1)
    area = (_sum_at(start, (edges * edges).sum(-1), count) / degree).clamp_min(1e-12)
    moment = _sum_at(start, edges[:, :, None] * edges[:, None, :], count)
    moment = moment + area[:, None, None] * normals[:, :, None] * normals[:, None, :]
    # A trace of the identity keeps slivers and isolated vertices invertible.
    ridge = 1e-3 * area[:, None, None] * torch.eye(3, dtype=torch.float64)
    inverse = torch.linalg.inv(moment + ridge)
    frames = EdgeFrames(faces, start, end, edges, normals, area, degree[:, None], inverse)
    return frames.to(template.device, template.dtype)


def local_deformation(frames: EdgeFrames, rest: torch.Tensor) -> torch.Tensor:
    """Matrices [V,3,3] that take edges at each template vertex to those of the identity `rest` [V,3].

    Differentiable in `rest`. Averaged over a few rings of neighbours, so that one distorted triangle does
    not turn a whole lid. At the template itself they are the identity.
    """
    count = rest.shape[0]
    edges = rest[frames.end] - rest[frames.start]
    normals = vertex_normals(rest, frames.faces)
    moved = _sum_at(frames.start, edges[:, :, None] * frames.edges[:, None, :], count)
    growth = _sum_at(frames.start, (edges * edges).sum(-1), count)
    before = _sum_at(frames.start, (frames.edges * frames.edges).sum(-1), count).clamp_min(1e-12)
    stretch = frames.area * (growth / before).clamp_min(1e-12).sqrt()
    moved = moved + stretch[:, None, None] * normals[:, :, None] * frames.normals[:, None, :]
    eye = torch.eye(3, dtype=rest.dtype, device=rest.device)
    moved = moved + 1e-3 * frames.area[:, None, None] * eye
    deformation = (moved @ frames.inverse).reshape(count, 9)
    for _ in range(SMOOTHING_ROUNDS):
        around = _sum_at(frames.start, deformation[frames.end], count) / frames.degree
        deformation = 0.5 * (deformation + around)
    return deformation.reshape(count, 3, 3)
