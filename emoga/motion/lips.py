"""Lips: how far apart they are, by the jaw and otherwise, and how they are brought together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.head import Identity
from emoga.head.embedding import LandmarkEmbedding

# Facing points of the inner lips: upper, lower.
INNER_LIPS = {
    "mediapipe478": ((13, 14), (82, 87), (312, 317)),
    "ibug68": ((62, 66), (61, 67), (63, 65)),
}
# Metres by which a tracker may see closed lips apart, and by which it sees them differently from frame to frame.
TRACKING_SLACK, SCATTER = 0.002, 0.0005
CLOSING_STEPS = 10
PARTING_UNITS = (
    "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel",
)  # fmt: skip


@dataclass(frozen=True)
class Lips:
    """One person's inner lips, quick to pose: the corners of their triangles alone, and the points on them."""

    corners: Identity
    points: LandmarkEmbedding

    def gap(self, expr: torch.Tensor, jaw: torch.Tensor | None = None) -> torch.Tensor:
        """Vertical distance [T] metres between the lips, for expr [T,E] and jaw [T,3]; < 0: crossed."""
        heights = self.points.points(self.corners.pose(expr, jaw=jaw))[..., 1]
        count = heights.shape[1] // 2
        return (heights[:, :count] - heights[:, count:]).mean(-1)

    def gap_of_jaw(self, expr: torch.Tensor) -> torch.Tensor:
        """How far jawOpen alone parts lips, and with them teeth, [T] metres, for expr [T,E]; 0 of heads without it."""
        head, nothing = self.corners.head, torch.zeros_like(expr)
        if "jawOpen" not in head.expr_names:
            return nothing[:, 0]
        unit = torch.tensor([head.unit("jawOpen")], device=expr.device)
        return self.gap(nothing.index_copy(1, unit, expr[:, unit])) - self.gap(nothing[:1])


def lips_of(identity: Identity) -> Lips:
    """The lips of a person whose head has landmarks."""
    head = identity.head
    scheme = next(name for name in INNER_LIPS if name in head.landmarks)
    upper, lower = torch.tensor(INNER_LIPS[scheme]).unbind(1)
    points = head.landmarks[scheme].select(torch.cat([upper, lower]))
    corners = torch.arange(points.corners.numel()).reshape(-1, 3)
    return Lips(identity.part(points.corners.reshape(-1)), replace(points, corners=corners))


def lip_gap(identity: Identity, expr: torch.Tensor, jaw: torch.Tensor | None = None) -> torch.Tensor:
    """Vertical distance [T] metres between the inner lips, for expr [T,E] and jaw [T,3]; < 0: crossed."""
    return lips_of(identity).gap(expr, jaw)


def resting_gap(lips: Lips, gap: torch.Tensor) -> torch.Tensor:
    """The lip gap [] of a person's closed mouth, from the gaps [T] of his frames.

    Closed is what the lips are at their closest, as trackers err and scatter, though they close in few frames only;
    but a mouth that is never closed is told by the person's face at rest.
    """
    at_rest = lips.gap(gap.new_zeros(1, len(lips.corners.head.expr_names)))[0]
    few, many = torch.quantile(gap, 0.02) + SCATTER, torch.quantile(gap, 0.1)
    return torch.minimum(torch.minimum(few, many), at_rest + TRACKING_SLACK)


def bring_together(
    lips: Lips, expr: torch.Tensor, jaw: torch.Tensor, limit: torch.Tensor, shut: torch.Tensor
) -> torch.Tensor:
    """expr [T,E] with the lips no further apart than `limit` [T] metres where `shut` [T] is 1, as they were at 0.

    By the jaw as far as it goes, then by what parts the lips. Units are scaled down; gradients pass through the
    scaling and take the scales for given.
    """
    head = lips.corners.head
    wanted = torch.lerp(lips.gap(expr.detach(), jaw), limit, shut)
    closed = _close(lips, expr, jaw, wanted, [head.unit("jawOpen")])
    return _close(lips, closed, jaw, wanted, [head.unit(name) for name in PARTING_UNITS])


def _close(
    lips: Lips, expr: torch.Tensor, jaw: torch.Tensor, wanted: torch.Tensor, units: list[int]
) -> torch.Tensor:
    """Scale some units of expr [T,E] down until the lip gap is at most `wanted` [T], if they can do it."""
    columns = torch.tensor(units, device=expr.device)
    scale = _closing_scale(lips, expr.detach(), jaw, wanted, columns)
    return expr.index_copy(1, columns, expr.index_select(1, columns) * scale[:, None])


@torch.no_grad()
def _closing_scale(
    lips: Lips, expr: torch.Tensor, jaw: torch.Tensor, wanted: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Factors [T] in 0..1 for the columns of expr [T,E]; 1 where the lips are near enough already."""

    def gap_at(scale: torch.Tensor) -> torch.Tensor:
        trial = expr.clone()
        trial[:, columns] *= scale[:, None]
        return lips.gap(trial, jaw)

    low, high = expr.new_zeros(len(expr)), expr.new_ones(len(expr))
    below, above = gap_at(low) - wanted, lips.gap(expr, jaw) - wanted
    too_open, was_above = above > 1e-5, None
    # Secant steps kept inside the bracket. The gap bends: an end that stays for a second time counts half, or the
    # lower one would stay at zero and a wide open mouth be shut for the sake of a tenth of a millimetre.
    for _ in range(CLOSING_STEPS):
        share = (below / (below - above).clamp_max(-1e-9)).clamp(0, 1)
        middle = low + share * (high - low)
        miss = gap_at(middle) - wanted
        is_above = miss > 0
        again = torch.zeros_like(is_above) if was_above is None else is_above == was_above
        kept = torch.where(again, 0.5, 1.0)
        below, above = torch.where(is_above, below * kept, miss), torch.where(is_above, miss, above * kept)
        low, high = torch.where(is_above, low, middle), torch.where(is_above, middle, high)
        was_above = is_above
    return torch.where(too_open, low, torch.ones_like(low))
