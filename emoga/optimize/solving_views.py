"""Unknown cameras as unknowns of the sequence's solver: what landmarks say of them, and what is expected."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.geometry import skew
from emoga.optimize.solving_state import VIEW, Views
from emoga.optimize.solving_system import SequenceSystem


@dataclass(frozen=True)
class ViewEvidence:
    """Linearised evidence of C cameras: weights [C,t,L], residuals [C,t,L,K], slopes by point and by camera.

    by_point [C,t,L,K,3]; by_camera [C,t,L,K,7], what each camera by itself does to its values. together: residuals are
    what values stray from their weighted mean over cameras, and by_point how that changes.
    """

    weights: torch.Tensor
    residuals: torch.Tensor
    by_point: torch.Tensor
    by_camera: torch.Tensor
    together: bool = False


def camera_slopes(points: torch.Tensor, views: Views, Ks: torch.Tensor) -> torch.Tensor:
    """Derivatives [C,t,L,2,7] of the pixels of points [t,L,3] by steps of `Views.moved`."""
    turn, shift = views.viewmats[:, None, :3, :3], views.viewmats[:, None, None, :3, 3]
    turned = points @ turn.transpose(-1, -2)
    local = turned + shift
    depth = local[..., 2].clamp_min(1e-2)
    focal = views.focused(Ks)[:, None, None, [0, 1], [0, 1]]
    offset = local[..., :2] / depth[..., None] * focal
    by_local = torch.zeros(*offset.shape, 3, dtype=points.dtype)
    by_local[..., 0, 0], by_local[..., 1, 1] = focal[..., 0] / depth, focal[..., 1] / depth
    by_local[..., 2] = -offset / depth[..., None]
    # A turn by w moves the turned and shifted point p by w x p.
    return torch.cat([by_local @ -skew(local), by_local, offset[..., None]], -1)


@dataclass(frozen=True)
class ViewPrior:
    """What is expected of C focal lengths.

    focals [C]: pixels of a state whose log_focals are zero; usual: pixels that their geometric mean is near to, within
    `spread` in log units; difference: how far each strays from that mean.
    """

    focals: torch.Tensor
    usual: float
    spread: float
    difference: float

    def precision(self) -> torch.Tensor:
        """[C,C] of the logarithms."""
        count = len(self.focals)
        common = torch.full((count, count), 1 / count, dtype=torch.float64)
        apart = torch.eye(count, dtype=torch.float64) - common
        return common / (count * self.spread**2) + apart / self.difference**2

    def values(self, views: Views) -> torch.Tensor:
        """Logarithms [C] of the focal lengths over the usual one."""
        return views.log_focals + torch.log(self.focals / self.usual)

    def cost(self, views: Views) -> float:
        """The penalty of their focal lengths."""
        values = self.values(views)
        return float(0.5 * values @ self.precision() @ values)


def add_views(
    system: SequenceSystem,
    evidence: ViewEvidence,
    columns: torch.Tensor,
    frames: slice,
    own: int,
    first: int,
) -> None:
    """Add cameras, the last unknowns from `first` on, to a system; columns [t,L,3,P+S] move the points.

    own: P; the S others are the leading shared unknowns.
    """
    for c in range(len(evidence.weights)):
        at = slice(first + VIEW * c, first + VIEW * (c + 1))
        by_camera = evidence.by_camera[c]
        weighted = evidence.weights[c][..., None, None] * by_camera
        push = evidence.by_point[c].transpose(-1, -2) @ weighted  # [t,L,3,7]
        coupling = columns.flatten(1, 2).transpose(1, 2) @ push.flatten(1, 2)
        system.border[frames, :, at] += coupling[:, :own]
        shared = coupling[:, own:].sum(0)
        system.corner[: len(shared), at] += shared
        system.corner[at, : len(shared)] += shared.T
        system.corner[at, at] += (weighted.transpose(-1, -2) @ by_camera).sum((0, 1))
        system.shared_gradient[at] += (weighted * evidence.residuals[c][..., None]).sum((0, 1, 2))
    if evidence.together:
        _take_mean_off(system, evidence, first)


def _take_mean_off(system: SequenceSystem, evidence: ViewEvidence, first: int) -> None:
    """What moves one camera's values moves the mean of all, and so every camera's stray."""
    total = evidence.weights.sum(0).clamp_min(1e-12)
    pull = (
        (evidence.weights[..., None, None] * evidence.by_camera).permute(1, 2, 3, 0, 4).flatten(3)
    )  # [t,L,K,7C]
    at = slice(first, first + pull.shape[-1])
    flat = (pull / total.sqrt()[..., None, None]).flatten(0, 2)
    system.corner[at, at] -= flat.T @ flat


def add_views_to_offsets(
    system: SequenceSystem, evidence: ViewEvidence, turns: torch.Tensor, offsets: slice, first: int
) -> None:
    """Add how cameras and the landmarks' offsets [L,3], turned with the head by [t,3,3], depend on each other."""
    for c in range(len(evidence.weights)):
        at = slice(first + VIEW * c, first + VIEW * (c + 1))
        weighted = evidence.weights[c][..., None, None] * evidence.by_camera[c]
        moved = evidence.by_point[c] @ turns[:, None]
        coupling = (moved.transpose(-1, -2) @ weighted).sum(0).flatten(0, 1)
        system.corner[offsets, at] += coupling
        system.corner[at, offsets] += coupling.T


def add_view_prior(system: SequenceSystem, prior: ViewPrior, views: Views, first: int) -> None:
    """Add what is expected of the focal lengths."""
    at = first + VIEW * torch.arange(len(prior.focals)) + VIEW - 1
    precision = prior.precision()
    system.corner[at[:, None], at[None, :]] += precision
    system.shared_gradient[at] += precision @ prior.values(views)
