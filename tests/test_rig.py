"""Laws of the rig over random meshes and poses: equivariance, round trips, gradients, exactness of files."""

import numpy as np
import pytest
import scipy.spatial
import torch

from emoga.avatar import Avatar, Gaussians
from emoga.avatar.frames import bind_frames, face_patches, ga_frames, smooth_frames
from emoga.avatar.posing import make_puppet
from emoga.avatar.rig import (
    bind_pose,
    rig_of,
    rows_from_world,
    rows_to_world,
    to_local,
    to_world,
    turn_since_bind,
    world_at_bind,
)
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, matrix_to_quat, quat_multiply
from emoga.head import BONES, HeadParams, load_head

DOUBLE = torch.float64


def ball(seed: int, count: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed random mesh of head size."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(count, 3))
    points *= 0.1 / np.linalg.norm(points, axis=1, keepdims=True)
    faces = scipy.spatial.ConvexHull(points).simplices
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return torch.from_numpy(points), torch.from_numpy(faces.astype(np.int64))


def some_gaussians(count: int, rows: int, seed: int = 0, dtype=DOUBLE, bones: bool = False) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    binding = torch.randint(-len(BONES) if bones else 0, rows, (count,), generator=generator)
    return Gaussians(
        normal(count, 3), normal(count, 4), normal(count, 3) * 0.3 - 1, normal(count), normal(count, 4, 3),
        binding, torch.zeros(count, dtype=torch.uint8),
    )  # fmt: skip


FRAMES = {
    "smooth": lambda v, rest, faces: smooth_frames(v, face_patches(rest.numpy(), faces.numpy())),
    "ga": lambda v, rest, faces: ga_frames(v, faces),
}


@pytest.mark.parametrize("rig", FRAMES)
@pytest.mark.parametrize("seed", range(3))
def test_frames_are_rigid_and_follow_rigid_motion(rig, seed):
    rest, faces = ball(seed)
    generator = torch.Generator().manual_seed(seed)
    bent = rest + 0.01 * torch.randn(rest.shape, generator=generator, dtype=DOUBLE)
    turn = axis_angle_to_matrix(torch.randn(3, generator=generator, dtype=DOUBLE))
    shift = torch.randn(3, generator=generator, dtype=DOUBLE)
    before, after = FRAMES[rig](bent, rest, faces), FRAMES[rig](bent @ turn.T + shift, rest, faces)
    eye = torch.eye(3, dtype=DOUBLE).expand_as(before.rotation)
    torch.testing.assert_close(before.rotation @ before.rotation.mT, eye)
    assert (torch.linalg.det(before.rotation) > 0).all()
    torch.testing.assert_close(after.rotation, turn @ before.rotation)
    torch.testing.assert_close(after.origin, before.origin @ turn.T + shift)
    torch.testing.assert_close(after.size, before.size)


@pytest.mark.parametrize("rig", FRAMES)
def test_size_follows_scale(rig):
    rest, faces = ball(1)
    small, large = FRAMES[rig](rest, rest, faces), FRAMES[rig](rest * 1.5, rest, faces)
    torch.testing.assert_close(large.size / small.size, torch.full_like(small.size, 1.5), rtol=0.01, atol=0)


def test_smooth_frames_do_not_depend_on_the_order_of_edges():
    rest, faces = ball(2)
    rolled = faces.roll(1, dims=1)
    bent = rest * torch.tensor([1.0, 0.8, 1.3], dtype=DOUBLE)
    one, other = FRAMES["smooth"](bent, rest, faces), FRAMES["smooth"](bent, rest, rolled)
    torch.testing.assert_close(one.rotation, other.rotation)
    torch.testing.assert_close(one.size, other.size)


def test_smooth_frames_survive_a_collapsed_triangle():
    rest, faces = ball(3)
    flat = rest.clone()
    flat[faces[0]] = rest[faces[0, 0]]
    flat.requires_grad_()
    frames = FRAMES["smooth"](flat, rest, faces)
    (frames.size.sum() + frames.rotation.square().sum() + frames.rotation[:, 0].sum()).backward()
    assert torch.isfinite(flat.grad).all()
    assert frames.size.min() > 0


def test_a_mesh_squeezed_to_a_point_has_finite_gradients():
    rest, faces = ball(4)
    point = torch.zeros_like(rest).requires_grad_()
    frames = FRAMES["smooth"](point, rest, faces)
    (frames.size.sum() + frames.rotation.sum() + frames.origin.sum()).backward()
    assert torch.isfinite(point.grad).all() and (frames.size > 0).all()


@pytest.mark.parametrize("rig", FRAMES)
def test_gradients_of_frames_and_carrying(rig):
    rest, faces = ball(5, count=14)
    gaussians = some_gaussians(6, len(faces))
    moved = (rest + 0.004 * torch.randn(rest.shape, dtype=DOUBLE)).requires_grad_()

    def carried(vertices, means, quats, log_scales):
        local = Gaussians(means, quats, log_scales, gaussians.logit_opacities, gaussians.sh,
                          gaussians.binding, gaussians.labels)  # fmt: skip
        world = to_world(local, FRAMES[rig](vertices, rest, faces))
        return world.means, world.quats, world.scales, world.opacities

    inputs = [
        part.clone().requires_grad_() for part in (gaussians.means, gaussians.quats, gaussians.log_scales)
    ]
    assert torch.autograd.gradcheck(carried, (moved, *inputs), atol=1e-6)


@pytest.mark.parametrize("rig", FRAMES)
def test_world_and_back(rig):
    rest, faces = ball(6)
    gaussians = some_gaussians(200, len(faces))
    frames = FRAMES[rig](rest, rest, faces)
    back = to_local(to_world(gaussians, frames), frames, gaussians)
    torch.testing.assert_close(back.means, gaussians.means)
    torch.testing.assert_close(back.log_scales, gaussians.log_scales)
    torch.testing.assert_close(back.logit_opacities, gaussians.logit_opacities)
    unit = torch.nn.functional.normalize(gaussians.quats, dim=-1)
    torch.testing.assert_close((back.quats * unit).sum(-1).abs(), torch.ones(200, dtype=DOUBLE))


def test_carrying_follows_rigid_motion():
    rest, faces = ball(7)
    gaussians = some_gaussians(50, len(faces))
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.8, 0.2], dtype=DOUBLE))
    frames = [FRAMES["smooth"](v, rest, faces) for v in (rest, rest @ turn.T)]
    still, turned = (to_world(gaussians, f) for f in frames)
    torch.testing.assert_close(turned.means, still.means @ turn.T)
    expected = quat_multiply(matrix_to_quat(turn).expand(50, 4), still.quats)
    torch.testing.assert_close((turned.quats * expected).sum(-1).abs(), torch.ones(50, dtype=DOUBLE))
    torch.testing.assert_close(
        turn_since_bind(frames[1], frames[0], gaussians.binding), turn.expand(50, 3, 3)
    )


def test_batched_frames_carry_each_pose():
    rest, faces = ball(8)
    gaussians = some_gaussians(20, len(faces))
    poses = torch.stack([rest, rest * 1.1])
    together = to_world(gaussians, FRAMES["smooth"](poses, rest, faces))
    for index in range(2):
        alone = to_world(gaussians, FRAMES["smooth"](poses[index], rest, faces))
        torch.testing.assert_close(together.means[index], alone.means)
        torch.testing.assert_close(together.quats[index], alone.quats)


@pytest.mark.parametrize("rig", FRAMES)
def test_file_frames_equal_the_differentiable_ones(rig):
    rest, faces = ball(9)
    bent = rest * torch.tensor([1.0, 1.2, 0.9], dtype=DOUBLE)
    patches = face_patches(rest.numpy(), faces.numpy()) if rig == "smooth" else None
    ours, exact = FRAMES[rig](bent, rest, faces), bind_frames(bent.numpy(), patches, faces.numpy())
    torch.testing.assert_close(ours.rotation, exact.rotation)
    torch.testing.assert_close(ours.size, exact.size)
    torch.testing.assert_close(ours.origin, exact.origin)


@pytest.fixture(scope="module")
def avatar():
    head = load_head()
    generator = torch.Generator().manual_seed(1)
    shape = 0.5 * torch.randn(len(head.shape_names), generator=generator)
    offset = 0.0005 * torch.randn(head.template.shape, generator=generator)
    return Avatar(
        some_gaussians(3000, len(head.faces), dtype=torch.float32, bones=True), head.name, head.version,
        head.checksum, shape, torch.zeros(len(head.expr_names)), offset,
    )  # fmt: skip


def test_files_hold_what_the_puppet_shows_at_the_bind_pose(avatar):
    head = load_head()
    params = HeadParams.zeros(head, 1)
    params.expr[0] = head.bind_expr()
    posed = make_puppet(avatar).pose(params)
    rows = world_at_bind(avatar)
    torch.testing.assert_close(posed.world.means, torch.from_numpy(rows.means), atol=5e-6, rtol=1e-4)
    scales = torch.from_numpy(rows.log_scales).exp()
    torch.testing.assert_close(posed.world.scales, scales, atol=1e-5, rtol=1e-3)
    same = (posed.world.quats * torch.from_numpy(rows.quats)).sum(-1).abs()
    assert (same > 1 - 1e-4).all()
    eye = torch.eye(3).expand(len(avatar.gaussians), 3, 3)
    torch.testing.assert_close(posed.turn, eye, atol=5e-3, rtol=0)


@pytest.mark.parametrize("rig", ["smooth", "ga"])
def test_file_rows_equal_carrying_in_float64(avatar, rig):
    frames = bind_pose(Avatar(**{**vars(avatar), "rig": rig}))
    gaussians = Gaussians(
        **{k: v.double() if v.is_floating_point() else v for k, v in vars(avatar.gaussians).items()}
    )
    world, rows = to_world(gaussians, frames), rows_to_world(avatar.gaussians, frames)
    np.testing.assert_allclose(rows.means, world.means, atol=1e-7)
    np.testing.assert_allclose(rows.log_scales, world.scales.log(), atol=1e-5)
    np.testing.assert_allclose(np.abs((rows.quats * world.quats.numpy()).sum(1)), 1, atol=1e-5)


def test_bind_rows_do_not_depend_on_threads(avatar):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = world_at_bind(avatar)
        torch.set_num_threads(2)
        two = world_at_bind(avatar)
    finally:
        torch.set_num_threads(before)
    for name in vars(one):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


def test_changed_rows_come_back_through_the_rig(avatar):
    frames = bind_pose(avatar)
    rows = rows_to_world(avatar.gaussians, frames)
    local = rows_from_world(rows, avatar.gaussians.binding, avatar.gaussians.labels, frames)
    again = rows_to_world(local, frames)
    np.testing.assert_allclose(again.means, rows.means, atol=1e-7)
    np.testing.assert_allclose(again.log_scales, rows.log_scales, atol=1e-5)
    torch.testing.assert_close(local.means, avatar.gaussians.means, atol=2e-4, rtol=1e-4)


def test_gaussians_on_the_jaw_bone_turn_with_the_jaw(avatar):
    head = load_head()
    jaw = -1 - BONES.index("jaw")
    one = Gaussians(**{k: v[:1].clone() for k, v in vars(avatar.gaussians).items()})
    one.binding[:] = jaw
    one.means[:] = torch.tensor([[0.0, -8.0, 5.0]])  # centimetres
    puppet = make_puppet(avatar.with_gaussians(one))
    params = HeadParams.zeros(head, 2)
    params.expr[1, head.unit("jawOpen")] = 1.0
    closed, opened = (puppet.pose(params, frame).world.means[0] for frame in range(2))
    assert opened[1] < closed[1] - 0.01  # the chin drops by more than a centimetre


def test_gaussians_fade_on_a_lid_that_folds_away():
    head = load_head()
    rig = rig_of(head)
    params = HeadParams.zeros(head, 2)
    params.expr[1, head.unit("eyeBlinkLeft")] = 1.0
    fade = rig.frames(head.vertices(params)).fade
    lids = torch.from_numpy(rig.patches.fading)
    assert (fade[:, ~lids] == 1).all()
    assert ((fade >= 0) & (fade <= 1)).all()
    assert (fade[1][lids] < 1).any()


def test_unknown_rig_and_other_head_version_are_refused(avatar):
    with pytest.raises(InputError, match="unknown rig"):
        rig_of(load_head(), "rubber")
    with pytest.raises(InputError, match="mixing versions"):
        bind_pose(Avatar(**{**vars(avatar), "head_checksum": "0" * 64}))
