"""The figures of benchmarks/emotion_truth.py, on pictures and meshes whose figures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.camera import look_at
from emoga.head import load_head
from emoga.images import to_uint8

SIZE = 96


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


def test_gains_are_differences_of_rows_mean_and_worst() -> None:
    from emotion_summary import summary_of

    rows = []
    for case, ours in (("p1 happy", 30.0), ("p2 sad", 28.0)):
        rows += [
            {
                "case": case,
                "method": "ours",
                "psnr": ours,
                "psnr_edited": ours - 1,
                "psnr_on_edits": ours + 1,
            },
            {"case": case, "method": "edits, spread", "psnr_on_edits": 23.0},
            {
                "case": case,
                "method": "geometry only",
                "psnr": 27.0,
                "psnr_edited": 24.0,
                "psnr_on_edits": 0.0,
            },
            {"case": case, "method": "ours, frontal failed", "psnr": ours - 0.5},
            {"case": case, "method": "oracle weights, frontal failed", "psnr": 30.0},
            {"case": case, "method": "figures", "flicker": 0.1 if case == "p1 happy" else 0.3},
        ]
    summary = summary_of(rows)
    assert summary["gain_over_edits_db"] == {"mean": 6.0, "worst": 5.0, "cases": 2}
    assert summary["gain_over_edits_same_pictures_db"] == {"mean": 7.0, "worst": 6.0, "cases": 2}
    assert summary["gain_over_geometry_db"] == {"mean": 2.0, "worst": 1.0, "cases": 2}
    assert summary["gain_over_geometry_edited_db"] == {"mean": 4.0, "worst": 3.0, "cases": 2}
    assert summary["gap_to_oracle_db"] == {"mean": 1.5, "worst": 2.5, "cases": 2}
    assert summary["flicker"] == {"mean": 0.2, "worst": 0.3, "cases": 2}
    assert summary["gain_over_view_weights_db"] == {"mean": None, "worst": None, "cases": 0}


def test_rows_are_json_without_nan() -> None:
    from emotion_summary import finite

    rows = [{"case": "p1 happy", "psnr": float("nan"), "flicker": 0.5, "failed": 8, "shares": None}]
    assert finite(rows) == [{"case": "p1 happy", "psnr": None, "flicker": 0.5, "failed": 8, "shares": None}]


def test_only_the_emotion_counts_as_change() -> None:
    from emotion_figures import changed, dilated

    before = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    noisy = before + np.random.default_rng(0).integers(-4, 5, before.shape).astype(np.uint8)
    assert not changed(noisy, before).any()
    truth = before.copy()
    truth[:, 40:60, 40:60, 0] += 30
    found = changed(truth, before)
    assert found[0, 42:58, 42:58].all() and not found[0, :35].any() and not found[0, :, 65:].any()
    wide = dilated(found)
    assert wide[0, 38, 50] and not wide[0, 30, 50] and not wide[0, 50, 70]


def test_the_oracle_trusts_what_is_right() -> None:
    from emotion_figures import ORACLE_ERROR, oracle_weights

    truth = np.full((1, SIZE, SIZE, 3), 100, np.uint8)
    edit = truth.copy()
    edit[:, :, SIZE // 2 :] += np.uint8(round(255 * ORACLE_ERROR))
    weights = oracle_weights(edit, truth)
    assert weights.dtype == np.float32 and weights.shape == (1, SIZE, SIZE)
    np.testing.assert_allclose(weights[0, :, :30], 1, atol=1e-3)
    np.testing.assert_allclose(weights[0, :, -30:], 0.5, atol=0.02)


def test_pictures_that_failed_are_left_out_of_flicker() -> None:
    from emotion_figures import views_noise_error, views_temporal_error

    head = load_head()
    vertices = np.stack([head.template.double().numpy()] * 3)
    cameras = [look_at((0.0, 0.0, 1.0), (0.0, -0.02, -0.04), 0.3, SIZE, SIZE, name="front")]
    truth = np.full((1, 3, SIZE, SIZE, 3), 90, np.uint8)
    pictures, masks = truth.copy(), np.ones((1, 3, SIZE, SIZE), bool)
    pictures[0, 2] += 51
    surface = (truth, masks, vertices, head.faces.numpy(), cameras)
    # One step of two changes, by 51 of 255.
    assert views_temporal_error(pictures, *surface).mean == pytest.approx(0.1, abs=1e-5)
    # Nothing moves, so both pictures keep their noise: sqrt(2) of it, of which the mean size is sqrt(2 / pi).
    floor = views_noise_error(40.0, *surface[1:]).mean
    assert floor == pytest.approx(0.01 * 2 / np.sqrt(np.pi), rel=0.02)
    usable = np.array([[True, True, False]])
    assert views_temporal_error(pictures, *surface, usable=usable).mean == pytest.approx(0, abs=1e-6)


def test_a_head_ends_at_the_neck_boundary() -> None:
    from emotion_films import head_masks

    from emoga.studio.pseudo_edits import Film

    head = load_head()
    camera = look_at((0.0, 0.0, 1.0), (0.0, -0.06, -0.04), 0.4, SIZE, SIZE, name="front")
    vertices = head.template.double().numpy()[None]
    film = Film(np.zeros((1, 1, SIZE, SIZE, 3)), np.ones((1, 1, SIZE, SIZE)), vertices, [camera])
    found = head_masks(film)[0, 0]
    columns, rows = camera.project(vertices[0][head.regions["nose"].numpy()])[0].T.astype(int)
    assert found[rows, columns].all()
    shoulders = vertices[0][head.regions["shoulders"].numpy() & (vertices[0][:, 2] > 0)]
    assert len(shoulders) == 0 or not found[tuple(camera.project(shoulders)[0].T.astype(int)[::-1])].all()
    assert 0.02 < (~found).mean() < 0.5


def test_a_uv_mean_shows_paint_where_it_was_seen() -> None:
    from emotion_peers import uv_change_pictures, uv_mean_pictures

    head = load_head()
    vertices = head.template.double().numpy()
    cameras = [
        look_at((x, 0.0, 1.0), (0.0, -0.02, -0.04), 0.3, SIZE, SIZE, name=name)
        for x, name in ((-0.4, "right"), (0.4, "left"), (0.0, "front"))
    ]
    painted = np.stack([_painted(head, vertices, camera) for camera in cameras])
    shown, wanted = painted[:2], cameras[2:]
    drawn = np.full((1, SIZE, SIZE, 3), 40, np.uint8)
    mesh = [vertices] * 2
    mean = uv_mean_pictures(head, shown, mesh, cameras[:2], drawn, mesh[:1], wanted)
    nose = slice(SIZE // 2 - 8, SIZE // 2 + 8)
    error = np.abs(mean[0].astype(int) - painted[2])[nose, nose]
    assert np.median(error) <= 3
    assert (mean[0, :3, :3] == 40).all(), "beside the head the avatar's render stays"
    renders = np.full_like(shown, 20)
    change = uv_change_pictures(head, shown, renders, mesh, cameras[:2], drawn, mesh[:1], wanted)
    error = np.abs(change[0].astype(int) - (painted[2].astype(int) + 20))[nose, nose]
    assert np.median(error) <= 3


def test_telling_rows_are_the_worst_and_the_middling_of_every_view() -> None:
    from emotion_sheets import telling_rows

    assert telling_rows(np.array([3.0, 1.0, 2.0, 9.0, 8.0, 7.0]), 2) == [1, 2, 5, 4]


def _painted(head, vertices: np.ndarray, camera) -> np.ndarray:
    """uint8 [H,W,3] of the head with smooth colours that stick to it."""
    from emoga.camera import stack_cameras
    from emoga.render import interpolate, rasterize_mesh

    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    posed = torch.from_numpy(vertices)
    seen = rasterize_mesh(posed, head.faces, viewmats, Ks, SIZE, SIZE)
    colors = 0.4 + 0.15 * torch.sin(posed * 25)
    return to_uint8(interpolate(seen, colors)[0].numpy())
