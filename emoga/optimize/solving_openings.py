"""Evidence of how far lids and lips part: what a detector gets wrong of one rim it mostly gets wrong of both."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.geometry import skew
from emoga.head import HeadParams
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State


class SurfaceGaps(SurfacePoints):
    """K vectors from one surface point to another: `pairs` [K,2] of some points, first less second."""

    def __init__(self, points: SurfacePoints, pairs: torch.Tensor) -> None:
        corners = points.ids[points.corners]
        first, second = pairs.T
        super().__init__(
            points.head, torch.cat([corners[first], corners[second]], 1),
            torch.cat([points.weights[first], -points.weights[second]], 1),
        )  # fmt: skip
        self.pairs = pairs

    def _by_pose(self, points: torch.Tensor, params: HeadParams) -> torch.Tensor:
        """Derivatives [T,K,3,6] by the head's turn and place; where it is does not matter to them."""
        return torch.nn.functional.pad(-skew(points), (0, 3))


@dataclass
class OpeningTerm:
    """K openings seen by C cameras over T frames.

    slopes [C,T,K,2,3]: pixels per metre between the two rims; observed [C,T,K,2] pixels; weights [C,T,K] in 1/pixel²;
    habits [T,K,3]: metres in the head's frame by which the detector sees them wider; residuals beyond `robust`
    standard deviations lose their say.
    """

    points: SurfaceGaps
    slopes: torch.Tensor
    observed: torch.Tensor
    weights: torch.Tensor
    habits: torch.Tensor
    robust: float = 4.0

    def cost(self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State) -> float:
        """Robust cost (Cauchy) of openings [t,K,3]."""
        return float(self.costs(places, turns, frames).sum())

    def costs(self, places: torch.Tensor, turns: torch.Tensor, frames: slice | torch.Tensor) -> torch.Tensor:
        """That cost of every one of them in every view, [C,t,K]; frames may be indices [t], too."""
        residual = self._residual(places, turns, frames)
        squared = (residual * residual).sum(-1) * self.weights[:, frames]
        return 0.5 * self.robust**2 * torch.log1p(squared / self.robust**2)

    def quadratic(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Curvature [t,K,4,4] and gradient [t,K,4] in (x, y, z, log focal), all views summed; the focal is settled."""
        residual = self._residual(places, turns, frames)
        weight = self.weights[:, frames]
        weight = weight / (1 + (residual * residual).sum(-1) * weight / self.robust**2)
        slope = torch.nn.functional.pad(self.slopes[:, frames], (0, 1))
        curvature = torch.einsum("ctl,ctlip,ctliq->tlpq", weight, slope, slope)
        return curvature, torch.einsum("ctl,ctli,ctlip->tlp", weight, residual, slope)

    def _residual(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice | torch.Tensor
    ) -> torch.Tensor:
        """Pixels [C,t,K,2] by which openings are seen too wide."""
        wide = places + (turns[:, None] @ self.habits[frames][..., None])[..., 0]
        return (self.slopes[:, frames] @ wide[..., None])[..., 0] - self.observed[:, frames]
