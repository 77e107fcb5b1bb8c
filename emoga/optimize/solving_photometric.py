"""Evidence from the pictures themselves: points of the head look as they are expected to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State


@dataclass
class Crops:
    """Pictures around the head: pixels [C,T,K,h,w] floats, corner [C,T,2] and step [C,T] in pixels.

    Pixel (i, j) of a crop is centred at corner + (i + 0.5, j + 0.5) * step of its picture.
    """

    pixels: torch.Tensor
    corner: torch.Tensor
    step: torch.Tensor

    def values(self, places: torch.Tensor, frames: slice) -> torch.Tensor:
        """Values [C,t,N,K] at picture places [C,t,N,2]."""
        local = (places - self.corner[:, frames, None]) / self.step[:, frames, None, None]
        return self._bilinear(local[:, :, None], frames)[:, :, 0]

    def sample(self, places: torch.Tensor, frames: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Values [C,t,N,K] at picture places [C,t,N,2] and their change per pixel [C,t,N,K,2]."""
        step = self.step[:, frames, None, None]
        local = (places - self.corner[:, frames, None]) / step
        around = torch.stack([local + torch.tensor(d, dtype=local.dtype) for d in SHIFTS], 2)
        colors = self._bilinear(around, frames)
        slope = torch.stack([colors[:, :, 1] - colors[:, :, 2], colors[:, :, 3] - colors[:, :, 4]], -1)
        return colors[:, :, 0], slope / (2 * REACH * step[..., None])

    def _bilinear(self, local: torch.Tensor, frames: slice) -> torch.Tensor:
        """Values [C,t,M,N,K] at crop places [C,t,M,N,2], replicated beyond the border."""
        pixels = self.pixels[:, frames]
        views, count, channels, height, width = pixels.shape
        size = torch.tensor([width, height], dtype=local.dtype)
        grid = (2 * local / size - 1).reshape(views * count, -1, local.shape[3], 2).to(pixels.dtype)
        found = torch.nn.functional.grid_sample(
            pixels.reshape(views * count, channels, height, width),
            grid,
            padding_mode="border",
            align_corners=False,
        )
        return found.permute(0, 2, 3, 1).reshape(views, count, -1, local.shape[3], channels).to(local.dtype)


REACH = 0.5  # crop pixels either side over which a slope is taken
SHIFTS = ((0.0, 0.0), (REACH, 0.0), (-REACH, 0.0), (0.0, REACH), (0.0, -REACH))


@dataclass
class PhotometricTerm:
    """N points of the head in C cameras over T frames.

    viewmats [C,4,4], Ks [C,3,3]; crops of the pictures, or of distances to an outline; expected [C,T,N,K]
    values there; weights [C,T,N] in 1/value², 0 where a point is not seen. Residuals beyond `robust` standard
    deviations lose their say: highlights, shadows, stray hair.
    """

    points: SurfacePoints
    viewmats: torch.Tensor
    Ks: torch.Tensor
    crops: Crops
    expected: torch.Tensor
    weights: torch.Tensor
    robust: float = 2.0

    def cost(self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State) -> float:
        """Robust cost of points [t,N,3]."""
        pixels, _ = project(places, self.viewmats, self.Ks, float(state.log_focal))
        colors = self.crops.values(pixels, frames)
        squared = ((colors - self.expected[:, frames]) ** 2).sum(-1) * self.weights[:, frames]
        return float((0.5 * self.robust**2 * torch.log1p(squared / self.robust**2)).sum())

    def quadratic(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Curvature [t,N,4,4] and gradient [t,N,4] in (x, y, z, log focal), all views summed."""
        pixels, moved = project(places, self.viewmats, self.Ks, float(state.log_focal), derivatives=True)
        colors, change = self.crops.sample(pixels, frames)
        residual = colors - self.expected[:, frames]
        weight = self.weights[:, frames]
        squared = (residual * residual).sum(-1) * weight
        weight = weight / (1 + squared / self.robust**2)
        slope = change @ moved
        curvature = torch.einsum("ctn,ctnip,ctniq->tnpq", weight, slope, slope)
        return curvature, torch.einsum("ctn,ctni,ctnip->tnp", weight, residual, slope)
