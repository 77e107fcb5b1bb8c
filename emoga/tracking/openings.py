"""How far lids and lips part in every frame, as a detector sees it: its errors at facing rims are mostly common."""

from __future__ import annotations

import torch

from emoga.optimize.solving_landmarks import LandmarkTerm, project
from emoga.optimize.solving_openings import OpeningTerm, SurfaceGaps
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State

# Points of upper and lower rims that face each other.
MEDIAPIPE_PAIRS = (
    (159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373),
    (13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (191, 95), (415, 324),
)  # fmt: skip
IBUG_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65))
LIDS = {"mediapipe478": 6, "ibug68": 4}  # so many of these come first, those of lips after them
SURER = 2.0  # times surer a detector is of an opening than of a rim
WIDE = 0.9  # quantile over frames of an opening that counts as wide


def gaps_of(points: SurfacePoints, scheme: str) -> SurfaceGaps:
    """The openings that the landmarks of a scheme show."""
    return SurfaceGaps(points, torch.tensor(MEDIAPIPE_PAIRS if scheme == "mediapipe478" else IBUG_PAIRS))


def of_lips(scheme: str) -> torch.Tensor:
    """Which openings [K] of a scheme are those of lips."""
    pairs = MEDIAPIPE_PAIRS if scheme == "mediapipe478" else IBUG_PAIRS
    return torch.arange(LIDS[scheme], len(pairs))


def opening_term(gaps: SurfaceGaps, marks: LandmarkTerm, places: torch.Tensor, state: State) -> OpeningTerm:
    """Evidence of openings in the frames of `state`, from that of single landmarks, which lie at places [T,L,3].

    What a detector adds to an opening as its habit it adds where there is one: rims that touch do so whoever looks.
    """
    first, second = gaps.pairs.T
    observed = marks.observed[:, :, first] - marks.observed[:, :, second]
    weights = SURER**2 * torch.minimum(marks.weights[:, :, first], marks.weights[:, :, second])
    middle = (places[:, first] + places[:, second]) / 2
    _, slopes = project(middle, marks.viewmats, marks.Ks, float(state.log_focal), derivatives=True)
    wide = observed.norm(dim=-1) * (weights > 0)
    share = wide / wide.quantile(WIDE, dim=1, keepdim=True).clamp_min(1e-9)
    share = ((share * weights).sum(0) / weights.sum(0).clamp_min(1e-12)).clamp(max=1.0)
    habits = share[..., None] * (state.offsets[first] - state.offsets[second])
    return OpeningTerm(gaps, slopes[..., :3], observed, weights, habits, marks.robust)
