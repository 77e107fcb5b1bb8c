"""Pose, expression and shape of a head over a sequence: damped Gauss-Newton on all frames at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams, Identity
from emoga.kernels import torch_on_one_thread
from emoga.optimize.solving_points import Layout, SurfacePoints
from emoga.optimize.solving_priors import Priors, PriorWeights, growth
from emoga.optimize.solving_state import VIEW, State
from emoga.optimize.solving_system import SequenceSystem
from emoga.optimize.solving_views import (
    ViewPrior,
    add_view_prior,
    add_views,
    add_views_to_offsets,
)
from emoga.threads import in_order

CHUNK_NUMBERS = 8_000_000  # float64 values in one block of derivatives
PLACED = 16  # values of a coordinate in the making where there are no derivatives
FOCAL = 1  # unknowns of the camera: the logarithm of one focal length


class Term(Protocol):
    """Evidence about surface points: quadratic in the points' positions and the logarithm of the focal."""

    points: SurfacePoints

    def cost(self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State) -> float:
        """Cost of points [t,N,3] on heads turned by [t,3,3]."""
        ...

    def quadratic(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Curvature [t,N,4,4] and gradient [t,N,4] in (x, y, z, log focal)."""
        ...


@dataclass
class Problem:
    """A head, evidence, and what is free.

    terms: evidence, the landmark term first; warp_basis [H,V,3] metres per standard deviation of smooth
    offsets beyond the shape basis; solve_shape frees shape, warp and, where offset_spread [L] (metres) is
    given, the first term's offsets. solve_focal frees the focal length, with focal_spread its prior's spread
    in log units around 0 and distance_prior an extra (metres, spread in log units) on the head's distance.
    solve_expression frees units, but held_units, and jaw besides the pose of head and neck and the gaze; only_units,
    where there are any, frees nothing of motion but these units.
    fixed [T]: frames that only say what their neighbours should be near to. view_prior frees the state's views, of
    which the first stays where it is, on the evidence of the first term. size_spread: by how much, in log units, the
    face may be larger than the template's; a camera that is not known cannot tell a large head from a near one, and
    would do so by what the derivatives leave out (units that grow with the head).
    """

    head: Head
    terms: Sequence[Term]
    weights: PriorWeights
    gaps: torch.Tensor
    warp_basis: torch.Tensor
    depth_axis: torch.Tensor | None = None
    solve_shape: bool = True
    solve_focal: bool = False
    focal_spread: float = 0.35
    camera_origin: torch.Tensor | None = None
    distance_prior: tuple[float, float] | None = None
    offset_spread: torch.Tensor | None = None
    fixed: torch.Tensor | None = None
    solve_expression: bool = True
    held_units: Collection[int] = ()
    only_units: Collection[int] = ()
    view_prior: ViewPrior | None = None
    size_spread: float | None = None
    layout: Layout = field(init=False)
    growth: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.head)
        self._basis = torch.cat([self.head.shape_basis, self.warp_basis]) if self.solve_shape else None
        self.growth = growth(self.head, self._basis, self.size_spread, self.form)

    @property
    def form(self) -> int:
        """Number of unknowns of the rest mesh: shape and warp."""
        return len(self.head.shape_names) + len(self.warp_basis)

    @property
    def before_views(self) -> int:
        """Number of unknowns shared by all frames but cameras: shape, warp, log focal, then offsets if free."""
        return self.form + FOCAL + (0 if self.offset_spread is None else 3 * len(self.offset_spread))

    def shared(self, state: State) -> int:
        """Number of unknowns shared by all frames: those before the views, then seven for each of these."""
        return self.before_views + (0 if self.view_prior is None else VIEW * len(state.views.viewmats))

    @property
    def free(self) -> torch.Tensor:
        """bool [P]: unknowns of a frame that may move."""
        layout = self.layout
        units = torch.tensor([unit not in self.held_units for unit in layout.units])
        if self.only_units:
            units = torch.tensor([unit in self.only_units for unit in layout.units])
        free = torch.full((layout.count,), not self.only_units)
        free[layout.expr] = units & self.solve_expression
        free[layout.jaw] &= self.solve_expression
        return free

    def identity(self, state: State) -> Identity:
        """The person a state describes."""
        return self.head.identify(state.params.shape, static_offset(self.warp_basis, state.warp))


def static_offset(basis: torch.Tensor, warp: torch.Tensor) -> torch.Tensor | None:
    """Offsets [V,3] of warp coefficients, or None when there are none."""
    return torch.tensordot(warp, basis, 1) if len(warp) else None


def solve(
    problem: Problem,
    state: State,
    rounds: int,
    tolerance: float = 1e-4,
    on_round: Callable[[int, float], None] | None = None,
) -> tuple[State, SequenceSystem]:
    """Minimise for at most `rounds` accepted steps; returns the state and the last undamped system."""
    # Only the matrices of a form that all frames share are so large that several threads help with them.
    with nullcontext() if problem.solve_shape else torch_on_one_thread():
        return _solve(problem, state, rounds, tolerance, on_round)


def _solve(
    problem: Problem,
    state: State,
    rounds: int,
    tolerance: float,
    on_round: Callable[[int, float], None] | None,
) -> tuple[State, SequenceSystem]:
    damping, identity = 1e-3, problem.identity(state)
    priors = _priors(problem, identity)
    cost = total_cost(problem, priors, identity, state)
    system = SequenceSystem.zeros(1, 1, 1)
    for number in range(rounds):
        system = build(problem, priors, identity, state)
        held = _held(problem, state, system)
        before = cost
        for _attempt in range(6):
            steps, shared = system.frozen(*held).damped(damping).solve()
            candidate = _stepped(problem, state, steps, shared)
            moved = problem.identity(candidate) if problem.solve_shape else identity
            trial = total_cost(problem, priors, moved, candidate)
            if trial < cost:
                state, identity, cost = candidate, moved, trial
                damping = max(damping * 0.2, 1e-6)
                break
            damping *= 8
        if on_round:
            on_round(number + 1, cost)
        if before - cost <= tolerance * abs(before):
            break
    return state, system


def build(problem: Problem, priors: Priors, identity: Identity, state: State) -> SequenceSystem:
    """Normal equations of all terms and priors around a state."""
    params, layout = state.params, problem.layout
    system = SequenceSystem.zeros(params.frames, layout.count, problem.shared(state))
    rest = problem.offset_spread is not None or problem.view_prior is not None

    def looked(one: tuple[Term, slice]) -> tuple[Term, _Evidence]:
        term, frames = one
        keep = rest and term is problem.terms[0]
        return term, _evidence(problem, term, identity, state, frames, keep)

    for term, found in in_order(
        _parts(problem, params.frames, int(problem.free.sum()) + problem.form), looked
    ):
        _accumulate(problem, system, found)
        if found.moved is not None:
            _accumulate_rest(problem, system, term, found.frames, found.moved, state)
    priors.add(system, layout.values(params), _turns_between(params))
    _add_shared_priors(problem, state, system)
    return system


@dataclass(frozen=True)
class _Moved:
    """What a term says of N points in t frames, and how W unknowns move them.

    places [t,N,3], turns [t,3,3] of the head, columns [t,N,3,W], curvature [t,N,4,4] and gradient [t,N,4].
    """

    places: torch.Tensor
    turns: torch.Tensor
    columns: torch.Tensor
    curvature: torch.Tensor
    gradient: torch.Tensor


@dataclass(frozen=True)
class _Evidence:
    """What a term says of t frames: curvature and gradient of its points, projected on the W unknowns that move them.

    free [F]: those of a frame's own unknowns among these, which come first. full [t,W,W], slope [t,W], mixed [t,W] with
    the log focal, which has `focal` (curvature and gradient) of its own.
    moved: the points themselves, only where more than these unknowns depends on them.
    """

    frames: slice
    free: torch.Tensor
    full: torch.Tensor
    slope: torch.Tensor
    mixed: torch.Tensor
    focal: tuple[torch.Tensor, torch.Tensor]
    moved: _Moved | None


def _evidence(
    problem: Problem, term: Term, identity: Identity, state: State, frames: slice, keep: bool
) -> _Evidence:
    part = state.params.select(frames)
    free = torch.nonzero(torch.ones_like(problem.free) if keep else problem.free)[:, 0]
    places, columns = term.points.jacobian(identity, part, problem._basis, free.tolist())
    turns = axis_angle_to_matrix(part.rotation)
    curvature, gradient = term.quadratic(places, turns, frames, state)
    count, width = columns.shape[0], columns.shape[-1]
    flat = columns.reshape(count, -1, width)
    weighted = (curvature[..., :3, :3] @ columns).reshape(count, -1, width)
    return _Evidence(
        frames,
        free,
        flat.transpose(1, 2) @ weighted,
        (flat.transpose(1, 2) @ gradient[..., :3].reshape(count, -1, 1))[..., 0],
        (flat.transpose(1, 2) @ curvature[..., :3, 3].reshape(count, -1, 1))[..., 0],
        (curvature[..., 3, 3].sum(), gradient[..., 3].sum()),
        _Moved(places, turns, columns, curvature, gradient) if keep else None,
    )


def total_cost(problem: Problem, priors: Priors, identity: Identity, state: State) -> float:
    """What `solve` minimises."""
    params = state.params

    def cost(one: tuple[Term, slice]) -> float:
        term, frames = one
        part = params.select(frames)
        places, turns = term.points.place(identity, part), axis_angle_to_matrix(part.rotation)
        return term.cost(places, turns, frames, state)

    total = sum(in_order(_parts(problem, params.frames, PLACED), cost))
    total += priors.cost(problem.layout.values(params), _turns_between(params))
    strength = 0.5 / problem.weights.shape**2
    total += strength * float((params.shape**2).sum() + (state.warp**2).sum())
    total += 0.5 * float(problem.growth @ torch.cat([params.shape, state.warp])) ** 2
    # Not where views are solved for too: cameras then come out no better, and a little worse turned.
    if problem.offset_spread is not None and problem.view_prior is None:
        total += 0.5 * float((state.offsets / problem.offset_spread[:, None]).square().sum())
    if problem.solve_focal:
        total += 0.5 * float(state.log_focal / problem.focal_spread) ** 2
        total += _distance_cost(problem, params)
    if problem.view_prior is not None:
        total += problem.view_prior.cost(state.views)
    return total


def _priors(problem: Problem, identity: Identity) -> Priors:
    return Priors(
        problem.head, identity, problem.weights, problem.gaps, problem.depth_axis, problem.solve_shape
    )


def _parts(problem: Problem, frames: int, width: int) -> list[tuple[Term, slice]]:
    """Terms and chunks of frames to look at one by one, whose derivatives by `width` unknowns fit into memory."""
    parts = []
    for term in problem.terms:
        size = max(1, CHUNK_NUMBERS // (term.points.count * 3 * width * 3))
        parts += [(term, slice(start, min(start + size, frames))) for start in range(0, frames, size)]
    return parts


def _accumulate(problem: Problem, system: SequenceSystem, found: _Evidence) -> None:
    """Add what a term says of pose, expression, form and focal length."""
    frames, free, own = found.frames, found.free, len(found.free)
    form, focal = slice(0, problem.form), problem.form
    system.diagonal[frames][:, free[:, None], free] += found.full[:, :own, :own]
    system.gradient[frames][:, free] += found.slope[:, :own]
    system.border[frames][:, free, focal] += found.mixed[:, :own]
    system.corner[focal, focal] += found.focal[0]
    system.shared_gradient[focal] += found.focal[1]
    if found.slope.shape[-1] > own:
        system.border[frames][:, free, form] += found.full[:, :own, own:]
        system.corner[form, form] += found.full[:, own:, own:].sum(0)
        system.corner[form, focal] += found.mixed[:, own:].sum(0)
        system.corner[focal, form] += found.mixed[:, own:].sum(0)
        system.shared_gradient[form] += found.slope[:, own:].sum(0)


def _accumulate_rest(
    problem: Problem, system: SequenceSystem, term: Term, frames: slice, found: _Moved, state: State
) -> None:
    """Add what the landmark term says of the detector's offsets and of the views."""
    if problem.offset_spread is not None:
        _accumulate_offsets(problem, system, frames, found)
    if problem.view_prior is not None:
        evidence = term.by_views(found.places, found.turns, frames, state)
        first = problem.before_views
        add_views(system, evidence, found.columns, frames, problem.layout.count, first)
        if problem.offset_spread is not None:
            offsets = slice(problem.form + FOCAL, first)
            add_views_to_offsets(system, evidence, found.turns, offsets, first)


def _accumulate_offsets(problem: Problem, system: SequenceSystem, frames: slice, found: _Moved) -> None:
    """Add the offsets [L,3], each of which moves one landmark by the head's turn."""
    columns, curvature, gradient, turns = found.columns, found.curvature, found.gradient, found.turns
    own, first = problem.layout.count, problem.form + FOCAL
    count, landmarks = columns.shape[:2]
    offsets = slice(first, first + 3 * landmarks)
    turned = curvature[..., :3, :3] @ turns[:, None]
    coupling = (columns.transpose(-1, -2) @ turned).transpose(1, 2).reshape(count, -1, 3 * landmarks)
    system.border[frames, :, offsets] += coupling[:, :own]
    blocks = (turns[:, None].transpose(-1, -2) @ turned).sum(0)
    at = first + torch.arange(3 * landmarks).reshape(landmarks, 3)
    system.corner[at[:, :, None], at[:, None, :]] += blocks
    system.shared_gradient[offsets] += (gradient[:, :, None, :3] @ turns[:, None]).sum(0).reshape(-1)
    cross = torch.cat([coupling[:, own:].sum(0), _focal_coupling(curvature, turns)[None]])
    rows = torch.cat([torch.arange(columns.shape[-1] - own), torch.tensor([problem.form])])
    system.corner[rows, offsets] += cross
    system.corner[offsets, rows] += cross.T


def _focal_coupling(curvature: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    return (curvature[:, :, None, 3, :3] @ turns[:, None]).sum(0).reshape(-1)


def _add_shared_priors(problem: Problem, state: State, system: SequenceSystem) -> None:
    precision, values = _shared_prior(problem, state)
    before = slice(len(values))
    system.corner[before, before] += torch.diag(precision)
    system.shared_gradient[before] += precision * values
    form = slice(problem.form)
    system.corner[form, form] += torch.outer(problem.growth, problem.growth)
    system.shared_gradient[form] += problem.growth * (problem.growth @ values[form])
    if problem.view_prior is not None:
        add_view_prior(system, problem.view_prior, state.views, len(values))
    if problem.solve_focal and problem.distance_prior is not None:
        slope, curvature = _distance_slope(problem, state.params)
        system.gradient[:, 3:6] += slope
        system.diagonal[:, 3:6, 3:6] += curvature


def _shared_prior(problem: Problem, state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Precisions and values of the shared unknowns before the views; their priors are all centred on zero."""
    form = torch.full((problem.form,), 1 / problem.weights.shape**2, dtype=torch.float64)
    focal = torch.tensor([1 / problem.focal_spread**2], dtype=torch.float64)
    parts, values = [form, focal], [state.params.shape, state.warp, state.log_focal[None]]
    if problem.offset_spread is not None:
        parts.append((1 / problem.offset_spread**2).repeat_interleave(3))
        values.append(state.offsets.reshape(-1))
    return torch.cat(parts), torch.cat(values)


def _distance_log(problem: Problem, params: HeadParams) -> torch.Tensor:
    """Logarithm of the head's depth over the prior's [T]."""
    depth = (params.translation - problem.camera_origin) @ problem.depth_axis
    return torch.log(depth.clamp_min(0.05) / problem.distance_prior[0])


def _distance_cost(problem: Problem, params: HeadParams) -> float:
    if problem.distance_prior is None:
        return 0.0
    # One opinion for the clip, not one per frame.
    return float(0.5 * (_distance_log(problem, params) / problem.distance_prior[1]).square().mean())


def _distance_slope(problem: Problem, params: HeadParams) -> tuple[torch.Tensor, torch.Tensor]:
    axis, spread = problem.depth_axis, problem.distance_prior[1]
    depth = ((params.translation - problem.camera_origin) @ axis).clamp_min(0.05)[:, None]
    strength = 1 / (spread**2 * params.frames)
    slope = strength * _distance_log(problem, params)[:, None] / depth * axis
    return slope, strength / depth[..., None] ** 2 * axis[:, None] * axis[None, :]


def _held(problem: Problem, state: State, system: SequenceSystem) -> tuple[torch.Tensor, torch.Tensor]:
    """Unknowns that may not move: units at a bound that want to leave it, and shared ones not solved for."""
    layout = problem.layout
    held = torch.zeros_like(system.gradient, dtype=torch.bool)
    units = state.params.expr[:, list(layout.units)]
    slope, (low, high) = system.gradient[:, layout.expr], layout.limits
    held[:, layout.expr] = ((units <= low) & (slope > 0)) | ((units >= high) & (slope < 0))
    held |= ~problem.free
    if problem.fixed is not None:
        held |= problem.fixed[:, None]
    shared = torch.zeros(problem.shared(state), dtype=torch.bool)
    shared[: problem.form] = not problem.solve_shape
    shared[problem.form] = not problem.solve_focal
    shared[problem.before_views :][: VIEW - 1] = True  # the world is where the first view says
    return held, shared


def _stepped(problem: Problem, state: State, steps: torch.Tensor, shared: torch.Tensor) -> State:
    count, form = len(problem.head.shape_names), problem.form
    params = problem.layout.moved(state.params, steps)
    params = replace(params, shape=state.params.shape + shared[:count])
    offsets = state.offsets
    if problem.offset_spread is not None:
        offsets = offsets + shared[form + FOCAL : problem.before_views].reshape(-1, 3)
    views = state.views
    if problem.view_prior is not None:
        views = views.moved(shared[problem.before_views :].reshape(-1, VIEW))
    return State(params, state.warp + shared[count:form], offsets, state.log_focal + shared[form], views)


def _turns_between(params: HeadParams) -> torch.Tensor:
    """World-frame turns [T-1,3] from each frame's head to the next one's."""
    turn = axis_angle_to_matrix(params.rotation)
    return matrix_to_axis_angle(turn[1:] @ turn[:-1].transpose(1, 2))
