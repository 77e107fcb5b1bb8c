"""The stages of a track: rigid poses, shape and focal length from key frames, motion of every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import Landmarks
from emoga.head import Head, HeadParams, Identity
from emoga.optimize.solving import Problem, solve
from emoga.optimize.solving_landmarks import LandmarkTerm, facing, seen_weight
from emoga.optimize.solving_openings import OpeningTerm
from emoga.optimize.solving_points import SurfacePoints, landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.optimize.solving_warp import smooth_modes
from emoga.progress import Reporter, Stage, Step
from emoga.tracking.cuts import find_cuts, gaps_between
from emoga.tracking.inputs import Clip
from emoga.tracking.openings import gaps_of, opening_term
from emoga.tracking.start import USUAL_DISTANCE, rigid_poses
from emoga.tracking.trust import POINT_SPREAD, relative_spread, rims, unusual_spread, vagueness

# Neighbouring points err together, so each counts as a share of an independent one. For the shape the share is
# smaller still: errors that last, or that glide over the face, would be taken for geometry.
SHARED_ERROR, LASTING_ERROR = 0.25, 0.15
OFFSET_SPREAD = 0.8e-3  # metres of a detector's habit at one point
SIZE_SPREAD = 0.003  # of the face's size in log units: of a single unknown camera it is the unit of length
WARP_LENGTH, WARP_SPREAD = 0.03, 1.5e-3
# A blink or a shout starts far from where solving begins: at first nothing counts as an outlier.
TOLERANT, STRICT = 15.0, 4.0


@dataclass(frozen=True)
class Effort:
    """How much work a preset does: key frames for the shape, Gauss-Newton rounds, passes over offsets.

    face_passes, head_passes: per level of detail, over the face and, of a single video, over the whole head; outline:
    whether the latter also follows the masks. portrait_steps: pictures the portrait of a single video learns from. 0
    does without the stage.
    """

    key_frames: int = 32
    shape_rounds: int = 8
    passes: int = 3
    motion_rounds: int = 8
    alignment_rounds: int = 2
    face_passes: int = 2
    head_passes: int = 4
    outline: bool = True
    warp_modes: int = 40
    portrait_steps: int = 500


EFFORTS = {
    # Landmarks and regression only, for previews.
    "fast": Effort(
        key_frames=20,
        shape_rounds=5,
        passes=2,
        motion_rounds=4,
        face_passes=0,
        head_passes=0,
        warp_modes=24,
        portrait_steps=0,
    ),
    "default": Effort(),
    "best": Effort(
        key_frames=64,
        shape_rounds=12,
        passes=4,
        motion_rounds=20,
        alignment_rounds=4,
        warp_modes=60,
        portrait_steps=1000,
    ),
}


@dataclass
class Tracker:
    """Everything the stages share. `cameras` holds the known cameras or the guessed one."""

    clip: Clip
    head: Head
    cameras: list[Camera]
    effort: Effort
    weights: PriorWeights
    report: Reporter
    fixed_focal: bool
    _person: tuple[tuple[torch.Tensor, ...], Identity] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.points: SurfacePoints = landmark_points(self.head, self.clip.landmarks.scheme)
        self.gaps = gaps_of(self.points, self.clip.landmarks.scheme)
        modes = smooth_modes(self.head, self.effort.warp_modes, WARP_LENGTH, WARP_SPREAD)
        # One camera hardly sees depth beyond what the shape basis knows; offsets along it would only soak up
        # whatever else the model gets wrong.
        depth = modes.abs().amax((1, 2)) == modes[..., 2].abs().amax(1)
        self.warp_basis = modes if len(self.clip.views) > 1 else modes[~depth]
        self.viewmats, self.Ks = stack_cameras(self.cameras, dtype=torch.float64)
        self.vagueness = vagueness(self.clip.landmarks, self.points.on_mesh(self.head.template))
        self.cuts = find_cuts(self.clip.landmarks, self.clip.views)

    @property
    def depth_axis(self) -> torch.Tensor | None:
        """Viewing direction of the only camera, None when several see the head."""
        return self.viewmats[0, 2, :3] if len(self.clip.views) == 1 else None

    def term(
        self, state: State, frames: list[int], robust: float = STRICT, share: float = SHARED_ERROR
    ) -> LandmarkTerm:
        """Landmark evidence for the frames of `state`, weighted by what each view sees there."""
        views = self.clip.views
        marks: Landmarks = self.clip.landmarks
        viewmats, Ks = self.seen_cameras()
        observed = torch.from_numpy(marks.points[views][:, frames]).double()
        valid = torch.from_numpy(marks.valid[views][:, frames]).double()
        vertices = self.posed(state)
        seen = seen_weight(facing(self.head, self.points, vertices, viewmats, rims(marks.scheme)))
        spread = self._pixel_spread(state.params, viewmats, Ks * torch.exp(state.log_focal))[..., None]
        relative = relative_spread(marks.scheme) * self.vagueness * unusual_spread(marks)[views][:, frames]
        weights = share * seen * valid[..., None] / (spread * relative) ** 2
        return LandmarkTerm(self.points, viewmats, Ks, observed, weights, robust)

    def evidence(
        self, state: State, frames: list[int], robust: float = STRICT
    ) -> tuple[LandmarkTerm, OpeningTerm]:
        """What landmarks say of motion in the frames of `state`: where they lie, and how far lids and lips part."""
        marks = self.term(state, frames, robust)
        places = self.points.place(self.identity(state), state.params)
        return marks, opening_term(self.gaps, marks, places, state)

    def focused(self, view: int, state: State) -> Camera:
        """A camera with the focal length of a state."""
        camera, factor = self.cameras[view], float(torch.exp(state.log_focal))
        K = camera.K.copy()
        K[[0, 1], [0, 1]] *= factor
        return replace(camera, K=K)

    def seen_cameras(self) -> tuple[torch.Tensor, torch.Tensor]:
        """viewmats [C,4,4] and Ks [C,3,3] of the views that may be looked at."""
        return self.viewmats[self.clip.views], self.Ks[self.clip.views]

    @property
    def positions(self) -> torch.Tensor:
        """Places [C,3] of the cameras that may be looked through, metres."""
        turn, shift = self.viewmats[self.clip.views, :3, :3], self.viewmats[self.clip.views, :3, 3:]
        return -(turn.transpose(1, 2) @ shift)[..., 0]

    def with_form(self, state: State, offset: torch.Tensor) -> State:
        """The state with the static offset [V,3] metres in place of its warp; the form is settled then."""
        self.warp_basis = offset[None].double()
        return replace(state, warp=torch.ones(1, dtype=torch.float64))

    def posed(self, state: State) -> torch.Tensor:
        """Vertices [T,V,3] of a state's frames."""
        return self.identity(state).posed(state.params)

    def identity(self, state: State) -> Identity:
        """The person a state describes."""
        made_of = (state.params.shape, state.warp, self.warp_basis)
        # Pictures are looked at one by one, of a person who stays the same all the while.
        if self._person is None or any(a is not b for a, b in zip(made_of, self._person[0], strict=True)):
            offset = torch.tensordot(state.warp, self.warp_basis, 1) if len(state.warp) else None
            self._person = made_of, self.head.identify(state.params.shape, offset)
        return self._person[1]

    def _pixel_spread(self, params: HeadParams, viewmats: torch.Tensor, Ks: torch.Tensor) -> torch.Tensor:
        """Pixels [C,T] that POINT_SPREAD covers at the head's distance."""
        depth = params.translation @ viewmats[:, 2, :3].T + viewmats[:, 2, 3]
        return (POINT_SPREAD * Ks[:, 0, 0] / depth.clamp_min(0.05)).T

    def problem(
        self, frames: list[int], terms: list, shape: bool, focal: bool, habits: bool = False
    ) -> Problem:
        """The problem of some frames; `habits` frees the detector's offsets."""
        origin = torch.from_numpy(self.cameras[self.clip.views[0]].position)
        return Problem(
            self.head, terms, self.weights, torch.from_numpy(gaps_between(frames, self.cuts)), self.warp_basis,
            depth_axis=self.depth_axis, solve_shape=shape, solve_focal=focal and not self.fixed_focal,
            camera_origin=origin, distance_prior=(USUAL_DISTANCE, 0.35),
            offset_spread=OFFSET_SPREAD * relative_spread(self.clip.landmarks.scheme) if habits else None,
            size_spread=SIZE_SPREAD if focal and not self.fixed_focal else None,
        )  # fmt: skip


def start_state(tracker: Tracker) -> State:
    """Rigid poses of the mean head in every frame."""
    head, clip = tracker.head, tracker.clip
    params = HeadParams.zeros(head, len(clip.frames), torch.float64)
    model = tracker.points.on_mesh(head.template).numpy()
    params.rotation, params.translation = rigid_poses(tracker.cameras, clip.landmarks, clip.views, model)
    warp = torch.zeros(len(tracker.warp_basis), dtype=torch.float64)
    offsets = torch.zeros(tracker.points.count, 3, dtype=torch.float64)
    return State(params, warp, offsets, torch.zeros((), dtype=torch.float64))


def key_frames(tracker: Tracker, state: State) -> list[int]:
    """Training frames with faces, spread over time and over the ways the head is turned."""
    usable = tracker.clip.training_faces
    if len(usable) <= tracker.effort.key_frames:
        return usable
    count = tracker.effort.key_frames
    even = {usable[round(i)] for i in np.linspace(0, len(usable) - 1, count // 2)}
    while len(even) < count:
        turned = state.params.rotation[usable]
        gap = torch.cdist(turned, state.params.rotation[sorted(even)]).min(1).values
        gap[[usable.index(frame) for frame in even]] = -1
        even.add(usable[int(gap.argmax())])
    return sorted(even)


def solve_shape(tracker: Tracker, state: State) -> tuple[State, float]:
    """Shape, focal length and detector offsets from key frames; returns the focal's log uncertainty too."""
    frames, effort = key_frames(tracker, state), tracker.effort
    focal = not tracker.clip.calibrated
    part = replace(state, params=state.params.select(frames))
    tracker.report(Stage("shape from key frames", effort.passes * effort.shape_rounds))
    system = None
    for number in range(effort.passes):
        done = number * effort.shape_rounds
        tolerance = TOLERANT if number == 0 else STRICT
        term = tracker.term(part, frames, tolerance, LASTING_ERROR)
        problem = tracker.problem(frames, [term], shape=True, focal=focal, habits=number > 0)
        part, system = solve(
            problem, part, effort.shape_rounds,
            on_round=lambda i, cost, done=done: tracker.report(Step(done + i, {"cost": cost})),
        )  # fmt: skip
    at = problem.form
    uncertainty = float(system.shared_covariance()[at, at].sqrt()) if focal else 0.0
    return spread(state, part, frames), uncertainty


def spread(state: State, part: State, frames: list[int]) -> State:
    """The whole sequence with shape and focal of `part`, its frames replaced, others moved along."""
    params = state.params
    values = {}
    for name in ("expr", "rotation", "neck", "jaw", "eyes", "translation"):
        whole = getattr(params, name).clone()
        whole[frames] = getattr(part.params, name)
        values[name] = whole
    # A changed focal or shape moves every head in depth: carry frames outside along with their neighbours.
    known = np.asarray(frames)
    shift = (part.params.translation - params.translation[frames]).numpy()
    at = np.arange(params.frames)
    carried = np.stack([np.interp(at, known, shift[:, axis]) for axis in range(3)], 1)
    values["translation"] = params.translation + torch.from_numpy(carried)
    values["translation"][frames] = part.params.translation
    return replace(part, params=replace(params, shape=part.params.shape, **values))


def solve_motion(tracker: Tracker, state: State) -> State:
    """Pose and expression of every frame with shape, focal and offsets fixed."""
    rounds = tracker.effort.motion_rounds
    tracker.report(Stage("pose and expression", 2 * rounds))

    def step(part: State, frames: list[int], fixed: torch.Tensor | None) -> State:
        for number, tolerance in enumerate((TOLERANT, STRICT)):
            terms = [*tracker.evidence(part, frames, tolerance)]
            problem = tracker.problem(frames, terms, shape=False, focal=False)
            problem.fixed = fixed
            part, _ = solve(
                problem, part, rounds,
                on_round=lambda i, cost, done=number * rounds: tracker.report(Step(done + i, {"cost": cost})),
            )  # fmt: skip
        return part

    return training_first(tracker, state, step)


def training_first(
    tracker: Tracker, state: State, step: Callable[[State, list[int], torch.Tensor | None], State]
) -> State:
    """Solve the training frames on their own, then the held-out ones beside them, which then stay put.

    So nothing that comes from training frames depends on held-out pictures, not even through smoothness.
    """
    held, training = set(tracker.clip.held_out.frames), tracker.clip.training_frames
    state = spread(
        state, step(replace(state, params=state.params.select(training)), training, None), training
    )
    if not held:
        return state
    near = {frame + side for frame in held for side in (-1, 0, 1)}
    frames = [frame for frame in sorted(near) if 0 <= frame < state.params.frames]
    fixed = torch.tensor([frame not in held for frame in frames])
    part = step(replace(state, params=state.params.select(frames)), frames, fixed)
    return spread(state, part, frames)
