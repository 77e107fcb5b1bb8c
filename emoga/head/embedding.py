"""LandmarkEmbedding: landmarks as points on the triangles of a head."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LandmarkEmbedding:
    """L points: triangle corners [L,3] int64 (vertex ids), faces [L] int64, bary [L,3]."""

    faces: torch.Tensor
    bary: torch.Tensor
    corners: torch.Tensor

    def points(self, vertices: torch.Tensor) -> torch.Tensor:
        """Landmarks [...,L,3] of vertices [...,V,3]; differentiable in the vertices."""
        bary = self.bary.to(vertices)[..., None]
        return (vertices[..., self.corners.to(vertices.device), :] * bary).sum(-2)

    def select(self, points: torch.Tensor) -> LandmarkEmbedding:
        """Some of the points, by number [P]."""
        return LandmarkEmbedding(self.faces[points], self.bary[points], self.corners[points])
