"""Unknown cameras from films of a moving head: what each view follows over time moves as one head before all of them.

A place is followed within one view only, against its own picture at other moments. Where exactly it lies on the head
is its own unknown, so that nothing need be known of the head's form, nor found again in another view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.geometry import axis_angle_to_matrix, skew
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_state import VIEW, Views
from emoga.optimize.solving_views import ViewPrior, camera_slopes

POSE = 6  # unknowns of a head's pose: turn about its origin, shift
DAMPING = 1e-9
ENOUGH = 1e-6  # share of the cost below which a round's gain is none


@dataclass(frozen=True)
class Followed:
    """N places that one camera follows over T moments.

    places [T,N,3]: where they are thought to be in the world; columns [T,N,3,E]: how the unknowns of each moment's
    expression move them; turns [T,3,3] of the head; allowed [N,3,3]: precision, in 1/metre², of where on the head they
    lie; observed [T,N,2] pixels; information [T,N,2,2] in 1/pixel², zero where a place is not seen.
    """

    places: torch.Tensor
    columns: torch.Tensor
    turns: torch.Tensor
    allowed: torch.Tensor
    observed: torch.Tensor
    information: torch.Tensor


@dataclass(frozen=True)
class Motion:
    """What is solved beside the cameras: turns [T,3,3] and shifts [T,3] after where heads were thought to be,
    expression [T,E] beside the one thought, and per view where its places lie [N,3] on the head, in metres.
    """

    turns: torch.Tensor
    shifts: torch.Tensor
    expression: torch.Tensor
    offsets: list[torch.Tensor]

    def places(self, seen: Followed, view: int, origins: torch.Tensor) -> torch.Tensor:
        """The places [T,N,3] of a view, before heads that turn about origins [T,3]."""
        there = seen.places + self.offsets[view] @ seen.turns.mT
        there = there + (seen.columns @ self.expression[:, None, :, None])[..., 0]
        return (there - origins[:, None]) @ self.turns.mT + (origins + self.shifts)[:, None]


@dataclass(frozen=True)
class Film:
    """Everything C cameras follow, and what is expected.

    seen: per camera; origins [T,3] of the heads; Ks [C,3,3]; calm [E]: precision of each unknown of expression; share:
    what a place counts of one that errs by itself; places further off than `robust` standard deviations lose their
    say.
    """

    seen: list[Followed]
    origins: torch.Tensor
    Ks: torch.Tensor
    calm: torch.Tensor
    share: float
    robust: float = 2.5

    @property
    def own(self) -> int:
        """Unknowns of each moment."""
        return POSE + len(self.calm)

    @property
    def before_views(self) -> int:
        """Unknowns of all moments; those of the cameras follow."""
        return len(self.origins) * self.own

    def still(self) -> Motion:
        """Heads where they were thought to be."""
        count = len(self.origins)
        return Motion(
            torch.eye(3, dtype=torch.float64).repeat(count, 1, 1),
            torch.zeros(count, 3, dtype=torch.float64),
            torch.zeros(count, len(self.calm), dtype=torch.float64),
            [torch.zeros(seen.places.shape[1], 3, dtype=torch.float64) for seen in self.seen],
        )

    def cost(self, motion: Motion, views: Views, prior: ViewPrior) -> float:
        """Robust cost (Cauchy) with all that is expected."""
        total = 0.5 * (self.calm * motion.expression.square()).sum() + prior.cost(views)
        for view, seen in enumerate(self.seen):
            pixels = _pixels(motion.places(seen, view, self.origins), views, self.Ks, view)
            squared = _squared(pixels - seen.observed, seen.information)
            total = total + 0.5 * self.share * self.robust**2 * torch.log1p(squared / self.robust**2).sum()
            offsets = motion.offsets[view][..., None]
            total = total + 0.5 * (offsets.mT @ seen.allowed @ offsets).sum()
        return float(total)


@dataclass(frozen=True)
class _Eliminated:
    """What the places of one view leave to say of themselves once all else is known: factor [N,3,3], load [N,3,U] and
    push [N,3] of their offsets.
    """

    factor: torch.Tensor
    load: torch.Tensor
    push: torch.Tensor

    def step(self, others: torch.Tensor) -> torch.Tensor:
        """Steps [N,3] of the offsets, given those [U] of all others."""
        right = self.push + self.load @ others
        return -torch.linalg.solve_triangular(self.factor.mT, right[..., None], upper=True)[..., 0]


def solve_film(film: Film, views: Views, prior: ViewPrior, rounds: int) -> tuple[Motion, Views, torch.Tensor]:
    """Heads, cameras and the covariance [C,C] of their log focal lengths; the first camera stays where it is."""
    motion, damping = film.still(), DAMPING
    lowest = film.cost(motion, views, prior)
    for _ in range(rounds):
        curvature, gradient, eliminated = _system(film, motion, views, prior)
        before = lowest
        for _attempt in range(6):
            damped = curvature + torch.diag(damping * curvature.diagonal())
            factor, failed = torch.linalg.cholesky_ex(damped)
            if failed:
                damping = max(damping, DAMPING) * 10
                continue
            step = -torch.cholesky_solve(gradient[:, None], factor)[:, 0]
            candidate = _moved(film, motion, step, eliminated), _moved_views(film, views, step)
            trial = film.cost(*candidate, prior)
            if trial < lowest:
                (motion, views), lowest, damping = candidate, trial, max(damping * 0.1, 1e-13)
                break
            damping *= 10
        if before - lowest <= ENOUGH * before:
            break
    focals = film.before_views + VIEW * torch.arange(len(film.seen)) + VIEW - 1
    asked = torch.zeros(len(curvature), len(focals), dtype=torch.float64)
    asked[focals, torch.arange(len(focals))] = 1
    return motion, views, torch.cholesky_solve(asked, torch.linalg.cholesky(curvature))[focals]


def _system(
    film: Film, motion: Motion, views: Views, prior: ViewPrior
) -> tuple[torch.Tensor, torch.Tensor, list[_Eliminated]]:
    """Curvature [U,U] and gradient [U] in the unknowns of moments, then of cameras, places' offsets eliminated."""
    first, own, count = film.before_views, film.own, len(film.origins)
    unknowns = first + VIEW * len(film.seen)
    curvature = torch.zeros(unknowns, unknowns, dtype=torch.float64)
    gradient = torch.zeros(unknowns, dtype=torch.float64)
    eliminated = []
    for view, seen in enumerate(film.seen):
        there = motion.places(seen, view, film.origins)
        residual = _pixels(there, views, film.Ks, view) - seen.observed
        weight = (
            film.share
            * seen.information
            / (1 + _squared(residual, seen.information) / film.robust**2)[..., None, None]
        )
        by_moment, by_camera, by_offset = _slopes(film, motion, views, view, there)
        at = slice(first + VIEW * view, first + VIEW * (view + 1))
        pull = weight @ by_offset
        load = torch.zeros(there.shape[1], 3, unknowns, dtype=torch.float64)
        load[..., :first] = (pull.mT @ by_moment).permute(1, 2, 0, 3).flatten(2)
        load[..., at] = (pull.mT @ by_camera).sum(0)
        _add_moments(curvature, gradient, by_moment, by_camera, weight, residual, at)
        push = (pull.mT @ residual[..., None]).sum(0)[..., 0]
        push = push + (seen.allowed @ motion.offsets[view][..., None])[..., 0]
        factor = torch.linalg.cholesky((by_offset.mT @ pull).sum(0) + seen.allowed)
        load = torch.linalg.solve_triangular(factor, load, upper=False)
        push = torch.linalg.solve_triangular(factor, push[..., None], upper=False)[..., 0]
        flat = load.flatten(0, 1)
        curvature -= flat.T @ flat
        gradient -= flat.T @ push.flatten()
        eliminated.append(_Eliminated(factor, load, push))
    expression = own * torch.arange(count)[:, None] + POSE + torch.arange(len(film.calm))
    curvature[expression, expression] += film.calm
    gradient[expression] += film.calm * motion.expression
    focals = first + VIEW * torch.arange(len(film.seen)) + VIEW - 1
    precision = prior.precision()
    curvature[focals[:, None], focals] += precision
    gradient[focals] += precision @ prior.values(views)
    held = torch.arange(first, first + VIEW - 1)  # the first camera says where the world is
    curvature[held], curvature[:, held], gradient[held] = 0, 0, 0
    curvature[held, held] = 1
    # A moment in which nothing is seen stays as it is.
    curvature.diagonal().add_(1e-6)
    for part in eliminated:
        part.load[..., held] = 0
    return curvature, gradient, eliminated


def _slopes(
    film: Film, motion: Motion, views: Views, view: int, there: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Derivatives of a view's pixels by the unknowns of the moments [T,N,2,P], the camera [T,N,2,7] and the offsets."""
    seen, one = film.seen[view], slice(view, view + 1)
    viewmat, K = views.viewmats[one], views.focused(film.Ks)[one]
    by_place = project(there, viewmat, K, 0.0, derivatives=True)[1][0, ..., :3]
    arm = there - (film.origins + motion.shifts)[:, None]
    by_moment = torch.cat(
        [by_place @ -skew(arm), by_place, (by_place @ motion.turns[:, None]) @ seen.columns], -1
    )
    by_camera = camera_slopes(there, Views(viewmat, views.log_focals[one]), film.Ks[one])[0]
    return by_moment, by_camera, by_place @ (motion.turns @ seen.turns)[:, None]


def _add_moments(
    curvature: torch.Tensor,
    gradient: torch.Tensor,
    by_moment: torch.Tensor,
    by_camera: torch.Tensor,
    weight: torch.Tensor,
    residual: torch.Tensor,
    at: slice,
) -> None:
    """Add what one view says of each moment and of its camera, whose unknowns are `at`."""
    own = by_moment.shape[-1]
    for t in range(len(by_moment)):
        here, moment = slice(own * t, own * (t + 1)), by_moment[t].flatten(0, 1)
        weighted = (weight[t] @ by_camera[t]).flatten(0, 1)
        curvature[here, here] += moment.T @ (weight[t] @ by_moment[t]).flatten(0, 1)
        crossed = moment.T @ weighted
        curvature[here, at] += crossed
        curvature[at, here] += crossed.T
        curvature[at, at] += by_camera[t].flatten(0, 1).T @ weighted
        pushed = (weight[t] @ residual[t][..., None]).flatten()
        gradient[here] += moment.T @ pushed
        gradient[at] += by_camera[t].flatten(0, 1).T @ pushed


def _moved(film: Film, motion: Motion, step: torch.Tensor, eliminated: list[_Eliminated]) -> Motion:
    moments = step[: film.before_views].reshape(len(film.origins), film.own)
    return replace(
        motion,
        turns=axis_angle_to_matrix(moments[:, :3]) @ motion.turns,
        shifts=motion.shifts + moments[:, 3:POSE],
        expression=motion.expression + moments[:, POSE:],
        offsets=[offset + part.step(step) for offset, part in zip(motion.offsets, eliminated, strict=True)],
    )


def _moved_views(film: Film, views: Views, step: torch.Tensor) -> Views:
    return views.moved(step[film.before_views :].reshape(-1, VIEW))


def _pixels(places: torch.Tensor, views: Views, Ks: torch.Tensor, view: int) -> torch.Tensor:
    """Pixels [T,N,2] of places before one camera."""
    one = slice(view, view + 1)
    return project(places, views.viewmats[one], views.focused(Ks)[one], 0.0)[0][0]


def _squared(residual: torch.Tensor, information: torch.Tensor) -> torch.Tensor:
    """Squared residuals [T,N] in standard deviations."""
    return (residual[..., None, :] @ information @ residual[..., None])[..., 0, 0]
