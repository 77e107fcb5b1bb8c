"""While a single camera's pictures are fitted, colours are held near what these show: rims firmly, all skin a little.

What shows in a few pixels of all pictures has next to no say in the loss, but the optimiser takes steps of one size
for all: the longer the fit, the wilder the colours of such Gaussians, and of those that make up for one another in
every picture. Both are in plain sight once the head turns, or the face moves, as nobody filmed it.
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
def pull_colors(gaussians: Gaussians, visible: torch.Tensor, likely: LikelyColors) -> None:
    """Add to the gradients of the sh of visible [N] Gaussians a pull towards what is likely where they hang."""
    face = gaussians.binding.long().clamp_min(0)
    firmness = likely.firmness[face] * (visible & (gaussians.binding >= 0))
    away = gaussians.sh.clone()
    away[:, 0] -= (likely.colors[face] - 0.5) / SH_C0
    gaussians.sh.grad.addcmul_(away, firmness[:, None, None], value=PULL)
