"""Laws of rotations, quaternions, normals and alignment."""

import pytest
import torch

from emoga import geometry


@pytest.fixture(params=[(), (5,), (2, 3)], ids=str)
def axis_angle(request):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*request.param, 3, generator=generator, dtype=torch.float64)


def test_rodrigues_gives_rotations(axis_angle):
    matrix = geometry.axis_angle_to_matrix(axis_angle)
    identity = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    torch.testing.assert_close(matrix @ matrix.transpose(-1, -2), identity)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones_like(matrix[..., 0, 0]))


def test_axis_is_fixed_and_angle_is_its_length(axis_angle):
    matrix = geometry.axis_angle_to_matrix(axis_angle)
    torch.testing.assert_close((matrix @ axis_angle[..., None])[..., 0], axis_angle)
    trace = matrix.diagonal(dim1=-1, dim2=-2).sum(-1)
    torch.testing.assert_close(trace, 1 + 2 * torch.cos(axis_angle.norm(dim=-1)))


def test_small_angles_have_finite_gradients():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(geometry.axis_angle_to_matrix, (zero,))


def test_matrix_quaternion_round_trip(axis_angle):
    matrix = geometry.axis_angle_to_matrix(axis_angle)
    torch.testing.assert_close(geometry.quat_to_matrix(geometry.matrix_to_quat(matrix)), matrix)


def test_half_turns_survive_the_quaternion_round_trip():
    half_turns = torch.pi * torch.eye(3, dtype=torch.float64)
    matrix = geometry.axis_angle_to_matrix(half_turns)
    torch.testing.assert_close(geometry.quat_to_matrix(geometry.matrix_to_quat(matrix)), matrix)
    again = geometry.axis_angle_to_matrix(geometry.matrix_to_axis_angle(matrix))
    torch.testing.assert_close(again, matrix)


def test_quaternion_product_composes_rotations(axis_angle):
    left = geometry.axis_angle_to_matrix(axis_angle)
    right = geometry.axis_angle_to_matrix(axis_angle.flip(-1) * 0.7)
    product = geometry.quat_multiply(geometry.matrix_to_quat(left), geometry.matrix_to_quat(right))
    torch.testing.assert_close(geometry.quat_to_matrix(product), left @ right)


def test_conjugate_inverts(axis_angle):
    quat = geometry.matrix_to_quat(geometry.axis_angle_to_matrix(axis_angle))
    unit = geometry.quat_multiply(quat, geometry.quat_conjugate(quat))
    expected = torch.zeros_like(unit)
    expected[..., 0] = 1
    torch.testing.assert_close(unit, expected)


def test_normals_of_a_tetrahedron_point_outwards_and_turn_with_it():
    vertices = torch.tensor([[1.0, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]], dtype=torch.float64)
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = geometry.vertex_normals(vertices, faces)
    torch.testing.assert_close(normals, torch.nn.functional.normalize(vertices, dim=-1))
    turn = geometry.axis_angle_to_matrix(torch.tensor([0.3, -1.0, 0.4], dtype=torch.float64))
    torch.testing.assert_close(geometry.vertex_normals(vertices @ turn.T, faces), normals @ turn.T)


@pytest.mark.parametrize("with_scale", [True, False])
def test_similarity_align_recovers_the_motion(with_scale):
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    rotation = geometry.axis_angle_to_matrix(torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64))
    scale = torch.tensor(1.7 if with_scale else 1.0, dtype=torch.float64)
    translation = torch.tensor([1.0, -2, 3], dtype=torch.float64)
    target = scale * source @ rotation.T + translation
    found = geometry.similarity_align(source, target, with_scale)
    for value, expected in zip(found, (scale, rotation, translation), strict=True):
        torch.testing.assert_close(value, expected)


def test_similarity_align_never_mirrors():
    source = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3], [-1, 0.5, 0.2]], dtype=torch.float64)
    _, rotation, _ = geometry.similarity_align(source, source * torch.tensor([-1.0, 1, 1]))
    assert torch.linalg.det(rotation) > 0.99
