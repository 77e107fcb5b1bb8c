"""The focal length that several unknown cameras share: searched for, since the solver does not find the way there.

A longer lens farther away shows nearly the same picture. Along that valley steps of the solver stall; here cameras
are moved along it by hand, all else solved anew at each place, and costs compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from emoga.optimize.solving_state import State

STEP = 0.1  # of the logarithm of the focal length
FARTHEST = 5  # steps from the first place

Solver = Callable[
    [State, float], tuple[State, float]
]  # from a state and a log focal to the state there and its cost


@dataclass(frozen=True)
class Place:
    """A common log focal length, what it costs, and the state there."""

    log_focal: float
    cost: float
    state: State


def search_focal(state: State, log_focal: float, solve_at: Solver) -> tuple[State, float, float]:
    """The state at the best common focal length, its logarithm, and the uncertainty of that.

    state: solved at `log_focal`, with views.
    """
    solved, cost = solve_at(state, log_focal)
    walked = [Place(log_focal, cost, solved)]
    for way in (STEP, -STEP):
        for _ in range(FARTHEST):
            end = walked[-1] if way > 0 else walked[0]
            at = end.log_focal + way
            solved, cost = solve_at(dollied(end.state, float(np.exp(way))), at)
            found = Place(at, cost, solved)
            walked = [*walked, found] if way > 0 else [found, *walked]
            if cost > end.cost:
                break
        if len(walked) > 2:
            break  # it went down that way, so up behind the start
    best = min(range(len(walked)), key=lambda i: walked[i].cost)
    at, spread = _lowest(walked[max(best - 1, 0) : best + 2])
    start = walked[best]
    solved, _ = solve_at(dollied(start.state, float(np.exp(at - start.log_focal))), at)
    return solved, at, spread


def dollied(state: State, factor: float) -> State:
    """Lenses longer by `factor`, and cameras that much farther from the heads along their own axes."""
    views = state.views
    viewmats = views.viewmats.clone()
    depths = state.params.translation.mean(0) @ viewmats[:, 2, :3].T + viewmats[:, 2, 3]
    viewmats[:, 2, 3] += (factor - 1) * depths
    log_focals = views.log_focals + float(np.log(factor))
    return replace(state, views=replace(views, viewmats=viewmats, log_focals=log_focals))


def _lowest(places: list[Place]) -> tuple[float, float]:
    """Where a parabola through three places is lowest, within half a step of the best, and how sure that is."""
    best = min(places, key=lambda place: place.cost)
    if len(places) < 3:
        return best.log_focal, STEP
    a, b, c = (place.cost for place in places)
    curvature = (a - 2 * b + c) / STEP**2
    if curvature <= 0:
        return best.log_focal, STEP
    shift = -(c - a) / (2 * STEP * curvature)
    return places[1].log_focal + float(np.clip(shift, -STEP / 2, STEP / 2)), float(min(curvature**-0.5, STEP))
