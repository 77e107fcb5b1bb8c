"""Light that stands still in the world: how what hangs on a triangle brightens or darkens as the head turns in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
    turn: torch.Tensor = field(default_factory=lambda: torch.zeros(3))

    def arrays(self) -> tuple[torch.Tensor, ...]:
        """All that decides what it does."""
        return self.logarithm, self.turn

    def shading(self, normals: torch.Tensor) -> Shading:
        """What this light does to triangles whose unit normals at the bind pose are [F,3]."""
        normals = normals.double()
        turn = axis_angle_to_matrix(self.turn.to(normals))
        return self._against(normals @ turn.T).to(normals.device)

    def ratio(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """By how much [...,3] skin brightens when its unit normals turn from `before` to `after` [...,3]; float32."""
        return self._against(before.double()).of(after.double()).float()

    def _against(self, normals: torch.Tensor) -> Shading:
        """Shading of what shows as stored where its normals in the world are these, float64."""
        logarithm = self.logarithm.to(normals)
        return Shading(logarithm, harmonics(normals)[..., 1:] @ logarithm)


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
