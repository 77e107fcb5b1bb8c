"""Kernel of soft outlines: which outline point lies nearest to a pixel."""

from __future__ import annotations

import numpy as np

from emoga.kernels import kernel


@kernel
def nearest_crossing(crossings, reach, nearest):
    """nearest [H,W] int32: index of the closest of crossings [P,2] (pixels) within `reach`, else -1."""
    height, width = nearest.shape
    best = np.full((height, width), reach * reach)
    nearest[:] = -1
    for k in range(crossings.shape[0]):
        px, py = crossings[k]
        for y in range(max(0, int(py - reach)), min(height, int(py + reach) + 1)):
            for x in range(max(0, int(px - reach)), min(width, int(px + reach) + 1)):
                distance = (x + 0.5 - px) ** 2 + (y + 0.5 - py) ** 2
                if distance < best[y, x]:
                    best[y, x] = distance
                    nearest[y, x] = k
