"""Unknown cameras from synchronised pictures: at one moment a place on the skin looks the same to all that see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_photometric import Crops
from emoga.optimize.solving_state import VIEW, Views
from emoga.optimize.solving_system import SequenceSystem
from emoga.optimize.solving_views import (
    ViewEvidence,
    ViewPrior,
    add_view_prior,
    add_views,
    camera_slopes,
)

DAMPING = 1e-3
# How far cameras may be from where they were thought: radians, metres across their view and along it, where the focal
# length makes up for it. Dull pictures then leave them there.
TURN_SPREAD, ACROSS_SPREAD, ALONG_SPREAD = 0.05, 0.05, 0.5


@dataclass(frozen=True)
class CrossView:
    """N points of the head, seen at T moments by C cameras.

    crops of the pictures; ground [C,T,N,K]: what surrounds each point there and is taken off, so that light and
    exposure may differ; Ks [C,3,3]; weights [C,T,N] in 1/value², 0 where a point is not seen. What counts is how values
    stray from their own mean over the cameras, so that nothing need be known of how a point looks. A point whose values
    together stray more than `robust` standard deviations loses its say: highlights, and what stands before it.
    """

    crops: Crops
    ground: torch.Tensor
    Ks: torch.Tensor
    weights: torch.Tensor
    robust: float = 2.0

    def cost(self, places: torch.Tensor, views: Views) -> float:
        """Robust cost (Cauchy) of points [T,N,3] before the cameras."""
        pixels, _ = project(places, views.viewmats, views.focused(self.Ks), 0.0)
        colors = self.crops.values(pixels, slice(0, len(places))) - self.ground
        squared = _squared(_stray(colors, self.weights), self.weights)
        return float((0.5 * self.robust**2 * torch.log1p(squared / self.robust**2)).sum())

    def evidence(self, places: torch.Tensor, views: Views, frame: int) -> ViewEvidence:
        """What the pictures of one moment say of points [T,N,3] and cameras."""
        at, weights = slice(frame, frame + 1), self.weights[:, frame : frame + 1]
        here = places[at]
        pixels, moved = project(here, views.viewmats, views.focused(self.Ks), 0.0, derivatives=True)
        colors, change = self.crops.sample(pixels, at)
        residual = _stray(colors - self.ground[:, at], weights)
        by_point = change @ moved[..., :3]
        by_point = _stray(by_point.flatten(-2), weights).unflatten(-1, by_point.shape[-2:])
        by_camera = change @ camera_slopes(here, views, self.Ks)
        robust = weights / (1 + _squared(residual, weights) / self.robust**2)
        return ViewEvidence(robust, residual, by_point, by_camera, together=True)


def solve_views(
    seen: CrossView,
    places: torch.Tensor,
    directions: torch.Tensor,
    views: Views,
    prior: ViewPrior,
    rounds: int,
) -> tuple[torch.Tensor, Views, torch.Tensor]:
    """Cameras, and how far points [T,N,3] lie from where they were thought, that leave pictures least at odds.

    directions [T,N,3,G]: metres in the world per standard deviation of what may be wrong about the head; since that
    includes its place, all cameras are free. Returns the places, the cameras and their covariance [7C,7C].
    """
    count, damping = directions.shape[-1], DAMPING
    # Form and cameras' steps, and what is expected of each: the focal lengths' part is the prior's.
    moved = torch.zeros(count + VIEW * len(views.viewmats), dtype=torch.float64)
    camera = [TURN_SPREAD] * 3 + [ACROSS_SPREAD] * 2 + [ALONG_SPREAD, torch.inf]
    camera = torch.tensor(camera, dtype=torch.float64)
    calm = torch.cat([torch.ones(count, dtype=torch.float64), camera.repeat(len(views.viewmats)) ** -2])

    def cost(moved: torch.Tensor, views: Views) -> float:
        expected = prior.cost(views) + 0.5 * float(calm @ moved.square())
        return seen.cost(places + directions @ moved[:count], views) + expected

    lowest = cost(moved, views)
    for _ in range(rounds):
        system = _system(seen, places + directions @ moved[:count], directions, views, prior)
        system.corner += torch.diag(calm)
        system.shared_gradient += calm * moved
        before = lowest
        for _attempt in range(8):
            corner = system.corner + torch.diag(damping * system.corner.diagonal() + 1e-9)
            step = -torch.linalg.solve(corner, system.shared_gradient)
            candidate = moved + step, views.moved(step[count:].reshape(-1, VIEW))
            trial = cost(*candidate)
            if trial < lowest:
                (moved, views), lowest, damping = candidate, trial, max(damping * 0.2, 1e-9)
                break
            damping *= 8
        if before - lowest <= 1e-4 * before:
            break
    covariance = torch.linalg.inv(system.corner)[count:, count:]
    return places + directions @ moved[:count], views, covariance


def _system(
    seen: CrossView,
    places: torch.Tensor,
    directions: torch.Tensor,
    views: Views,
    prior: ViewPrior,
) -> SequenceSystem:
    """Normal equations of pictures and focal lengths: form, then seven unknowns of each camera."""
    moments, _, _, count = directions.shape
    moments, _, _, count = directions.shape
    system = SequenceSystem.zeros(moments, 0, count + VIEW * len(views.viewmats))
    at = slice(count)
    for t in range(moments):
        evidence, columns = seen.evidence(places, views, t), directions[t : t + 1]
        add_views(system, evidence, columns, slice(t, t + 1), 0, count)
        for weights, slopes, residuals in zip(
            evidence.weights[:, 0], evidence.by_point[:, 0], evidence.residuals[:, 0], strict=True
        ):
            pull = weights[:, None, None] * slopes
            curvature = pull.transpose(1, 2) @ slopes
            flat = columns[0].flatten(0, 1)
            system.corner[at, at] += flat.T @ (curvature @ columns[0]).flatten(0, 1)
            system.shared_gradient[at] += flat.T @ (pull * residuals[..., None]).sum(1).flatten()
    add_view_prior(system, prior, views, count)
    return system


def _squared(residual: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Squared strays [T,N] of the cameras together."""
    return (residual.square().sum(-1) * weights).sum(0)


def _stray(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Values [C,T,N,K] less their mean over cameras, weighted by [C,T,N]."""
    weights = weights[..., None]
    return values - (weights * values).sum(0) / weights.sum(0).clamp_min(1e-12)
