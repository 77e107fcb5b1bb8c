"""Openings of lids and lips as evidence of their own: derivatives, what counts, and what they are good for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from emoga.camera import look_at, stack_cameras
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head, HeadParams
from emoga.optimize.solving import Problem, solve
from emoga.optimize.solving_landmarks import LandmarkTerm, project
from emoga.optimize.solving_openings import OpeningTerm
from emoga.optimize.solving_points import SurfacePoints, landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.tracking.openings import MEDIAPIPE_PAIRS, gaps_of, opening_term

SCHEME, FRAMES = "mediapipe478", 3
WHOLE = slice(0, FRAMES)
MIDDLE = MEDIAPIPE_PAIRS.index((13, 14))


@pytest.fixture(scope="module")
def points(head: Head) -> SurfacePoints:
    return landmark_points(head, SCHEME)


@pytest.fixture(scope="module")
def state(head: Head, points: SurfacePoints) -> State:
    """A head that turns, speaks and blinks, before a detector with habits."""
    params = HeadParams.zeros(head, FRAMES, torch.float64)
    params.rotation = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, -0.2, 0.1]]).double()
    params.translation = torch.tensor([[0.0, 0.0, 0.0], [0.01, 0.02, 0.0], [0.0, 0.0, 0.03]]).double()
    params.expr[:, head.unit("jawOpen")] = torch.tensor([0.0, 0.3, 0.6]).double()
    params.expr[:, head.unit("eyeBlinkLeft")] = torch.tensor([0.2, 0.0, 0.8]).double()
    generator = torch.Generator().manual_seed(5)
    habits = 3e-4 * torch.randn(points.count, 3, generator=generator, dtype=torch.float64)
    none = torch.zeros(0, dtype=torch.float64)
    return State(params, none, habits, torch.zeros((), dtype=torch.float64))


@pytest.fixture(scope="module")
def marks(head: Head, points: SurfacePoints, state: State) -> LandmarkTerm:
    """What an errorless detector sees of it."""
    viewmats, Ks = stack_cameras([look_at((0, 0, 0.7), (0, 0, 0), 0.4, 512, 512)], dtype=torch.float64)
    observed, _ = project(points.place(head.identify(state.params.shape), state.params), viewmats, Ks, 0.0)
    weights = torch.ones(observed.shape[:3], dtype=torch.float64)
    return LandmarkTerm(points, viewmats, Ks, observed, weights)


@pytest.fixture(scope="module")
def term(head: Head, points: SurfacePoints, marks: LandmarkTerm, state: State) -> OpeningTerm:
    places = points.place(head.identify(state.params.shape), state.params)
    return opening_term(gaps_of(points, SCHEME), marks, places, state)


def test_openings_derive_like_their_differences(head, state, term):
    identity, step = head.identify(state.params.shape), 1e-6
    gaps, columns = term.points.jacobian(identity, state.params)
    layout = term.points.layout
    jaw = layout.expr.start + layout.units.index(head.unit("jawOpen"))
    blink = layout.expr.start + layout.units.index(head.unit("eyeBlinkLeft"))
    for column in (0, 1, 2, 3, 4, 5, jaw, blink):
        move = torch.zeros(FRAMES, layout.count, dtype=torch.float64)
        move[:, column] = step
        difference = (term.points.place(identity, layout.moved(state.params, move)) - gaps) / step
        torch.testing.assert_close(difference, columns[..., column], atol=2e-4, rtol=0.02)


def test_openings_gradient_matches_differences_of_the_cost(head, state, term):
    places = term.points.place(head.identify(state.params.shape), state.params) + 1e-3
    turns, step = axis_angle_to_matrix(state.params.rotation), 1e-7
    _, gradient = term.quadratic(places, turns, WHOLE, state)
    for frame, pair, axis in ((0, 0, 0), (1, 5, 1), (2, MIDDLE, 1)):
        ahead, behind = places.clone(), places.clone()
        ahead[frame, pair, axis] += step
        behind[frame, pair, axis] -= step
        slope = (term.cost(ahead, turns, WHOLE, state) - term.cost(behind, turns, WHOLE, state)) / (2 * step)
        assert slope == pytest.approx(float(gradient[frame, pair, axis]), rel=1e-4)
    assert not gradient[..., 3].any()


def test_rims_that_touch_have_no_habit(points, marks, state, head):
    places = points.place(head.identify(state.params.shape), state.params)
    shut = replace(marks, observed=marks.observed.clone())
    shut.observed[:, 0, 14] = shut.observed[:, 0, 13]
    habits = opening_term(gaps_of(points, SCHEME), shut, places, state).habits[:, MIDDLE]
    assert not habits[0].any()
    torch.testing.assert_close(habits[2], state.offsets[13] - state.offsets[14])


def test_openings_of_hidden_rims_say_nothing(points, marks, state, head):
    places = points.place(head.identify(state.params.shape), state.params)
    hidden = replace(marks, weights=marks.weights.clone())
    hidden.weights[:, 1, 14] = 0
    weights = opening_term(gaps_of(points, SCHEME), hidden, places, state).weights[0, :, MIDDLE]
    assert weights[1] == 0 and weights[0] > 0 and weights[2] > 0


def test_lips_open_as_far_as_they_are_seen_to_where_both_rims_are_seen_too_low(head, points, marks, state):
    """A common error of the mouth's points moves the mouth; without openings it would open it as well."""
    low = replace(marks, observed=marks.observed.clone(), weights=marks.weights / 16)
    rims = sorted({point for pair in MEDIAPIPE_PAIRS[6:] for point in pair})
    low.observed[:, :, rims, 1] += 6.0
    plain = replace(state, offsets=torch.zeros_like(state.offsets))
    gaps = torch.full((FRAMES - 1,), 100.0)
    basis = torch.zeros(0, len(head.template), 3, dtype=torch.float64)
    identity = head.identify(state.params.shape)
    truth = gaps_of(points, SCHEME).place(identity, state.params)[:, MIDDLE].norm(dim=-1)
    errors = []
    for with_openings in (False, True):
        places = points.place(identity, plain.params)
        terms = [low, opening_term(gaps_of(points, SCHEME), low, places, plain)][: 1 + with_openings]
        problem = Problem(head, terms, PriorWeights(), gaps, basis, solve_shape=False)
        found = solve(problem, plain, 8)[0].params
        wide = terms[0].points.place(identity, found)[:, [13, 14]].diff(dim=1)[:, 0].norm(dim=-1)
        errors.append((wide - truth).abs().mean())
    assert errors[1] < 0.6 * errors[0]
