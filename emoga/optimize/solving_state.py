"""State: everything the solver changes, for T frames of one person."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams

VIEW = 7  # unknowns of a camera: turn and shift after world-to-camera, logarithm of its focal length


@dataclass
class Views:
    """C cameras that are solved for: viewmats [C,4,4] and log_focals [C] as factors on each K. float64."""

    viewmats: torch.Tensor
    log_focals: torch.Tensor

    def moved(self, steps: torch.Tensor) -> Views:
        """The cameras after steps [C,7]."""
        turn = axis_angle_to_matrix(steps[:, :3])
        viewmats = self.viewmats.clone()
        viewmats[:, :3] = turn @ self.viewmats[:, :3]
        viewmats[:, :3, 3] += steps[:, 3:6]
        return Views(viewmats, self.log_focals + steps[:, 6])

    def focused(self, Ks: torch.Tensor) -> torch.Tensor:
        """Ks [C,3,3] with the focal lengths of these cameras."""
        Ks = Ks.clone()
        Ks[:, [0, 1], [0, 1]] *= torch.exp(self.log_focals)[:, None]
        return Ks


@dataclass
class State:
    """What is solved.

    params of T frames; warp [H] coefficients of smooth offsets; offsets [L,3] metres of the detector's habits
    in the head's frame; log_focal [] as a factor on every K. All float64. views: cameras, where they are unknown.
    """

    params: HeadParams
    warp: torch.Tensor
    offsets: torch.Tensor
    log_focal: torch.Tensor
    views: Views | None = None
