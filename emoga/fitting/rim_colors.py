"""While a single camera's pictures are fitted, colours of rims are held near those of what it shows squarely.

What shows in a few pixels of all pictures has next to no say in the loss, but the optimiser takes steps of one size
for all: the longer the fit, the wilder the colours of such Gaussians, in plain sight once the head turns.
"""

from __future__ import annotations

import torch

from emoga.avatar.avatar import Gaussians
from emoga.fitting.alike import LikelyColors
from emoga.render.sh import SH_C0

# Of half the squared difference from what is likely, beside the loss of a picture: little to what shows in more than
# some millionths of its pixels.
PULL = 1e-5


@torch.no_grad()
def pull_rims(gaussians: Gaussians, visible: torch.Tensor, likely: LikelyColors) -> None:
    """Add to the gradients of the sh of visible [N] Gaussians a pull towards what is likely where they hang."""
    face = gaussians.binding.long().clamp_min(0)
    doubt = likely.doubt[face] * (visible & (gaussians.binding >= 0))
    away = gaussians.sh.clone()
    away[:, 0] -= (likely.colors[face] - 0.5) / SH_C0
    gaussians.sh.grad.addcmul_(away, doubt[:, None, None], value=PULL)
