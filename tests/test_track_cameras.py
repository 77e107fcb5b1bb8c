"""Synchronised videos without calibration: found in their folder, and their cameras recovered from the head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import emoga
from emoga.camera import look_at, stack_cameras
from emoga.capture import load_track, open_capture, save_landmarks
from emoga.describe import describe
from emoga.errors import InputError
from emoga.geometry import matrix_to_axis_angle, similarity_align
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.optimize.solving import Problem, build, total_cost
from emoga.optimize.solving_crossview import CrossView, solve_views
from emoga.optimize.solving_landmarks import LandmarkTerm, project
from emoga.optimize.solving_photometric import Crops
from emoga.optimize.solving_points import landmark_points
from emoga.optimize.solving_priors import Priors, PriorWeights
from emoga.optimize.solving_state import VIEW, State, Views
from emoga.optimize.solving_views import ViewPrior

SIZE, FRAMES = 128, 5
CAMERAS = [
    look_at((0.9 * np.sin(angle), 0.1 * up, 0.9 * np.cos(angle)), (0, -0.03, -0.03), 0.35, SIZE, SIZE, name=name)
    for name, angle, up in (("left", 0.5, 1), ("middle", 0.0, 0), ("right", -0.4, -1))
]  # fmt: skip


@pytest.fixture(scope="module")
def truth(head: Head) -> HeadParams:
    """Someone who nods, turns and opens the mouth."""
    params = HeadParams.zeros(head, FRAMES, torch.float64)
    generator = torch.Generator().manual_seed(8)
    params.shape = 0.6 * torch.randn(len(head.shape_names), generator=generator, dtype=torch.float64)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0.5, 0, FRAMES)
    params.rotation[:, 1] = torch.linspace(-0.3, 0.3, FRAMES)
    params.rotation[:, 0] = 0.15 * torch.sin(torch.arange(FRAMES))
    params.translation[:, 0] = torch.linspace(-0.02, 0.02, FRAMES)
    return params


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory, head: Head, truth: HeadParams) -> Path:
    """A folder of picture folders and landmarks; the right camera misses the first face."""
    folder = tmp_path_factory.mktemp("take")
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    picture = np.full((SIZE, SIZE, 3), 0.5)
    for camera in CAMERAS:
        for frame in range(FRAMES):
            write_png(folder / camera.name / f"{frame:06d}.png", picture)
        valid = np.ones(FRAMES, bool)
        valid[0] = camera.name != "right"
        marks = folder / "landmarks" / f"{camera.name}.npz"
        save_landmarks(marks, camera.project(points)[0], valid, SIZE, SIZE, 25.0)
    return folder


def test_cameras_are_recovered_up_to_the_world(
    take: Path, head: Head, truth: HeadParams, tmp_path: Path
) -> None:
    found = emoga.track(take, tmp_path / "t.h5", preset="fast", overlay=False)
    assert not found.calibrated and [camera.name for camera in found.cameras] == ["left", "middle", "right"]
    scale, turn, shift = to_found(head, truth, found.params)
    for camera, other in zip(found.cameras, CAMERAS, strict=True):
        astray = np.linalg.norm(camera.position - (scale * turn @ other.position + shift))
        assert astray < 0.03 * scale * np.linalg.norm(other.position)
        between = camera.w2c[:3, :3] @ turn @ other.w2c[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(between) - 1) / 2, -1, 1))) < 1.5
        assert camera.K[0, 0] == pytest.approx(other.K[0, 0], rel=0.06)
    assert len(found.provenance["focal"]["pixels"]) == 3
    assert load_track(tmp_path / "t.h5").picture(2, 3).shape == (SIZE, SIZE, 3)


def to_found(head: Head, truth: HeadParams, found: HeadParams) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, turn [3,3] and shift [3] from the true world to the found one, by the face of a middle frame."""
    face = head.regions["face"]
    true, ours = (head.vertices(params.to(dtype=torch.float64))[2, face] for params in (truth, found))
    scale, turn, shift = similarity_align(true, ours)
    return float(scale), turn.numpy(), shift.numpy()


def test_the_solver_knows_how_cameras_move_the_cost(head: Head, truth: HeadParams) -> None:
    params, points = truth.select([0, 3]), landmark_points(head, "mediapipe478")
    viewmats, Ks = stack_cameras(CAMERAS, dtype=torch.float64)
    observed = project(points.place(head.identify(params.shape), params) + 2e-3, viewmats, Ks, 0.02)[0]
    weights = torch.ones(observed.shape[:3], dtype=torch.float64)
    term = LandmarkTerm(points, viewmats, Ks, observed, weights)
    warp = torch.zeros(0, len(head.template), 3, dtype=torch.float64)
    spread = torch.full((points.count,), 1e-3, dtype=torch.float64)
    problem = Problem(
        head, [term], PriorWeights(), torch.tensor([3]), warp, offset_spread=spread,
        view_prior=ViewPrior(Ks[:, 0, 0], 300.0, 0.35, 0.1),
    )  # fmt: skip
    views = Views(viewmats, torch.tensor([0.0, 0.05, -0.05], dtype=torch.float64))
    offsets = torch.zeros(points.count, 3, dtype=torch.float64)
    state = State(params, warp[:, 0, 0], offsets, torch.zeros((), dtype=torch.float64), views)
    identity = problem.identity(state)
    priors = Priors(head, identity, problem.weights, problem.gaps, None)
    system = build(problem, priors, identity, state)
    for view, unknown in ((0, 6), (1, 0), (1, 4), (2, 2), (2, 5), (2, 6)):
        step, costs = torch.zeros(3, VIEW, dtype=torch.float64), []
        for way in (1e-6, -1e-6):
            step[view, unknown] = way
            costs.append(total_cost(problem, priors, identity, replace(state, views=views.moved(step))))
        slope = float(system.shared_gradient[problem.before_views + VIEW * view + unknown])
        assert (costs[0] - costs[1]) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-3)
    # The curvature is that of squares: no direction goes down, the unused common factor left aside.
    used = torch.arange(len(system.corner)) != problem.form
    assert torch.linalg.eigvalsh(system.corner[used][:, used]).min() > -1e-6
    torch.testing.assert_close(system.corner, system.corner.T)


def test_pictures_that_must_agree_tell_where_cameras_stand() -> None:
    """A spotted ball, its cameras thought too wide, too near and turned, is seen alike again."""
    true, Ks = stack_cameras(CAMERAS, dtype=torch.float64)
    crops = Crops(
        torch.stack([spotted_ball(K, w2c) for K, w2c in zip(Ks, true, strict=True)])[:, None],
        torch.zeros(3, 1, 2, dtype=torch.float64),
        torch.ones(3, 1, dtype=torch.float64),
    )
    up, around = torch.meshgrid(torch.linspace(-0.8, 0.8, 24), torch.linspace(-0.9, 0.9, 30), indexing="ij")
    ball = (
        torch.stack([around.sin() * up.cos(), up.sin(), around.cos() * up.cos()], -1).double().reshape(-1, 3)
    )
    towards = torch.stack([torch.from_numpy(camera.position) for camera in CAMERAS])
    shown = torch.nn.functional.normalize(towards, dim=-1) @ ball.T > 0.6
    weights = shown[:, None] * (shown.sum(0) > 1) / 0.02**2
    seen = CrossView(crops, torch.zeros(3, 1, len(ball), 1, dtype=torch.float64), Ks * WIDE, weights)
    step = torch.tensor(
        [[0.004, 0, 0, 0, 0, 0, 0], [0, -0.006, 0, 0, 0, 0, 0], [0.0] * 7], dtype=torch.float64
    )
    start = true.clone()
    start[:, 2, 3] *= float(WIDE[0, 0])
    places = BALL * ball[None]
    prior = ViewPrior(Ks[:, 0, 0], float(Ks[0, 0, 0]), 0.5, 0.005)
    still = torch.zeros(*places.shape, 1, dtype=torch.float64)
    views = Views(start, torch.zeros(3, dtype=torch.float64)).moved(step)
    begun = seen.cost(places, views)
    _, found, covariance = solve_views(seen, places, still, views, prior, 30)
    assert seen.cost(places, found) < 0.05 * begun
    focals = found.focused(seen.Ks)[:, 0, 0] / Ks[:, 0, 0]
    assert (focals - 1).abs().max() < 0.02 < float(1 - WIDE[0, 0])
    between = [v[1, :3, :3] @ v[0, :3, :3].T for v in (found.viewmats, true)]
    assert torch.rad2deg(matrix_to_axis_angle(between[0] @ between[1].T)).norm() < 0.2
    assert 0 < covariance[VIEW - 1, VIEW - 1].sqrt() < 0.5 * prior.spread


BALL = 0.09  # metres
WIDE = torch.ones(3, 3, dtype=torch.float64) - 0.06 * torch.diag(torch.tensor([1.0, 1.0, 0.0]))


def spotted_ball(K: torch.Tensor, w2c: torch.Tensor) -> torch.Tensor:
    """What a camera sees of a ball around the world's origin [1,SIZE,SIZE]."""
    at = torch.arange(SIZE, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    rays = (
        torch.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], torch.ones_like(x)], -1) @ w2c[:3, :3]
    )
    eye = -w2c[:3, :3].T @ w2c[:3, 3]
    square, half = rays.square().sum(-1), rays @ eye
    reach = (half**2 - square * (eye @ eye - BALL**2)).clamp_min(0).sqrt()
    hit = eye + ((-half - reach) / square)[..., None] * rays
    return (0.5 + 0.2 * (hit @ SPOTS).sin().prod(-1))[None].float()


SPOTS = torch.tensor([[150.0, 20, 40], [-30, 160, 60], [90, -50, 170]], dtype=torch.float64)


def test_videos_beside_each_other_are_one_take(tmp_path: Path) -> None:
    from emoga.video import VideoWriter

    for name, frames in (("a", 3), ("b", 3), ("a.overlay", 2)):
        with VideoWriter(tmp_path / f"{name}.mp4", 25, 64, 48) as writer:
            for _ in range(frames):
                writer.write(np.zeros((48, 64, 3), np.uint8))
    capture = open_capture(tmp_path)
    assert capture.names == ["a", "b"] and capture.cameras is None and capture.frame_count == 3
    assert describe(tmp_path).kind == "folder of synchronised cameras without calibration"
    with VideoWriter(tmp_path / "c.mp4", 25, 64, 48) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="c has 1 frames, a 3"):
        open_capture(tmp_path)


def test_what_cannot_be_recovered_is_said(take: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no camera without calibration can be held out"):
        emoga.track(take, tmp_path / "t.h5", hold_out=["views:1"])
    marks = tmp_path / "landmarks"
    marks.mkdir()
    for camera in CAMERAS:
        with np.load(take / "landmarks" / f"{camera.name}.npz") as file:
            valid = (np.arange(FRAMES) < 3) == (camera.name == "left")
            save_landmarks(marks / f"{camera.name}.npz", file["points"], valid, SIZE, SIZE, 25.0)
    with pytest.raises(InputError, match="sees the face in no frame in which others do"):
        emoga.track(take, tmp_path / "t.h5", landmarks=marks, preset="fast")
