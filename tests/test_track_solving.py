"""The tracker's parts: normal equations, surface points, landmark evidence, priors, smooth offsets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from emoga.camera import look_at, stack_cameras
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head, HeadParams
from emoga.optimize.solving import FOCAL, Problem, build, total_cost
from emoga.optimize.solving_landmarks import LandmarkTerm, facing, project
from emoga.optimize.solving_points import SurfacePoints, restricted
from emoga.optimize.solving_priors import Priors, PriorWeights, growth, unit_motion
from emoga.optimize.solving_state import State
from emoga.optimize.solving_system import SequenceSystem
from emoga.optimize.solving_warp import smooth_modes

FRAMES = 3


@pytest.fixture(scope="module")
def params(head: Head) -> HeadParams:
    """A person talking, blinking, looking about and turning."""
    generator = torch.Generator().manual_seed(3)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    params = HeadParams.zeros(head, FRAMES, torch.float64)
    params.shape = 0.5 * draw(len(head.shape_names))
    params.expr = 0.05 + 0.4 * torch.rand(
        FRAMES, len(head.expr_names), generator=generator, dtype=torch.float64
    )
    params.expr[:, head.gaze_units] = 0
    params.rotation, params.translation = 0.3 * draw(FRAMES, 3), 0.05 * draw(FRAMES, 3)
    params.neck, params.eyes = 0.1 * draw(FRAMES, 3), 0.1 * draw(FRAMES, 6)
    params.eyes[:, [2, 5]] = 0
    params.jaw[:, 1:] = 0.03 * draw(FRAMES, 2)
    return params


@pytest.fixture(scope="module")
def points(head: Head) -> SurfacePoints:
    chosen = torch.nonzero(head.regions["face"][head.faces].all(1))[::97, 0]
    weights = torch.rand(len(chosen), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return SurfacePoints(head, head.faces[chosen], weights / weights.sum(1, keepdim=True))


def test_sequence_system_solves_like_one_dense_matrix():
    generator = torch.Generator().manual_seed(0)
    frames, own, shared = 4, 3, 2
    size = frames * own + shared
    system = SequenceSystem.zeros(frames, own, shared)
    dense = torch.zeros(size, size, dtype=torch.float64)
    for t in range(frames):
        rows = torch.randn(12, own + shared, generator=generator, dtype=torch.float64)
        product = rows.T @ rows
        at = torch.cat([torch.arange(t * own, (t + 1) * own), torch.arange(frames * own, size)])
        dense[at[:, None], at] += product
        system.diagonal[t] += product[:own, :own]
        system.border[t] += product[:own, own:]
        system.corner += product[own:, own:]
        if t:
            system.diagonal[t] += torch.eye(own)
            system.diagonal[t - 1] += torch.eye(own)
            system.lower[t - 1] -= torch.eye(own)
            now, before = slice(t * own, (t + 1) * own), slice((t - 1) * own, t * own)
            dense[now, now] += torch.eye(own)
            dense[before, before] += torch.eye(own)
            dense[now, before] -= torch.eye(own)
            dense[before, now] -= torch.eye(own)
    gradient = torch.randn(size, generator=generator, dtype=torch.float64)
    system.gradient, system.shared_gradient = gradient[:-shared].reshape(frames, own), gradient[-shared:]
    steps, common = system.solve()
    expected = -torch.linalg.solve(dense, gradient)
    torch.testing.assert_close(torch.cat([steps.flatten(), common]), expected)
    covariance = torch.linalg.inv(dense)[-shared:, -shared:]
    torch.testing.assert_close(system.shared_covariance(), covariance)


def test_frozen_unknowns_do_not_move():
    system = SequenceSystem.zeros(2, 2, 1)
    system.diagonal += torch.eye(2)
    system.corner += 1.0
    system.gradient += 1.0
    system.shared_gradient += 1.0
    held = torch.tensor([[True, False], [False, False]])
    steps, common = system.frozen(held, torch.tensor([True])).solve()
    assert steps[0, 0] == 0 and common[0] == 0
    assert (steps.flatten()[1:] == -1).all()


def test_restricted_identity_poses_like_the_whole(head, params):
    identity = head.identify(params.shape)
    lashes = torch.zeros(len(head.template), dtype=torch.bool)
    lashes[head.lids.lashes] = True
    ids = torch.nonzero(~lashes)[::5, 0]
    motion = [getattr(params, name) for name in ("expr", "rotation", "neck", "jaw", "eyes", "translation")]
    torch.testing.assert_close(restricted(identity, ids).pose(*motion), identity.pose(*motion)[:, ids])


def test_surface_point_derivatives_match_differences(head, params, points):
    identity = head.identify(params.shape)
    places, columns = points.jacobian(identity, params)
    layout, step = points.layout, 1e-6
    for column in range(layout.count):
        move = torch.zeros(FRAMES, layout.count, dtype=torch.float64)
        move[:, column] = step
        moved = points.place(identity, layout.moved(params, move))
        difference = (moved - places) / step
        scale = difference.norm(dim=-1).max().clamp_min(1e-3)
        # Lids that slide over the eyeball bend the motion of a few brow units a little.
        assert (difference - columns[..., column]).norm(dim=-1).max() < 0.05 * scale, column


def test_derivatives_by_a_few_unknowns_are_those_among_all(head, params, points):
    identity, layout = head.identify(params.shape), points.layout
    _, columns = points.jacobian(identity, params, head.shape_basis)
    lids = [layout.expr.start + layout.units.index(head.unit(name)) for name in ("eyeBlinkLeft", "jawOpen")]
    for free in (range(6), lids, [*range(6), *range(layout.neck.start, layout.count)]):
        _, some = points.jacobian(identity, params, head.shape_basis, list(free))
        kept = [*free, *range(layout.count, columns.shape[-1])]
        torch.testing.assert_close(some, columns[..., kept], rtol=1e-9, atol=1e-12)


def test_shape_derivatives_point_where_the_shape_goes(head, params, points):
    _, columns = points.jacobian(head.identify(params.shape), params, head.shape_basis)
    step = 1e-4
    for component in (0, 7, 30):
        shape = params.shape.clone()
        shape[component] += step
        before = points.place(head.identify(params.shape), params)
        difference = ((points.place(head.identify(shape), params) - before) / step).flatten()
        derived = columns[..., points.layout.count + component].flatten()
        # The solver leaves out that units are carried to the new shape, which shows with every unit at work.
        assert torch.nn.functional.cosine_similarity(difference, derived, dim=0) > 0.8, component


@pytest.fixture(scope="module")
def evidence(head, params, points) -> tuple[LandmarkTerm, State, torch.Tensor, torch.Tensor]:
    cameras = [look_at((x, 0, 0.9), (0, 0, 0), 0.4, 200, 200) for x in (-0.3, 0.2)]
    viewmats, Ks = stack_cameras(cameras, dtype=torch.float64)
    state = State(
        params,
        torch.zeros(0, dtype=torch.float64),
        1e-3 * torch.ones(points.count, 3, dtype=torch.float64),
        torch.tensor(0.1, dtype=torch.float64),
    )
    places = points.place(head.identify(params.shape), params)
    turns = axis_angle_to_matrix(params.rotation)
    observed = project(places + 2e-3, viewmats, Ks, 0.0)[0]
    term = LandmarkTerm(points, viewmats, Ks, observed, torch.ones(observed.shape[:3], dtype=torch.float64))
    return term, state, places, turns


def test_landmark_gradient_matches_differences_of_the_cost(evidence):
    term, state, places, turns = evidence
    whole, step = slice(0, FRAMES), 1e-7
    _, gradient = term.quadratic(places, turns, whole, state)
    for frame, point, axis in ((0, 0, 0), (1, 5, 1), (2, 9, 2)):
        ahead, behind = places.clone(), places.clone()
        ahead[frame, point, axis] += step
        behind[frame, point, axis] -= step
        slope = (term.cost(ahead, turns, whole, state) - term.cost(behind, turns, whole, state)) / (2 * step)
        assert slope == pytest.approx(float(gradient[frame, point, axis]), rel=1e-4)
    ahead, behind = (replace(state, log_focal=state.log_focal + sign * 1e-6) for sign in (1, -1))
    slope = (term.cost(places, turns, whole, ahead) - term.cost(places, turns, whole, behind)) / 2e-6
    assert slope == pytest.approx(float(gradient[..., 3].sum()), rel=1e-4)


def test_outliers_lose_their_say(evidence):
    term, state, places, turns = evidence
    far = replace(term, observed=term.observed + 500.0)
    near = term.quadratic(places, turns, slice(0, FRAMES), state)[1].norm()
    assert far.quadratic(places, turns, slice(0, FRAMES), state)[1].norm() < near


def test_the_back_of_a_face_is_not_facing(head, points):
    cameras = [look_at((0, 0, 1.0), (0, 0, 0), 0.4, 64, 64), look_at((0, 0, -1.0), (0, 0, 0), 0.4, 64, 64)]
    viewmats, _ = stack_cameras(cameras, dtype=torch.float64)
    rims = torch.zeros(points.count, dtype=torch.bool)
    cosines = facing(head, points, head.template[None], viewmats, rims)
    assert cosines[0].mean() > 0.4
    assert cosines[1].mean() < -0.4


def test_units_are_measured_in_millimetres_of_motion(head):
    motion = unit_motion(head, head.identify(torch.zeros(len(head.shape_names), dtype=torch.float64)))
    named = dict(zip(head.expr_names, motion.tolist(), strict=True))
    assert 10 < named["jawOpen"] < 60
    assert named["jawOpen"] > named["eyeBlinkLeft"] > named["eyeLookInLeft"]
    assert min(PriorWeights().expression, PriorWeights().expression_change) > 0.5


def test_lids_may_move_faster_than_anything_else(head):
    person = head.identify(torch.zeros(len(head.shape_names), dtype=torch.float64))
    priors = Priors(head, person, PriorWeights(), torch.tensor([1]), None)
    motion, units = priors.motion, [head.expr_names[unit] for unit in priors.layout.units]
    still = torch.zeros(2, priors.layout.count, dtype=torch.float64)

    def cost_of_a_jump(name: str) -> float:
        moved = still.clone()
        # Forth and back by one millimetre of the unit's own motion: what it costs to be elsewhere cancels.
        moved[1, priors.layout.expr.start + units.index(name)] = 1 / motion[units.index(name)]
        lasting = moved[1:].expand_as(moved)
        turns = torch.zeros(1, 3, dtype=torch.float64)
        return priors.cost(moved, turns) - 0.5 * priors.cost(lasting, turns)

    assert cost_of_a_jump("eyeBlinkLeft") < 0.2 * cost_of_a_jump("browInnerUp")
    assert cost_of_a_jump("eyeBlinkRight") == pytest.approx(cost_of_a_jump("eyeBlinkLeft"))


def test_both_sides_of_a_face_move_alike_unless_they_clearly_do_not(head):
    person = head.identify(torch.zeros(len(head.shape_names), dtype=torch.float64))
    priors = Priors(head, person, PriorWeights(), torch.ones(0), None)
    units = [head.expr_names[unit] for unit in priors.layout.units]
    none = torch.zeros(0, 3, dtype=torch.float64)

    def cost(millimetres: float, *names: str) -> float:
        values = torch.zeros(1, priors.layout.count, dtype=torch.float64)
        for name in names:
            at = units.index(name)
            values[0, priors.layout.expr.start + at] = millimetres / priors.motion[at]
        return priors.cost(values, none)

    def uneven(millimetres: float, name: str) -> float:
        """What moving one side alone costs beyond half of what moving both sides as far does."""
        left, right = f"{name}Left", f"{name}Right"
        return cost(millimetres, left) - cost(millimetres, left, right) / 2

    assert uneven(0.5, "browOuterUp") > 0.3
    # A sneer on one side: of its sixth millimetre next to nothing is held against it.
    assert uneven(6.0, "mouthSmile") - uneven(5.0, "mouthSmile") < uneven(0.5, "mouthSmile")
    for name in ("eyeBlink", "jaw", "mouth"):
        assert uneven(2.0, name) == pytest.approx(0.0, abs=0.05)


def test_priors_cost_what_the_equations_say(head, params):
    person = head.identify(params.shape)
    for form_is_free in (False, True):
        priors = Priors(head, person, PriorWeights(), torch.ones(FRAMES - 1), None, form_is_free=form_is_free)
        values = priors.layout.values(params)
        turns = torch.zeros(FRAMES - 1, 3, dtype=torch.float64)
        system = SequenceSystem.zeros(FRAMES, priors.layout.count, 0)
        priors.add(system, values, turns)
        for frame, column in ((0, 6), (1, 8), (1, 10), (2, 30), (2, priors.layout.eyes.start)):
            step = torch.zeros_like(values)
            step[frame, column] = 1e-6
            slope = (priors.cost(values + step, turns) - priors.cost(values - step, turns)) / 2e-6
            assert float(system.gradient[frame, column]) == pytest.approx(slope, rel=1e-5, abs=1e-4)


def test_smooth_modes_move_neighbours_alike(head):
    modes = smooth_modes(head, 6, 0.03, 1e-3)
    assert modes.shape == (18, len(head.template), 3)
    edges = torch.cat([head.faces[:, [0, 1]], head.faces[:, [1, 2]]])
    edges = edges[head.regions["face"][edges].all(1)]
    jump = (modes[:, edges[:, 0]] - modes[:, edges[:, 1]]).norm(dim=-1).max()
    assert jump < 0.5 * modes.norm(dim=-1).max()
    # On the face each point's offset varies by the spread asked for, or less: only some modes are kept.
    spread = (modes**2).sum(0).sqrt()[head.regions["face"]]
    assert 0.3e-3 < spread.median() < 1.1e-3


def test_growth_tells_how_much_larger_a_face_gets(head):
    face = head.template[head.regions["face"]]
    larger = 0.02 * (head.template - face.mean(0))
    sideways = torch.tensor([0.01, 0.0, 0.0], dtype=torch.float64).expand_as(head.template)
    found = growth(head, torch.stack([larger, sideways]), 0.5, 2)
    torch.testing.assert_close(found, torch.tensor([0.04, 0.0], dtype=torch.float64))
    assert not growth(head, torch.stack([larger]), None, 1).any()


def test_offsets_cost_what_the_equations_say(head, evidence):
    term, state, _, _ = evidence
    warp = torch.zeros(0, len(head.template), 3, dtype=torch.float64)
    spread = torch.full((len(state.offsets),), 2e-3, dtype=torch.float64)
    gaps = torch.ones(FRAMES - 1)
    problem = Problem(head, [term], PriorWeights(), gaps, warp, offset_spread=spread)
    identity = problem.identity(state)
    priors = Priors(head, identity, problem.weights, gaps, None)
    system = build(problem, priors, identity, state)
    for point, axis in ((0, 0), (9, 2)):
        step, costs = torch.zeros_like(state.offsets), []
        for way in (1e-7, -1e-7):
            step[point, axis] = way
            costs.append(total_cost(problem, priors, identity, replace(state, offsets=state.offsets + step)))
        slope = float(system.shared_gradient[problem.form + FOCAL + 3 * point + axis])
        assert (costs[0] - costs[1]) / 2e-7 == pytest.approx(slope, rel=1e-4, abs=1e-2)
