"""Camera conventions: OpenCV axes, pixel centres at +0.5, look-at, resizing."""

import numpy as np
import torch

from emoga.camera import look_at, project_points, stack_cameras


def test_target_lands_in_the_middle_and_up_is_up():
    camera = look_at((0.3, 0.1, 1.0), (0, 0, 0), 0.5, 640, 480)
    pixels, depth = camera.project(np.array([[0.0, 0, 0], [0, 0.05, 0]]))
    np.testing.assert_allclose(pixels[0], [320, 240], atol=1e-9)
    assert pixels[1, 1] < pixels[0, 1]
    np.testing.assert_allclose(depth[0], np.linalg.norm([0.3, 0.1, 1.0]))


def test_subjects_left_is_on_the_right_of_a_frontal_picture():
    camera = look_at((0, 0, 1.0), (0, 0, 0), 0.5, 100, 100)
    pixels, _ = camera.project(np.array([[0.05, 0.0, 0.0]]))
    assert pixels[0, 0] > 50


def test_position_inverts_the_pose():
    camera = look_at((0.3, -0.2, 0.9), (0, 0.1, 0), 0.5, 64, 64)
    np.testing.assert_allclose(camera.position, [0.3, -0.2, 0.9])


def test_resizing_scales_pixels():
    camera = look_at((0.3, -0.2, 0.9), (0, 0.1, 0), 0.5, 64, 48)
    point = np.array([[0.02, 0.03, 0.01]])
    half = camera.resized(32, 24)
    np.testing.assert_allclose(half.project(point)[0] * 2, camera.project(point)[0])


def test_field_of_view_is_what_was_asked_for():
    assert abs(look_at((0, 0, 1), (0, 0, 0), 0.6, 64, 48).fov_y - 0.6) < 1e-12


def test_torch_projection_agrees_with_numpy():
    cameras = [look_at((x, 0.1, 1.0), (0, 0, 0), 0.5, 64, 48) for x in (-0.3, 0.0, 0.4)]
    points = np.random.default_rng(0).normal(size=(7, 3)) * 0.1
    viewmats, Ks = stack_cameras(cameras, dtype=torch.float64)
    pixels = project_points(torch.as_tensor(points), viewmats, Ks)
    for index, camera in enumerate(cameras):
        np.testing.assert_allclose(pixels[index].numpy(), camera.project(points)[0])
