"""The relaxed face of a person, estimated from how he moves."""

from __future__ import annotations

import torch

from emoga.head import Head, HeadParams
from emoga.motion.lips import lips_of, resting_gap

CLOSED_GAP = 0.001  # metres beyond the resting gap that still count as closed lips
LOW_QUANTILE = 0.25
FEW_FRAMES = 12.0


def estimate_neutral(head: Head, params: HeadParams) -> torch.Tensor:
    """The person's relaxed expression [E] from params of T frames.

    A low quantile of every unit over the frames with closed lips (all units push away from rest, so what a
    face shows most of the time is its rest), shrunk towards zero when such frames are few. Gaze is no part
    of it. For heads whose components have two signs: the median.
    """
    with torch.no_grad():
        lips = lips_of(head.identify(params.shape, params.static_offset))
        gap = lips.gap(params.expr, params.jaw)
        closed = params.expr[gap <= resting_gap(lips, gap) + CLOSED_GAP]
        has_units = "jawOpen" in head.expr_names
        if not len(closed):
            return torch.zeros_like(params.expr[0])
        neutral = torch.quantile(closed, LOW_QUANTILE if has_units else 0.5, dim=0)
        neutral = neutral * (len(closed) / (len(closed) + FEW_FRAMES))
        if has_units:
            neutral[head.gaze_units] = 0
            neutral = neutral.clamp(0, 1)
        return neutral
