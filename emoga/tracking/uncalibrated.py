"""Cameras of synchronised videos that nobody calibrated: recovered from the head that all of them see.

Each view alone tells where the head is before its camera; two views of the same moment then tell how their cameras
stand to each other, and the median over moments is where bundle adjustment begins: focal lengths, cameras, shape,
poses and expressions at once, on landmarks; then skin has to move as it does in the films, or, where a head keeps too
still for that, what the pictures show at one moment has to meet. The head's usual size gives the unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Landmarks
from emoga.capture.calibration import inverse
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quat, quat_to_matrix
from emoga.head import Head
from emoga.optimize.solving import Problem, solve
from emoga.optimize.solving_points import landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import VIEW, State, Views
from emoga.optimize.solving_system import SequenceSystem
from emoga.optimize.solving_views import ViewPrior
from emoga.progress import Note, Reporter, Stage, Step
from emoga.tracking.crossview import refine_cameras
from emoga.tracking.following import follow_cameras
from emoga.tracking.inputs import Clip
from emoga.tracking.stages import (
    STRICT,
    TOLERANT,
    Effort,
    Tracker,
    key_frames,
    start_state,
)
from emoga.tracking.start import guess_camera, pose_from_view

# Spread of the logarithm of focal lengths: of all, of each from the others, and of each where nothing speaks against
# cameras of one kind. Landmarks alone tell a focal length to a tenth only, the mean of several better.
FOCAL_SPREAD, APART, ALIKE = 0.35, 0.2, 0.005
# By how much, in log units, the focal lengths that landmarks lead to are believed once pictures are asked.
BY_LANDMARKS = 0.2
# Uncertainty, in log units, up to which films tell focal lengths; beyond, pictures of one moment tell more.
SURE = 0.06
LOOKS = 2  # from where the first leads to, pictures lie upon each other better
DIFFERENT = 0.25  # difference of a logarithm from the mean beyond which cameras are of several kinds
PASSES, ROUNDS = 3, 10  # whatever the preset: all that comes later rests on the cameras
FIXED = 1e-4  # spread of what the user has given


@torch.no_grad()
def recover_cameras(clip: Clip, head: Head, effort: Effort, fov: float | None, report: Reporter) -> None:
    """Give a clip of several views without cameras its cameras, with the uncertainty of their focal lengths.

    The world is upright with the head at its origin, in metres as far as heads are of usual size. fov: vertical, in
    degrees, of all cameras, else each is estimated. Raises InputError for cameras that share no frame with a face.
    """
    model = landmark_points(head, clip.landmarks.scheme).on_mesh(head.template).numpy()
    cameras = first_cameras(clip, model, fov)
    usual = float(np.exp(np.mean([np.log(camera.K[0, 0]) for camera in cameras])))
    tracker = Tracker(clip, head, cameras, effort, PriorWeights(), report, fov is not None)
    state = start_state(tracker)
    frames = key_frames(tracker, state)
    part = replace(state, params=state.params.select(frames))
    report(Stage("cameras from the head", PASSES * ROUNDS))
    for number in range(PASSES):
        done = number * ROUNDS
        term = tracker.term(part, frames, TOLERANT if number == 0 else STRICT)
        problem = tracker.problem(frames, [term], shape=True, focal=False, habits=number > 0)
        focals = term.Ks[:, 0, 0]
        difference = ALIKE if number > 0 and _alike(focals) else APART
        problem.view_prior = ViewPrior(
            focals, usual, FIXED if fov else FOCAL_SPREAD, FIXED if fov else difference
        )
        part.views = Views(term.viewmats, torch.zeros(len(term.Ks), dtype=torch.float64))
        part, system = solve(
            problem, part, ROUNDS,
            on_round=lambda i, cost, done=done: report(Step(done + i, {"cost": cost})),
        )  # fmt: skip
        tracker = replace(tracker, cameras=_solved(tracker.cameras, part.views))
    clip.recovered = _focal_spreads(system, problem, len(cameras))
    focals = torch.tensor([camera.K[0, 0] for camera in tracker.cameras], dtype=torch.float64)
    found = float(torch.exp(torch.log(focals).mean()))
    spreads = (FIXED, FIXED) if fov else (BY_LANDMARKS, ALIKE if _alike(focals) else APART)
    cameras, part = _by_pictures(
        clip, tracker, part, frames, lambda focals: ViewPrior(focals, found, *spreads), report
    )
    clip.capture.cameras = _upright(cameras, part)


def _by_pictures(
    clip: Clip,
    tracker: Tracker,
    part: State,
    frames: list[int],
    expected: Callable[[torch.Tensor], ViewPrior],
    report: Reporter,
) -> tuple[list[Camera], State]:
    """What landmarks led to, cameras and heads, after what films or else pictures say; tells the clip how certain."""
    report(Note("following the skin through the film of each camera"))
    for _ in range(LOOKS):
        followed = follow_cameras(tracker, part, frames, expected)
        if followed is None or followed.by_films > SURE:
            report(Note("the head keeps too still for that; letting the pictures agree about the cameras"))
            break
        tracker, part, frames = replace(tracker, cameras=followed.cameras), followed.part, followed.frames
        clip.recovered = followed.focal_spreads
    else:
        return tracker.cameras, part
    refined = refine_cameras(tracker, part, frames, expected)
    if refined is None:
        return tracker.cameras, part
    clip.recovered = refined[1]
    return refined[0], part


def _alike(focals: torch.Tensor) -> bool:
    """Whether focal lengths [C] may belong to cameras of one kind."""
    logs = torch.log(focals)
    return bool((logs - logs.mean()).abs().max() < DIFFERENT)


def _focal_spreads(system: SequenceSystem, problem: Problem, count: int) -> list[float]:
    """Uncertainty of the logarithm of each focal length, the first view's place being the world's."""
    first, held = problem.before_views, torch.zeros_like(system.shared_gradient, dtype=torch.bool)
    held[problem.form] = True  # the factor common to all, of which each has its own
    held[first : first + VIEW - 1] = True
    still = system.frozen(torch.zeros_like(system.gradient, dtype=torch.bool), held)
    at = first + VIEW * torch.arange(count) + VIEW - 1
    return still.shared_covariance().diagonal()[at].sqrt().tolist()


def first_cameras(clip: Clip, model: np.ndarray, fov: float | None) -> list[Camera]:
    """Cameras as views alone tell them, placed beside the first by the median of the moments they share."""
    marks = clip.landmarks.frames(np.asarray(clip.training_frames))
    found = []
    for view, (pictures, name) in enumerate(zip(clip.capture.pictures, clip.capture.names, strict=True)):
        one = slice(view, view + 1)
        alone = Landmarks(marks.points[one], marks.valid[one], marks.scheme)
        if not alone.valid.any():
            raise InputError(f"{clip.capture.path}: camera {name} never sees a face; leave it out")
        found.append(guess_camera(alone, model, pictures.width, pictures.height, fov, name))
    poses = [_poses(camera, marks, view, model) for view, camera in enumerate(found)]
    placed = {0: found[0].w2c}
    while len(placed) < len(found):
        known, other = _next_pair(poses, placed, clip)
        shared = poses[known].keys() & poses[other].keys()
        between = _median_motion([poses[other][t] @ inverse(poses[known][t]) for t in sorted(shared)])
        placed[other] = between @ placed[known]
    return [replace(camera, w2c=placed[view]) for view, camera in enumerate(found)]


def _poses(camera: Camera, landmarks: Landmarks, view: int, model: np.ndarray) -> dict[int, np.ndarray]:
    """Head to camera [4,4] of every frame in which the view sees a face."""
    alone, found = replace(camera, w2c=np.eye(4)), {}
    for frame in np.flatnonzero(landmarks.valid[view]):
        pose = pose_from_view(alone, landmarks.points[view, frame], model)
        if pose is not None:
            matrix = np.eye(4)
            matrix[:3, :3] = axis_angle_to_matrix(torch.from_numpy(pose[0])).numpy()
            matrix[:3, 3] = pose[1]
            found[int(frame)] = matrix
    return found


def _next_pair(
    poses: list[dict[int, np.ndarray]], placed: dict[int, np.ndarray], clip: Clip
) -> tuple[int, int]:
    """The placed and the other camera that share most frames."""
    shared = {
        (known, other): len(poses[known].keys() & poses[other].keys())
        for known in placed
        for other in range(len(poses))
        if other not in placed
    }
    pair = max(shared, key=lambda two: shared[two])
    if shared[pair] == 0:
        raise InputError(
            f"{clip.capture.path}: camera {clip.capture.names[pair[1]]} sees the face in no frame in which others do; "
            "leave it out, or give cameras.json"
        )
    return pair


def _median_motion(motions: list[np.ndarray]) -> np.ndarray:
    """A rigid motion in the middle of some [4,4], whatever a minority of them is."""
    stack = torch.from_numpy(np.stack(motions))
    turns = stack[:, :3, :3]
    angles = matrix_to_axis_angle(turns[:, None] @ turns[None].transpose(-1, -2)).norm(dim=-1)
    # The turn with the least sum of angles to all others, then the mean of those near to it.
    middle = int(angles.sum(1).argmin())
    near = angles[middle] <= 2 * angles[middle].median() + 1e-6
    quats = matrix_to_quat(turns[near])
    quats = quats * torch.sign(quats @ quats[0])[:, None]
    result = np.eye(4)
    result[:3, :3] = quat_to_matrix(quats.mean(0)).numpy()
    result[:3, 3] = stack[:, :3, 3].median(0).values.numpy()
    return result


def _solved(cameras: list[Camera], views: Views) -> list[Camera]:
    Ks = views.focused(torch.from_numpy(np.stack([camera.K for camera in cameras]))).numpy()
    w2cs = views.viewmats.numpy()
    return [replace(camera, K=K, w2c=w2c) for camera, K, w2c in zip(cameras, Ks, w2cs, strict=True)]


def _upright(cameras: list[Camera], state: State) -> list[Camera]:
    """The cameras in a world whose axes and origin are those of the head on average."""
    quats = matrix_to_quat(axis_angle_to_matrix(state.params.rotation))
    quats = quats * torch.sign(quats @ quats[0])[:, None]
    head = np.eye(4)
    head[:3, :3] = quat_to_matrix(quats.mean(0)).numpy()
    head[:3, 3] = state.params.translation.median(0).values.numpy()
    return [replace(camera, w2c=camera.w2c @ head) for camera in cameras]
