"""Landmark embeddings of the open head: on the right parts, symmetric, and meeting where flesh meets."""

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.head import load_head
from emoga.head.load import OPEN_LANDMARKS, read_landmarks

# mediapipe478 numbers, subject's right eye unless said otherwise, lids from outer to inner corner.
UPPER_LID, LOWER_LID = (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155)
INNER_UPPER_LIP, INNER_LOWER_LIP = (80, 81, 82, 13, 312, 311, 310), (88, 178, 87, 14, 317, 402, 318)
OUTER_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
MIRRORED = {33: 263, 133: 362, 159: 386, 61: 291, 105: 334, 234: 454, 98: 327, 50: 280, 145: 374}
MIDLINE = (10, 168, 1, 4, 2, 0, 17, 152)


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def points(head):
    return head.landmarks["mediapipe478"].points(head.template)


def labels(head, numbers):
    """Region names of the triangles that carry these points."""
    faces = head.landmarks["mediapipe478"].faces[list(numbers)]
    return {head.region_names[int(k)] for k in head.face_regions[faces]}


def test_every_point_is_on_its_triangle(head):
    for scheme, count in (("mediapipe478", 478), ("ibug68", 68)):
        embedding = head.landmarks[scheme]
        assert embedding.faces.shape == (count,) and embedding.bary.shape == (count, 3)
        assert (embedding.bary >= -1e-6).all()
        torch.testing.assert_close(embedding.bary.sum(1), torch.ones(count))
        assert torch.equal(embedding.corners, head.faces[embedding.faces])


def test_points_lie_on_the_parts_they_name(head):
    assert labels(head, range(468, 478)) <= {"irises"}
    assert labels(head, UPPER_LID + LOWER_LID) <= {"eyelids"}
    assert labels(head, INNER_LOWER_LIP) <= {"lips", "mouth_interior"}
    assert labels(head, OUTER_LIPS) <= {"lips", "face", "jaw", "cheeks"}
    assert labels(head, (1, 4, 5, 195)) <= {"nose"}
    assert not labels(head, range(468)) & {"eyeballs", "irises", "teeth", "tongue", "lashes", "shoulders"}


def test_left_and_right_are_mirror_images(points):
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for right, left in MIRRORED.items():
        assert points[right, 0] < 0 < points[left, 0], "the subject's right is at -x"
        assert (points[right] * flip - points[left]).norm() < 0.001
    assert points[list(MIDLINE), 0].abs().max() < 0.001


def test_order_along_the_face(points):
    heights = points[[10, 168, 4, 0, 17, 152], 1]
    assert (heights[:-1] > heights[1:]).all()
    assert (points[list(UPPER_LID), 0].diff() > 0).all(), "outer to inner corner of the right eye"
    assert 0.14 < (points[10] - points[152]).norm() < 0.21


def test_closed_lips_and_closed_lids_coincide(head, points):
    lips = (points[list(INNER_UPPER_LIP)] - points[list(INNER_LOWER_LIP)]).norm(dim=-1)
    assert lips.max() < 0.0015
    expr = torch.zeros(1, len(head.expr_names))
    expr[0, [head.unit("eyeBlinkLeft"), head.unit("eyeBlinkRight")]] = 1.0
    shape = torch.randn(len(head.shape_names), generator=torch.Generator().manual_seed(4))
    closed = head.landmarks["mediapipe478"].points(head.identify(shape).pose(expr))[0]
    upper, lower = closed[list(UPPER_LID)], closed[list(LOWER_LID)]
    assert torch.cdist(upper, lower).min(1)[0].max() < 0.003
    assert (closed[159] - closed[145])[1].abs() < 0.001


def test_jaw_open_parts_upper_from_lower_lip(head):
    expr = torch.zeros(1, len(head.expr_names))
    expr[0, head.unit("jawOpen")] = 1.0
    posed = head.identify(torch.zeros(len(head.shape_names))).pose(expr)
    moved = head.landmarks["mediapipe478"].points(posed)[0] - head.landmarks["mediapipe478"].points(
        head.template
    )
    assert moved[list(INNER_UPPER_LIP), 1].min() > -0.012
    assert moved[[87, 14, 317], 1].max() < -0.02


def test_ibug_points_are_chosen_from_mediapipe(head, points):
    ibug = head.landmarks["ibug68"].points(head.template)
    for number, twin in ((8, 152), (30, 4), (36, 33), (45, 263), (48, 61), (54, 291), (62, 13), (66, 14)):
        torch.testing.assert_close(ibug[number], points[twin])


def test_points_move_with_the_vertices_and_pass_gradients(head):
    vertices = head.template.clone().requires_grad_()
    batch = torch.stack([vertices, vertices + 1.0])
    found = head.landmarks["mediapipe478"].points(batch)
    assert found.shape == (2, 478, 3)
    torch.testing.assert_close(found[1], found[0] + 1.0)
    found.sum().backward()
    assert float(vertices.grad.sum()) == pytest.approx(2 * 478 * 3, rel=1e-4)


def test_embeddings_of_another_head_are_refused(head, tmp_path):
    with np.load(OPEN_LANDMARKS, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    path = tmp_path / "landmarks.npz"
    np.savez(path, **{**arrays, "topology": np.array("0" * 64)})
    with pytest.raises(InputError, match="another head"):
        read_landmarks(path, head)
    np.savez(path, **{**arrays, "ibug68_faces": np.full(68, len(head.faces))})
    with pytest.raises(InputError, match="ibug68"):
        read_landmarks(path, head)
