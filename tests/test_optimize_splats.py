"""Parts of the fit: fused carrying against plain torch, Adam, tethers, density control."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from emoga.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.geometry import axis_angle_to_matrix
from emoga.head import BONES
from emoga.optimize.adam import AdamState, adam_step
from emoga.optimize.carry import _carry_torch, carry, sort_bindings
from emoga.optimize.density import Density, refine, removable, split
from emoga.optimize.regularise import Tether, add_tether
from emoga.optimize.splats import PARAMETERS, Splats

TRIANGLES = 40


def some_frames(seed: int, dtype=torch.float32) -> TriangleFrames:
    generator = torch.Generator().manual_seed(seed)
    count = TRIANGLES + len(BONES)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    turn = axis_angle_to_matrix(random(count, 3))
    fade, shade = (torch.rand(count, *size, generator=generator, dtype=torch.float64) for size in ((), (3,)))
    return TriangleFrames(
        random(count, 3) * 0.1,
        turn,
        random(count).abs() * 0.01 + 0.002,
        fade.to(dtype),
        (0.6 + shade).to(dtype),
    )


def some_gaussians(count: int, degree: int = 1, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    binding = torch.randint(-len(BONES), TRIANGLES, (count,), generator=generator)
    return Gaussians(
        random(count, 3), random(count, 4), random(count, 3) * 0.4 - 1, random(count),
        random(count, (degree + 1) ** 2, 3) * 0.5, binding, torch.zeros(count, dtype=torch.uint8),
    )  # fmt: skip


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_fused_carrying_equals_plain_torch(degree):
    frames, bind = some_frames(1), some_frames(2)
    camera = torch.tensor([0.1, 0.2, 0.8])
    weights = None
    results = []
    for call in (carry, _carry_torch):
        gaussians = Splats.start(some_gaussians(300, degree), TRIANGLES).gaussians
        leaves = TriangleFrames(
            *(part.clone().requires_grad_() for part in (frames.origin, frames.rotation, frames.size)),
            frames.fade,
            frames.shade,
        )
        carried = call(gaussians, sort_bindings(gaussians.binding, TRIANGLES), leaves, bind, camera)
        outputs = (carried.means, carried.scales, carried.opacities, carried.colors)
        if weights is None:
            generator = torch.Generator().manual_seed(3)
            weights = [torch.randn(part.shape, generator=generator) for part in outputs]
            quat_weights = torch.randn(carried.quats.shape, generator=generator)
        loss = sum((part * weight).sum() for part, weight in zip(outputs, weights, strict=True))
        # The fused version treats the frame's own turn of a Gaussian's axes as given.
        with_quats = loss + (carried.quats * quat_weights).sum()
        with_quats.backward(retain_graph=True)
        local = [getattr(gaussians, name).grad for name in PARAMETERS]
        for part in (leaves.origin, leaves.rotation, leaves.size):
            part.grad = None
        loss.backward()
        results.append((outputs + (carried.quats,), local, (leaves.origin, leaves.rotation, leaves.size)))
    (fused, fused_local, fused_frames), (plain, plain_local, plain_frames) = results
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-4)
    for one, other in zip(fused_local, plain_local, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    for one, other in zip(fused_frames, plain_frames, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=2e-4, rtol=1e-3)


def test_carrying_gives_the_same_bits_on_any_number_of_threads():
    frames, bind = some_frames(4), some_frames(5)
    outcomes, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            gaussians = Splats.start(some_gaussians(501), TRIANGLES).gaussians
            origin = frames.origin.clone().requires_grad_()
            posed = replace(frames, origin=origin)
            carried = carry(
                gaussians, sort_bindings(gaussians.binding, TRIANGLES), posed, bind, torch.zeros(3)
            )
            (carried.means.square().sum() + carried.colors.sum()).backward()
            outcomes.append([carried.means, gaussians.sh.grad, gaussians.means.grad, origin.grad])
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*outcomes, strict=True):
        assert torch.equal(one, other)


def test_adam_agrees_with_torch_when_every_row_takes_part():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, 3, generator=generator)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    state = AdamState.zeros_like(ours)
    optimizer = torch.optim.Adam([theirs], lr=0.01, eps=1e-15)
    for _ in range(20):
        gradient = torch.randn(50, 3, generator=generator)
        adam_step(ours, gradient, state, 0.01)
        theirs.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_leaves_other_rows_alone_and_counts_each_rows_own_steps(dtype):
    value = torch.zeros(4, 2, dtype=dtype)
    state = AdamState.zeros_like(value)
    rows = torch.tensor([True, False, True, False])
    rates = torch.tensor([0.1, 0.0], dtype=dtype)
    adam_step(value, torch.ones(4, 2, dtype=dtype), state, rates, rows)
    expected = torch.tensor([[-0.1, 0], [0, 0], [-0.1, 0], [0, 0]], dtype=dtype)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    adam_step(value, torch.ones(4, 2, dtype=dtype), state, rates, ~rows)
    torch.testing.assert_close(value[:, 0], torch.full((4,), -0.1, dtype=dtype), atol=1e-5, rtol=1e-5)
    assert state.steps.tolist() == [1, 1, 1, 1]


def test_tether_has_the_gradient_of_its_definition():
    gaussians = Splats.start(some_gaussians(200), TRIANGLES).gaussians
    visible = torch.rand(200, generator=torch.Generator().manual_seed(1)) > 0.4
    reach = torch.full((200,), 1.0)
    reach[:50] = 3.0
    for value in (gaussians.means, gaussians.log_scales):
        value.grad = torch.zeros_like(value)
    add_tether(gaussians, visible, Tether(reach, scale=0.4, distance_weight=0.01, scale_weight=1.0))
    means, log_scales = (
        value.detach().clone().requires_grad_() for value in (gaussians.means, gaussians.log_scales)
    )
    distance = (means.norm(dim=1) - reach).clamp_min(0)[visible].sum() / visible.sum()
    excess = (log_scales.exp() - 0.4).clamp_min(0)[visible].sum() / visible.sum()
    (0.01 * distance + excess).backward()
    torch.testing.assert_close(gaussians.means.grad, means.grad)
    torch.testing.assert_close(gaussians.log_scales.grad, log_scales.grad)


def crowded(count: int = 400) -> Splats:
    """Several Gaussians on every triangle and bone."""
    gaussians = some_gaussians(count)
    gaussians.binding[: TRIANGLES + len(BONES)] = torch.arange(-len(BONES), TRIANGLES)
    gaussians.sh[:, 0, 0] = torch.arange(count) / count  # so that each can be told from the others
    return Splats.start(gaussians, TRIANGLES)


def test_every_triangle_keeps_one_gaussian():
    splats = crowded()
    with torch.no_grad():
        splats.gaussians.logit_opacities.fill_(-9.0)
    fixed = torch.zeros(len(splats), dtype=torch.bool)
    kept = splats.select(~removable(splats, Density(budget=1000), fixed))
    assert len(kept) == TRIANGLES + len(BONES)
    assert sorted(kept.gaussians.binding.tolist()) == list(range(-len(BONES), TRIANGLES))


def test_fixed_gaussians_neither_go_nor_split():
    splats = crowded()
    with torch.no_grad():
        splats.gaussians.logit_opacities[::2] = -9.0
    fixed = torch.zeros(len(splats), dtype=torch.bool)
    fixed[100:200] = True
    splats.observe(torch.ones(len(splats)), torch.ones(len(splats), dtype=torch.bool))
    marks = set(splats.gaussians.sh[fixed, 0, 0].tolist())
    refined = refine(splats, Density(budget=2000), fixed)
    found = refined.gaussians.sh[:, 0, 0].tolist()
    assert all(found.count(mark) == 1 for mark in marks)


def test_the_hardest_pulled_split_and_children_inherit():
    splats = crowded()
    with torch.no_grad():
        splats.gaussians.logit_opacities.fill_(1.0)
    slope = torch.zeros(len(splats))
    slope[[7, 70, 300]] = torch.tensor([5.0, 3.0, 4.0])
    splats.observe(slope, torch.ones(len(splats), dtype=torch.bool))
    before = splats.gaussians.detach()
    refined = refine(splats, Density(budget=402), torch.zeros(len(splats), dtype=torch.bool))
    assert len(refined) == 402
    for parent in (7, 300):
        children = refined.gaussians.sh[:, 0, 0] == before.sh[parent, 0, 0]
        assert children.sum() == 2
        assert (refined.gaussians.binding[children] == before.binding[parent]).all()
        for name, state in refined.states.items():
            assert not state.mean[children].any(), name
    assert (refined.gaussians.sh[:, 0, 0] == before.sh[70, 0, 0]).sum() == 1
    assert not refined.slope.any() and not refined.seen.any()


def test_split_children_cover_their_parent():
    parents = some_gaussians(100, seed=2)
    children = split(parents)
    first, second = children.select(torch.arange(100)), children.select(torch.arange(100, 200))
    torch.testing.assert_close((first.means + second.means) / 2, parents.means)
    gap = (first.means - second.means).norm(dim=1)
    torch.testing.assert_close(gap, parents.log_scales.exp().amax(1))
    assert (children.log_scales.exp().amax(1) < parents.log_scales.exp().amax(1).repeat(2)).all()
    assert (children.logit_opacities < parents.logit_opacities.repeat(2)).all()


def test_side_data_follow_selection_and_growth():
    splats = crowded(120)
    for name in PARAMETERS:
        splats.states[name].mean += torch.arange(120.0).reshape(
            -1, *[1] * (splats.states[name].mean.ndim - 1)
        )
    splats.slope += torch.arange(120.0)
    grown = splats.select(torch.arange(0, 120, 3)).extended(some_gaussians(5, seed=9))
    assert len(grown) == 45 and len(grown.bindings.rows) == 45
    for state in grown.states.values():
        rows = state.mean.reshape(45, -1)[:, 0]
        np.testing.assert_array_equal(rows[:40], np.arange(0, 120, 3))
        assert not rows[40:].any()
    np.testing.assert_array_equal(grown.slope[:40], np.arange(0, 120, 3))
    assert not grown.slope[40:].any()


def test_update_moves_only_what_was_seen():
    splats = crowded(90)
    before = splats.gaussians.detach().means.clone()
    (splats.gaussians.means.sum() + splats.gaussians.quats.sum()).backward()
    visible = torch.zeros(90, dtype=torch.bool)
    visible[::2] = True
    splats.update({"means": 0.01, "quats": 0.0}, visible)
    moved = (splats.gaussians.means - before).abs().amax(1)
    assert (moved[~visible] == 0).all()
    torch.testing.assert_close(moved[visible], torch.full((45,), 0.01), atol=1e-5, rtol=1e-3)
    assert splats.gaussians.means.grad is None
    assert math.isclose(float(splats.states["means"].steps.sum()), 45)


def test_arrays_that_lie_otherwise_are_updated_too():
    plain = some_gaussians(6)
    turned = replace(plain, sh=plain.sh.permute(2, 1, 0).contiguous().permute(2, 1, 0))
    assert not turned.sh.is_contiguous()
    results = []
    for gaussians in (plain, turned):
        splats = Splats.start(gaussians, TRIANGLES)
        splats.gaussians.sh.grad = torch.ones_like(plain.sh)
        splats.update({"sh": 0.1}, torch.ones(6, dtype=torch.bool))
        results.append(splats.gaussians.sh.detach())
    assert torch.equal(*results)
    assert (results[0] - plain.sh).abs().min() > 0.09


def test_adam_refuses_to_update_a_copy():
    values = torch.zeros(4, 6).T
    with pytest.raises(ValueError, match="contiguous"):
        adam_step(values, torch.ones(6, 4), AdamState.zeros_like(torch.zeros(6, 4)), 0.1)
