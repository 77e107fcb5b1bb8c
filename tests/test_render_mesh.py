"""Mesh rasterizer: coverage and depth by brute force, gradients by finite differences, soft outlines."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from pytorch3d_stand_in import pytorch3d_modules

from emoga.errors import InputError, MissingComponent
from emoga.render import interpolate, rasterize_mesh, soft_silhouette
from emoga.render.mesh import to_camera, to_pixels

WIDTH, HEIGHT = 61, 47


def _camera(count: int = 1, distance: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    viewmats = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    for c in range(count):
        turn = torch.tensor(0.4 * c)
        viewmats[c, 0, 0], viewmats[c, 0, 2] = turn.cos(), turn.sin()
        viewmats[c, 2, 0], viewmats[c, 2, 2] = -turn.sin(), turn.cos()
    viewmats[:, 2, 3] = distance
    K = torch.tensor([[55.0, 0, 29.3], [0, 60.0, 24.8], [0, 0, 1]], dtype=torch.float64)
    return viewmats, K.repeat(count, 1, 1)


def _ball(steps: int = 12, radius: float = 0.6) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed ellipsoid, faces counter-clockwise from outside."""
    ring = 2 * steps
    polar = np.pi * (np.arange(1, steps)) / steps
    around = 2 * np.pi * np.arange(ring) / ring
    grid = np.stack(
        [
            np.outer(np.sin(polar), np.cos(around)),
            np.outer(np.cos(polar), np.ones(ring)),
            np.outer(np.sin(polar), np.sin(around)),
        ],
        -1,
    ).reshape(-1, 3)
    vertices = np.concatenate([grid, [[0, 1, 0], [0, -1, 0]]]) * [radius, 1.1 * radius, radius]
    top, bottom = len(grid), len(grid) + 1
    faces = []
    for j in range(ring):
        k = (j + 1) % ring
        faces.append([top, k, j])
        faces.append([bottom, (steps - 2) * ring + j, (steps - 2) * ring + k])
        for i in range(steps - 2):
            a, b = i * ring + j, i * ring + k
            faces += [[a, b, b + ring], [a, b + ring, a + ring]]
    return torch.from_numpy(vertices), torch.tensor(faces)


def _brute_force(vertices, faces, viewmats, Ks, near=0.01):
    """face_index, bary, depth by intersecting every pixel's ray with every face."""
    points = to_camera(vertices, viewmats)
    pixels = torch.cartesian_prod(torch.arange(HEIGHT), torch.arange(WIDTH)).flip(-1).double() + 0.5
    results = []
    for c in range(len(viewmats)):
        K = Ks[c]
        rays = torch.cat([(pixels - K[:2, 2]) / K.diagonal()[:2], torch.ones(len(pixels), 1)], 1)
        corners = points[c][faces]
        drawn = (corners[..., 2] > near).all(-1)
        matrices = torch.where(drawn[:, None, None], corners.mT, torch.eye(3, dtype=torch.float64))
        weights = torch.linalg.solve(matrices[None], rays[:, None, :, None])[..., 0]
        hit = (weights >= 0).all(-1) & drawn
        inverse_depth = torch.where(hit, weights.sum(-1), 0)
        best = inverse_depth.max(1)
        found = best.values > 0
        index = torch.where(found, best.indices, -1)
        bary = weights[torch.arange(len(pixels)), best.indices]
        bary = torch.where(found[:, None], bary / bary.sum(-1, keepdim=True), 0)
        results.append((index, bary, torch.where(found, 1 / best.values, 0)))
    return (
        torch.stack(r).reshape(len(viewmats), HEIGHT, WIDTH, -1).squeeze(-1)
        for r in zip(*results, strict=True)
    )


def _soup() -> tuple[torch.Tensor, torch.Tensor]:
    """Triangles of all sizes, some crossing each other, the near plane and the frame."""
    rng = np.random.default_rng(2)
    centres = rng.uniform([-1.5, -1.5, -2.2], [1.5, 1.5, 1.5], (120, 1, 3))
    corners = centres + rng.normal(size=(120, 3, 3)) * rng.uniform(0.02, 0.7, (120, 1, 1))
    return torch.from_numpy(corners.reshape(-1, 3)), torch.arange(360).reshape(120, 3)


@pytest.mark.parametrize("make", [_ball, _soup])
def test_nearest_face_by_brute_force(make) -> None:
    vertices, faces = make()
    viewmats, Ks = _camera(2)
    index, bary, depth = _brute_force(vertices, faces, viewmats, Ks)
    fragments = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    assert torch.equal(fragments.face_index, index)
    assert (index >= 0).double().mean() > 0.2
    assert torch.allclose(fragments.bary, bary, atol=1e-5)
    assert torch.allclose(fragments.depth, depth, atol=1e-5)


def test_a_closed_surface_has_no_holes_and_no_back() -> None:
    vertices, faces = _ball(40)
    viewmats, Ks = _camera()
    both = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    front = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT, cull_backfaces=True)
    inside = rasterize_mesh(vertices, faces.flip(1), viewmats, Ks, WIDTH, HEIGHT, cull_backfaces=True)
    assert torch.equal(both.face_index, front.face_index)
    assert torch.equal(both.covered, inside.covered)
    through = inside.depth - both.depth
    assert through.min() >= 0 and through.max() == pytest.approx(1.2, abs=0.02)
    rows = front.covered[0].int()
    assert (rows.diff(dim=1).abs().sum(1) <= 2).all(), "each row is one unbroken run"


def test_faces_too_near_and_broken_points_are_left_out() -> None:
    vertices, faces = _ball()
    viewmats, Ks = _camera(distance=0.3)
    fragments = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT, near=0.2)
    z = to_camera(vertices, viewmats)[0, :, 2]
    drawn = fragments.face_index[fragments.covered]
    assert len(drawn) and (z[faces[drawn]] > 0.2).all()
    viewmats, Ks = _camera()
    broken = vertices.clone()
    broken[5] = torch.nan
    broken[9, 0] = torch.inf
    fragments = rasterize_mesh(broken, faces, viewmats, Ks, WIDTH, HEIGHT)
    hurt = ((faces == 5) | (faces == 9)).any(1)
    assert fragments.covered.any() and not hurt[fragments.face_index[fragments.covered]].any()
    assert fragments.bary.isfinite().all()


def test_no_faces_is_an_empty_picture() -> None:
    viewmats, Ks = _camera()
    fragments = rasterize_mesh(
        torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long), viewmats.float(), Ks.float(), 8, 6
    )
    assert not fragments.covered.any() and fragments.depth.sum() == 0
    assert interpolate(fragments, torch.zeros(0, 2)).shape == (1, 6, 8, 2)


def test_interpolated_positions_lie_on_the_pixel_rays() -> None:
    vertices, faces = _ball()
    viewmats, Ks = _camera(2)
    fragments = rasterize_mesh(vertices.float(), faces, viewmats.float(), Ks.float(), WIDTH, HEIGHT)
    points = interpolate(fragments, vertices)
    local = torch.einsum("cij,chwj->chwi", viewmats[:, :3, :3], points) + viewmats[:, None, None, :3, 3]
    pixels = to_pixels(local, Ks)
    expected = torch.stack(torch.meshgrid(torch.arange(WIDTH), torch.arange(HEIGHT), indexing="xy"), -1) + 0.5
    covered = fragments.covered
    assert (pixels - expected)[covered].abs().max() < 1e-3
    assert torch.allclose(local[..., 2][covered], fragments.depth[covered].double(), atol=1e-5)
    assert points[~covered].abs().max() == 0


def test_gradients_by_finite_differences() -> None:
    """Of attributes, and of vertices through barycentrics and depth where the visible face stays the same."""
    vertices, faces = _ball(6)
    viewmats, Ks = _camera()
    attributes = torch.rand(len(vertices), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fixed = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT).face_index
    inner = torch.nn.functional.max_pool2d((fixed < 0).double()[:, None], 5, 1, 2)[:, 0] == 0
    same = torch.nn.functional.pad(fixed, (1, 1, 1, 1), value=-2)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner &= same[:, dy : dy + HEIGHT, dx : dx + WIDTH] == fixed
    chosen = torch.nonzero(inner)[::29].unbind(1)
    assert len(chosen[0]) > 5

    def render(vertices, attributes, viewmats, Ks):
        fragments = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
        return interpolate(fragments, attributes)[chosen], fragments.depth[chosen]

    inputs = [t.clone().requires_grad_() for t in (vertices, attributes, viewmats, Ks)]
    assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-6, check_undefined_grad=False)


def test_attributes_may_have_their_own_faces() -> None:
    vertices, faces = _ball()
    viewmats, Ks = _camera()
    fragments = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    uv = torch.rand(len(vertices), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shuffle = torch.randperm(len(vertices), generator=torch.Generator().manual_seed(1))
    renamed = torch.empty_like(shuffle)
    renamed[shuffle] = torch.arange(len(vertices))
    plain = interpolate(fragments, uv)
    assert torch.allclose(interpolate(fragments, uv[shuffle], renamed[faces]), plain)
    assert torch.allclose(interpolate(fragments, uv[None]), plain)


def _soft(vertices: torch.Tensor, faces: torch.Tensor, softness: float = 1.5) -> torch.Tensor:
    viewmats, Ks = _camera()
    fragments = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    return soft_silhouette(fragments, vertices, viewmats, Ks, softness)


def test_soft_silhouette_of_a_straight_edge_is_its_distance() -> None:
    """The left edge of a large rectangle at x = 20.25: sigmoid of the distance, in every row."""
    left = (20.25 - 29.3) / 55 * 2
    corners = torch.tensor([[left, -9, 0], [9, -9, 0], [9, 9, 0], [left, 9, 0]], dtype=torch.float64)
    soft = _soft(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))[0]
    expected = torch.sigmoid((torch.arange(16, 25) + 0.5 - 20.25).double() / 1.5)
    assert torch.allclose(soft[:, 16:25], expected.expand(HEIGHT, 9), atol=1e-6)
    assert (soft[:, 30:] == 1).all() and (soft[:, :12] == 0).all()


def test_soft_silhouette_gradient_points_to_the_target() -> None:
    """Area grows with radius as it should, and descent moves and scales a ball onto another's outline."""
    vertices, faces = _ball(24)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(_soft(vertices * scale, faces).sum(), scale)
    # d(area)/d(scale) = 2 area for a flat shape; a ball's outline grows a little faster.
    area = _soft(vertices, faces).sum()
    assert slope / (2 * area) == pytest.approx(1.1, abs=0.15)

    target = _soft(vertices * 0.9 + torch.tensor([0.08, -0.05, 0]), faces)
    pose = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([pose], lr=0.01)
    for _ in range(60):
        moved = vertices * pose[2] + torch.cat([pose[:2], pose.new_zeros(1)])
        loss = (_soft(moved, faces) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert pose.tolist() == pytest.approx([0.08, -0.05, 0.9], abs=0.01)


def test_soft_silhouette_of_an_empty_or_full_picture() -> None:
    for corners, value in (
        ([[-99, -99, 0], [99, -99, 0], [0, 99, 0]], 1),
        ([[0, 0, -9], [1, 0, -9], [0, 1, -9]], 0),
    ):
        vertices = torch.tensor(corners, dtype=torch.float64, requires_grad=True)
        soft = _soft(vertices, torch.tensor([[0, 1, 2]]))
        assert (soft == value).all()


def test_wrong_arguments_are_named() -> None:
    vertices, faces = _ball()
    viewmats, Ks = _camera(2)
    with pytest.raises(InputError, match="3 sets of vertices for 2 cameras"):
        rasterize_mesh(vertices.expand(3, -1, -1), faces, viewmats, Ks, 8, 8)
    with pytest.raises(InputError, match="must end in 3"):
        rasterize_mesh(vertices, faces[:, :2], viewmats, Ks, 8, 8)
    with pytest.raises(InputError, match="unknown backend"):
        rasterize_mesh(vertices, faces, viewmats, Ks, 8, 8, backend="opengl")


def _has_pytorch3d() -> bool:
    try:
        import pytorch3d  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(_has_pytorch3d(), reason="pytorch3d is installed here")
def test_missing_pytorch3d_is_named() -> None:
    vertices, faces = _ball()
    viewmats, Ks = _camera()
    with pytest.raises(MissingComponent, match="pytorch3d is not installed"):
        rasterize_mesh(vertices, faces, viewmats, Ks, 8, 8, backend="pytorch3d")


@pytest.mark.skipif(not _has_pytorch3d(), reason="NOT RUN: needs pytorch3d")
def test_pytorch3d_sees_the_same_faces() -> None:
    vertices, faces = (t.float() if t.is_floating_point() else t for t in _ball())
    viewmats, Ks = (t.float() for t in _camera(2))
    ours = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    theirs = rasterize_mesh(vertices, faces, viewmats, Ks, WIDTH, HEIGHT, backend="pytorch3d")
    assert (ours.face_index == theirs.face_index).double().mean() > 0.995


@pytest.mark.parametrize("near", [0.01, 1.5])
@pytest.mark.parametrize("cull", [False, True])
def test_pytorch3d_is_called_by_its_conventions(monkeypatch, near: float, cull: bool) -> None:
    for name, module in pytorch3d_modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    vertices, faces = _ball()
    if cull:  # an open ball, into which one looks
        faces = faces[::2]
    viewmats, Ks = _camera(2)
    arguments = (vertices, faces, viewmats, Ks, WIDTH, HEIGHT)
    ours, theirs = (
        rasterize_mesh(*arguments, near=near, cull_backfaces=cull, backend=backend)
        for backend in ("cpu", "pytorch3d")
    )
    assert (ours.face_index == theirs.face_index).double().mean() > 0.995
    assert 0.05 < ours.covered.double().mean() < 0.9
    same = (ours.face_index == theirs.face_index) & ours.covered
    torch.testing.assert_close(theirs.depth[same], ours.depth[same])
