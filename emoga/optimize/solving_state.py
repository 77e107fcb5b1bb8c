"""State: everything the solver changes, for T frames of one person."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.head import HeadParams


@dataclass
class State:
    """What is solved.

    params of T frames; warp [H] coefficients of smooth offsets; offsets [L,3] metres of the detector's habits
    in the head's frame; log_focal [] as a factor on every K. All float64.
    """

    params: HeadParams
    warp: torch.Tensor
    offsets: torch.Tensor
    log_focal: torch.Tensor
