"""While a single camera's pictures are fitted, colours of rims are held near those of what it shows squarely.

What shows in a few pixels of all pictures has next to no say in the loss, but the optimiser takes steps of one size
for all: the longer the fit, the wilder the colours of such Gaussians, in plain sight once the head turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.fitting.alike import Rims
from emoga.head import Head
from emoga.optimize.splats import Splats

# Of half the squared difference from what is likely, beside the loss of a picture: little to what shows in more than
# some millionths of its pixels.
PULL = 1e-5


@dataclass
class RimColors:
    """Pulls at colours; squarely [F]: how squarely the camera shows each triangle."""

    head: Head
    squarely: np.ndarray
    _rims_of: tuple[Splats, Rims] | None = None

    @torch.no_grad()
    def add(self, splats: Splats, visible: torch.Tensor) -> None:
        """Add the pull on visible [N] Gaussians to the gradients of their sh."""
        rims, sh = self._rims(splats), splats.gaussians.sh
        away = sh[rims.rows]
        away[:, 0] -= rims.told(sh[:, 0])
        sh.grad.index_add_(0, rims.rows, PULL * (rims.doubt * visible[rims.rows])[:, None, None] * away)

    def _rims(self, splats: Splats) -> Rims:
        """The rims among Gaussians; worked out again when some came or went."""
        if self._rims_of is None or self._rims_of[0] is not splats:
            self._rims_of = splats, Rims.of(splats.gaussians, self.head, self.squarely)
        return self._rims_of[1]
