"""Units found again: exact evidence gives them back, flow follows what moves, bad evidence is left out."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from filmed import ring

from emoga.errors import InputError, MissingComponent
from emoga.evaluation.heat_map import BAR, SIZE, YAWS, deformation, heat_pictures, heat_sheet
from emoga.evaluation.observing import flow_at, followed
from emoga.evaluation.retracking import free_units, solve_rest, solve_units
from emoga.head import HeadParams, load_head
from emoga.optimize.metrics_landmarks import project_landmarks

SCHEME = "mediapipe478"


@pytest.fixture(scope="module")
def person():
    """A person of some shape and offset in two frames, without and with an emotion; what cameras see of it."""
    head = load_head("open")
    torch.manual_seed(3)
    neutral = HeadParams.zeros(head, 2)
    neutral.shape = 0.7 * torch.randn(len(head.shape_names))
    neutral.static_offset = 0.001 * torch.randn(3).expand_as(head.template)
    neutral.expr[1, head.unit("jawOpen")] = 0.3
    neutral.rotation[:, 1] = torch.tensor([-0.1, 0.15])
    acted = replace(neutral, expr=(neutral.expr + head.emotion("happy")).clamp(0, 1))
    cameras = ring(4, 512)
    points, facing = project_landmarks(head, acted, cameras, SCHEME)
    return SimpleNamespace(
        head=head, neutral=neutral, acted=acted, cameras=cameras, points=points, facing=facing
    )


def test_exact_landmarks_give_the_units_back(person):
    units = free_units(person.head)
    found = solve_units(person.head, person.neutral, person.cameras, person.points, person.facing)[:, units]
    expected = person.acted.expr.numpy()[:, units]
    assert np.abs(found - expected).max() < 0.15 and np.abs(found - expected).mean() < 0.01


def test_the_shape_stays_where_the_person_is_the_same_and_shows_another(person):
    def rest(points):
        return solve_rest(person.head, person.neutral, person.cameras, points, person.facing)

    skin = person.head.regions["face"].numpy()
    own = person.head.identify(person.neutral.shape, person.neutral.static_offset).rest.numpy()
    same = rest(person.points)
    assert np.linalg.norm(same - own, axis=-1)[skin].mean() < 3e-4
    wider = replace(person.acted, shape=person.acted.shape.clone())
    wider.shape[0] += 1
    other = rest(project_landmarks(person.head, wider, person.cameras, SCHEME)[0])
    true = person.head.identify(wider.shape, wider.static_offset).rest.numpy()
    moved, seen = (np.linalg.norm(mesh - own, axis=-1)[skin].mean() for mesh in (true, other))
    assert seen > 0.5 * moved


def test_evidence_that_is_missing_or_wild_is_left_out(person):
    def displacement(before, after, points):
        """The true motion, lost for a tenth of the points and absurd for a few."""
        c, t = int(before[0, 0, 0]), int(before[0, 0, 1])
        moved = person.points[c, t] - points
        moved[::10] = np.nan
        moved[5::97] += 80
        return moved

    def pictures(c, t):
        return np.full((2, 2, 3), [c, t, 0], np.uint8), np.zeros((2, 2, 3), np.uint8)

    points, believed = followed(person.head, person.neutral, person.cameras, pictures, displacement)
    assert not believed[:, :, ::10].any() and np.isfinite(points).all()
    units = free_units(person.head)
    found = solve_units(person.head, person.neutral, person.cameras, points, believed)[:, units]
    assert np.abs(found - person.acted.expr.numpy()[:, units]).mean() < 0.03


def test_flow_follows_what_moves():
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(128, 128, 3)), (0, 0), 2.0)
    picture = np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)
    moved = np.roll(picture, (2, 3), (0, 1))
    points = np.array([[40.0, 50], [64.5, 64.5], [90, 80]])
    np.testing.assert_allclose(flow_at(picture, moved, points), np.tile([3, 2], (3, 1)), atol=0.3)


def test_a_detector_that_is_not_there_is_named(tmp_path):
    from emoga.capture.detector import require_detector

    with pytest.raises(InputError, match=r"face\.task: no such file"):
        require_detector(tmp_path / "face.task")
    (tmp_path / "face.task").write_bytes(b"x")
    if importlib.util.find_spec("mediapipe") is None:
        with pytest.raises(MissingComponent, match=r"emoga\[track\]"):
            require_detector(tmp_path / "face.task")


def test_heat_maps_show_where_a_face_moves():
    head = load_head("open")
    vertices = head.template.double().numpy()
    moves = np.zeros((2, *vertices.shape))
    nose = head.regions["nose"].numpy()
    moves[0, nose, 2], moves[1, nose, 2] = 0.002, 0.004
    found = deformation(moves, nose)
    assert (found.mean, found.p95, found.largest) == pytest.approx((3, 3, 3))
    faces = head.faces.numpy()
    front = heat_pictures(vertices, faces, found.millimetres, 3.0)[1].astype(int)
    red = (front[..., 0] - front[..., 2] > 40) & (front.min(-1) < 250)
    columns = np.nonzero(red)[1]
    assert 20 < red.sum() < 0.05 * red.size and abs(columns.mean() - SIZE / 2) < 6, (
        "the nose, and only it, is hot"
    )
    sheet = heat_sheet([("nose", vertices, found)] * 2, faces)
    assert sheet.shape[1] == len(YAWS) * SIZE + BAR
