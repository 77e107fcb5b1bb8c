"""Light that stands still in the world: how what hangs on a triangle brightens or darkens as the head turns in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from emoga.geometry import axis_angle_to_matrix

HARMONICS = 8  # of the normal, without the constant one
STRONGEST = 1.6  # ratio of brightness that skin shows without casting shadows


def harmonics(normals: torch.Tensor) -> torch.Tensor:
    """Real spherical harmonics up to order 2 of unit normals [...,3], unnormalised: [...,9]."""
    x, y, z = normals.unbind(-1)
    one = torch.ones_like(x)
    return torch.stack([one, x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], -1)


@dataclass(frozen=True, eq=False)
class Light:
    """The light under which a head was filmed.

    logarithm [8,3]: of brightness per harmonic of the normal in the world, the constant one left out; turn [3], axis
    times angle: how the head stands in the world where its colours show as they are stored, as it did on average.
    """

    logarithm: torch.Tensor
    turn: torch.Tensor

    def arrays(self) -> tuple[torch.Tensor, ...]:
        """All that decides what it does."""
        return self.logarithm, self.turn

    def shading(self, normals: torch.Tensor) -> Shading:
        """What this light does to triangles whose unit normals at the bind pose are [F,3]."""
        normals = normals.double()
        turn = axis_angle_to_matrix(self.turn.to(normals))
        stored = harmonics(normals @ turn.T)[..., 1:] @ self.logarithm.to(normals)
        return Shading(self.logarithm.to(normals.device, torch.float32), stored.float())


@dataclass(frozen=True, eq=False)
class Shading:
    """A light made ready for F triangles; stored [F,3]: logarithm of its brightness where colours are as stored."""

    logarithm: torch.Tensor
    stored: torch.Tensor

    def of(self, normals: torch.Tensor) -> torch.Tensor:
        """Factors [...,F,3] of colours of triangles whose unit normals in the world are [...,F,3]."""
        change = harmonics(normals)[..., 1:] @ self.logarithm - self.stored
        return change.clamp(-math.log(STRONGEST), math.log(STRONGEST)).exp()

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Shading:
        """The same elsewhere."""
        return Shading(self.logarithm.to(device, dtype), self.stored.to(device, dtype))
