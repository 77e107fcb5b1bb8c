"""Dense alignment: pictures put right what landmarks get wrong, and a picture is no witness for itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import emoga
from emoga.camera import look_at, stack_cameras
from emoga.capture import save_landmarks
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.progress import silent
from emoga.render import interpolate, rasterize_mesh
from emoga.tracking.alignment import SKIN, WHOLE, Sights, align, around_lips, away_from_lids, spread_points
from emoga.tracking.inputs import open_clip
from emoga.tracking.outline import Outline
from emoga.tracking.silhouettes import visible_regions
from emoga.tracking.stages import EFFORTS, Tracker

SIZE, FRAMES = 192, 8
CAMERA = look_at((0, 0, 0.8), (0, -0.03, -0.03), 0.42, SIZE, SIZE, name="cam0")


@pytest.fixture(scope="module")
def truth(head: Head) -> HeadParams:
    """A head that turns and nods."""
    params = HeadParams.zeros(head, FRAMES, torch.float64)
    params.rotation[:, 1] = torch.linspace(-0.2, 0.2, FRAMES)
    params.rotation[:, 0] = 0.08 * torch.sin(torch.linspace(0, 6, FRAMES))
    return params


def film(folder: Path, head: Head, truth: HeadParams) -> None:
    """Pictures of the head with blotches all over it."""
    vertices = head.vertices(truth)
    generator = torch.Generator().manual_seed(3)
    waves = 60 + 120 * torch.randn(12, 3, generator=generator, dtype=torch.float64)
    blotches = torch.sin(head.template @ waves.T).reshape(len(head.template), 4, 3).sum(1)
    colors = (0.5 + 0.12 * blotches).clamp(0, 1)
    viewmats, Ks = stack_cameras([CAMERA], dtype=torch.float64)
    for frame in range(FRAMES):
        fragments = rasterize_mesh(vertices[frame], head.faces, viewmats, Ks, SIZE, SIZE)
        drawn = interpolate(fragments, colors)[0]
        covered = (fragments.face_index[0] >= 0)[..., None]
        write_png(
            folder / f"{frame:06d}.png",
            torch.where(covered, drawn, torch.full_like(drawn, 0.1)).float().numpy(),
        )


def test_pictures_put_right_where_landmarks_wobble(head, truth, tmp_path):
    film(tmp_path / "pictures", head, truth)
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    exact = CAMERA.project(points)[0]
    wobble = np.random.default_rng(4).normal(0, 1.5, (FRAMES, 1, 2))
    marks = tmp_path / "marks.npz"
    save_landmarks(marks, (exact + wobble).astype(np.float32), np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    found = emoga.track(  # the frames left to train on are too few for a portrait: alignment alone is tested
        tmp_path / "pictures",
        tmp_path / "t.h5",
        landmarks=marks,
        hold_out=["frames:last:1"],
        fov=24.06,
        overlay=False,
    )
    vertices = head.vertices(found.params.to(dtype=torch.float64)).numpy()
    nose = head.regions["nose"].numpy()
    seen = found.cameras[0].project(vertices[:, nose])[0].mean(1)
    true = CAMERA.project(head.vertices(truth).numpy()[:, nose])[0].mean(1)
    error = (seen - true) - (seen - true).mean(0)
    assert np.abs(error).mean() < 0.7 * np.abs(wobble - wobble.mean(0)).mean()


def test_the_outline_says_where_the_skull_is_where_it_shows(head, truth, tmp_path):
    film(tmp_path / "pictures", head, truth)
    marks = tmp_path / "marks.npz"
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    save_landmarks(marks, CAMERA.project(points)[0], np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    clip = open_clip(tmp_path / "pictures", marks, None, None, (), None, None, None, silent)
    tracker = Tracker(clip, head, [CAMERA], EFFORTS["fast"], PriorWeights(), silent, True)
    masks = np.stack([visible_regions(head, posed, CAMERA) >= 0 for posed in head.vertices(truth)])
    masks[0], masks[1] = True, False  # a flash and a fade: nothing may follow from them, and nothing be NaN
    outline = Outline.of(tracker, (255 * masks[None]).astype(np.uint8))
    zeros = torch.zeros(len(tracker.warp_basis), dtype=torch.float64)

    def push(millimetres: float) -> torch.Tensor:
        """Which way the outline pushes a head beside its place along x, summed over its vertices."""
        params = replace(truth, translation=truth.translation + torch.tensor([millimetres * 1e-3, 0, 0]))
        state = State(params, zeros, torch.zeros(478, 3), torch.zeros((), dtype=torch.float64))
        term = outline.term(tracker, state, list(range(FRAMES)))
        places = outline.points.on_mesh(tracker.posed(state))
        return -term.quadratic(places, None, slice(0, FRAMES), state)[1][..., 0].sum()

    right, left, home = push(5), push(-5), push(0)
    assert right < 0 < left
    assert abs(home) < 0.25 * min(left, -right)


def test_detail_moves_mouth_and_jaw_but_neither_brows_nor_lids(head, truth, tmp_path):
    film(tmp_path / "pictures", head, truth)
    marks = tmp_path / "marks.npz"
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    save_landmarks(marks, CAMERA.project(points)[0], np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    clip = open_clip(tmp_path / "pictures", marks, None, None, (), None, None, None, silent)
    effort = replace(EFFORTS["default"], alignment_rounds=2)
    tracker = Tracker(clip, head, [CAMERA], effort, PriorWeights(), silent, True)
    expr = torch.full_like(truth.expr, 0.1)
    zeros = torch.zeros(len(tracker.warp_basis), dtype=torch.float64)
    offsets, focal = torch.zeros(478, 3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    before = State(replace(truth, expr=expr), zeros, offsets, focal)
    moved = align(tracker, before, SKIN, "align", 1).params.expr != expr
    shaded = torch.tensor([name.startswith(("brow", "eye")) for name in head.expr_names])
    assert not moved[:, shaded].any()
    assert moved[:, head.unit("jawOpen")].any() and moved[:, head.unit("mouthSmileLeft")].any()


def test_what_lips_show_says_nothing(head):
    points = spread_points(head, WHOLE, 2000, ~around_lips(head))
    lips = head.template[head.regions["lips"]]
    assert torch.cdist(points.on_mesh(head.template).to(lips), lips).min() > 0.009
    assert len(points.corners) == 2000
    lipless = {name: region for name, region in head.regions.items() if name != "lips"}
    assert not around_lips(replace(head, regions=lipless)).any()


def test_a_picture_is_no_witness_for_itself():
    sides = torch.tensor([[0.0, 0, 1], [0.0, 0, 1]], dtype=torch.float64)
    details = torch.tensor([[[1.0] * 3], [[0.25] * 3]], dtype=torch.float64)
    sights = Sights(details, torch.ones(2, 1, dtype=torch.float64), sides, torch.tensor([0, 1]))
    expected, known = sights.expected(sides, torch.tensor([0, 7]))
    assert torch.allclose(expected[0], torch.full((1, 3), 0.25, dtype=torch.float64))
    assert torch.allclose(expected[1], torch.full((1, 3), 0.625, dtype=torch.float64))
    assert known.all()


def test_pictures_from_the_same_side_say_most():
    sides = torch.tensor([[0.0, 0, 1], [1.0, 0, 0]], dtype=torch.float64)
    details = torch.tensor([[[1.0] * 3], [[0.0] * 3]], dtype=torch.float64)
    weights = torch.tensor([[1.0], [1.0]], dtype=torch.float64)
    sights = Sights(details, weights, sides, torch.tensor([0, 1]))
    assert sights.expected(sides[:1], torch.tensor([5]))[0].min() > 0.99
    unseen = Sights(details, torch.zeros(2, 1, dtype=torch.float64), sides, torch.tensor([0, 1]))
    assert not unseen.expected(sides[:1], torch.tensor([5]))[1].any()


def test_skin_a_blink_folds_is_not_expected_to_look_as_before(head):
    points = spread_points(head, WHOLE, 2000)
    expr = torch.zeros(3, len(head.expr_names), dtype=torch.float64)
    expr[1:, head.unit("eyeBlinkLeft")] = torch.tensor([0.1, 1.0], dtype=torch.float64)
    expr[:, head.unit("jawOpen")] = 1
    kept = away_from_lids(head, points, expr)
    assert (kept[0] == 1).all()
    closed = replace(HeadParams.zeros(head, 1, torch.float64), expr=expr[2:])
    opened = replace(closed, expr=expr[:1])
    moved = points.on_mesh(head.vertices(closed) - head.vertices(opened))[0].norm(dim=-1)
    assert (moved > 2e-3).sum() > 20
    assert kept[2, moved > 2e-3].max() < 0.1 and kept[2, moved < 2e-4].min() > 0.9
    assert (kept[1] >= kept[2]).all() and kept[1].mean() > kept[2].mean()
