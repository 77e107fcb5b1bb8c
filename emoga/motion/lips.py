"""Lips: how far apart they are, when a performance uses them for speech, and how they are brought together."""

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
TRACKING_SLACK = 0.002  # metres by which a tracker may see closed lips apart
# Beyond the resting gap, metres: below the first value lips count as shut, above the second as open.
SHUT, OPEN = 0.0005, 0.002
EAGER = 6.0  # metres that an emotion adds at most to each metre by which speech parts the lips
# Seconds from a parting of the lips: up to the first it is all one word, from the second on it is silence.
WITHIN_WORDS, SILENCE = 0.2, 0.5
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

    Closed is what the lips are at their closest, as trackers err; but a mouth that is never closed is told
    by the person's face at rest.
    """
    at_rest = lips.gap(gap.new_zeros(1, len(lips.corners.head.expr_names)))[0]
    return torch.minimum(torch.quantile(gap, 0.1), at_rest + TRACKING_SLACK)


@dataclass(frozen=True)
class Speech:
    """How T frames use the lips: parted [T], metres beyond the resting gap; speaking [T], 1 within words."""

    parted: torch.Tensor
    speaking: torch.Tensor

    def select(self, frames: torch.Tensor | slice | list[int]) -> Speech:
        """Some of the frames."""
        return Speech(self.parted[frames], self.speaking[frames])

    @property
    def shut(self) -> torch.Tensor:
        """1 where lips touch, 0 where they are apart, [T]."""
        return 1 - _smoothstep(self.parted, SHUT, OPEN)

    def held(self, opening: torch.Tensor) -> torch.Tensor:
        """How far lips keep an emotion from opening them by `opening` [T] metres: 1 where they touch, 0 where apart.

        The wider it opens them the later they let go of it, or a mouth that hardly moves in words would snap open.
        Still a stronger emotion never shows less: opening * (1 - held), what is let through, only grows.
        """
        return (1 - self._freed(opening)) ** 2

    def let_through(self, opening: torch.Tensor) -> torch.Tensor:
        """What shows of one metre more, [T] in 0..1, where an emotion opens the lips by `opening` [T] metres."""
        return self._freed(opening) ** 2

    def _freed(self, opening: torch.Tensor) -> torch.Tensor:
        """How far speech has come, [T] in 0..1, on the way to letting an emotion open the lips as it likes."""
        beyond, soft = (self.parted - SHUT).clamp_min(0), OPEN - SHUT
        apart = torch.where(beyond < soft, beyond**2 / (2 * soft), beyond - soft / 2)
        return (EAGER * apart / (2 * opening).clamp_min(1e-9)).clamp_max(1)


@torch.no_grad()
def listen(lips: Lips, expr: torch.Tensor, jaw: torch.Tensor, fps: float) -> Speech:
    """The speech of a whole motion of the person with these lips: expr [T,E], jaw [T,3]."""
    gap = lips.gap(expr, jaw)
    parted = gap - resting_gap(lips, gap)
    return Speech(parted, _around(_smoothstep(parted, SHUT, OPEN), fps))


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


def _smoothstep(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _around(values: torch.Tensor, fps: float) -> torch.Tensor:
    """Largest of values [T] in 0..1 within words of each frame; farther ones fade with time until silence."""
    reach = max(1, round(fps * SILENCE))
    away = torch.arange(-reach, reach + 1, device=values.device).abs().to(values) / fps
    fade = 1 - _smoothstep(away, WITHIN_WORDS, SILENCE)
    near = torch.nn.functional.pad(values, (reach, reach)).unfold(0, 2 * reach + 1, 1)
    return (near * fade).amax(1)
