"""The relaxed face of a person, estimated from how he moves; and how far apart his lips are."""

from __future__ import annotations

from dataclasses import replace

import torch

from emoga.head import Head, HeadParams, Identity

# Facing points of the inner lips: upper, lower.
INNER_LIPS = {
    "mediapipe478": ((13, 14), (82, 87), (312, 317)),
    "ibug68": ((62, 66), (61, 67), (63, 65)),
}
CLOSED_GAP = 0.001  # metres beyond the resting gap that still count as closed lips
TRACKING_SLACK = 0.002  # metres by which a tracker may see closed lips apart
LOW_QUANTILE = 0.25
FEW_FRAMES = 12.0


def lip_gap(identity: Identity, expr: torch.Tensor, jaw: torch.Tensor | None = None) -> torch.Tensor:
    """Vertical distance [T] metres between the inner lips, for expr [T,E] and jaw [T,3]; < 0: crossed."""
    head = identity.head
    scheme = next(name for name in INNER_LIPS if name in head.landmarks)
    upper, lower = torch.tensor(INNER_LIPS[scheme]).unbind(1)
    embedding = head.landmarks[scheme].select(torch.cat([upper, lower]))
    # Only the corners of the lips' own triangles are posed.
    lips = identity.part(embedding.corners.reshape(-1))
    corners = torch.arange(embedding.corners.numel()).reshape(-1, 3)
    heights = replace(embedding, corners=corners).points(lips.pose(expr, jaw=jaw))[..., 1]
    return (heights[:, : len(upper)] - heights[:, len(upper) :]).mean(-1)


def resting_gap(identity: Identity, gap: torch.Tensor) -> torch.Tensor:
    """The lip gap [] of a person's closed mouth, from the gaps [T] of his frames.

    Closed is what the lips are at their closest, as trackers err; but a mouth that is never closed is told
    by the person's face at rest.
    """
    at_rest = lip_gap(identity, identity.rest.new_zeros(1, len(identity.head.expr_names)))[0]
    return torch.minimum(torch.quantile(gap, 0.1), at_rest + TRACKING_SLACK)


def estimate_neutral(head: Head, params: HeadParams) -> torch.Tensor:
    """The person's relaxed expression [E] from params of T frames.

    A low quantile of every unit over the frames with closed lips (all units push away from rest, so what a
    face shows most of the time is its rest), shrunk towards zero when such frames are few. Gaze is no part
    of it. For heads whose components have two signs: the median.
    """
    with torch.no_grad():
        identity = head.identify(params.shape, params.static_offset)
        gap = lip_gap(identity, params.expr, params.jaw)
        closed = params.expr[gap <= resting_gap(identity, gap) + CLOSED_GAP]
        has_units = "jawOpen" in head.expr_names
        if not len(closed):
            return torch.zeros_like(params.expr[0])
        neutral = torch.quantile(closed, LOW_QUANTILE if has_units else 0.5, dim=0)
        neutral = neutral * (len(closed) / (len(closed) + FEW_FRAMES))
        if has_units:
            neutral[head.gaze_units] = 0
            neutral = neutral.clamp(0, 1)
        return neutral
