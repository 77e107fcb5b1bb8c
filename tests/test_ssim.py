"""The compiled SSIM against plain torch, and the loss built on it."""

from __future__ import annotations

import pytest
import torch

from emoga.errors import InputError
from emoga.optimize.ssim import dssim_l1_loss, ssim_map, ssim_map_reference


def _pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    a = torch.rand(*shape, 3, generator=generator)
    return a, (a + 0.2 * torch.randn(*shape, 3, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 37, 53), (1, 5, 3), (3, 1, 1), (1, 16, 200), (1, 17, 8)])
def test_map_and_gradients_agree_with_torch(shape: tuple[int, int, int]) -> None:
    a, b = _pair(*shape)
    grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    exact_a, exact_b = (t.double().requires_grad_() for t in (a, b))
    expected = ssim_map_reference(exact_a, exact_b)
    expected_grads = torch.autograd.grad(expected, (exact_a, exact_b), grad.double())
    a.requires_grad_()
    b.requires_grad_()
    actual = ssim_map(a, b)
    assert (actual.double() - expected).abs().max() < 1e-5
    for value, truth in zip(torch.autograd.grad(actual, (a, b), grad), expected_grads, strict=True):
        assert (value.double() - truth).norm() < 1e-5 * truth.norm()


def test_reference_by_hand_and_by_finite_differences() -> None:
    flat = torch.full((1, 32, 32, 3), 0.5, dtype=torch.float64)
    middle = ssim_map_reference(flat, flat * 0.5)[0, 16, 16, 0]
    assert middle == pytest.approx((2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4), rel=1e-9)
    a, b = (t.double().requires_grad_() for t in _pair(1, 4, 5))
    assert torch.autograd.gradcheck(ssim_map_reference, (a, b))


def test_a_picture_equals_itself() -> None:
    a, _ = _pair(1, 40, 40)
    assert (ssim_map(a, a) - 1).abs().max() < 1e-5
    a.requires_grad_()
    assert dssim_l1_loss(a, a.detach()).item() == pytest.approx(0, abs=1e-6)


def test_loss_weights_choose_pixels() -> None:
    a, b = _pair(2, 40, 30)
    weights = torch.zeros(2, 40, 30)
    weights[0, 5:20, 5:25] = 1
    expected = 0.8 * (a - b)[0, 5:20, 5:25].abs().mean() + 0.2 * (1 - ssim_map(a, b)[0, 5:20, 5:25]).mean()
    assert dssim_l1_loss(a, b, weights).item() == pytest.approx(expected.item(), rel=1e-5)
    assert dssim_l1_loss(a, b, torch.ones(2, 40, 30)).item() == pytest.approx(
        dssim_l1_loss(a, b).item(), rel=1e-5
    )
    assert dssim_l1_loss(a, b, torch.zeros(2, 40, 30)).item() == 0
    assert dssim_l1_loss(a, b, weights.requires_grad_()).item() == pytest.approx(expected.item(), rel=1e-5)
    assert dssim_l1_loss(a, b, dssim=0).item() == pytest.approx((a - b).abs().mean().item(), rel=1e-5)
    squared = dssim_l1_loss(a, b, squares=2).item() - dssim_l1_loss(a, b).item()
    assert squared == pytest.approx(2 * (a - b).square().mean().item(), rel=1e-4)


@pytest.mark.parametrize(("dssim", "squares"), [(0.0, 0.0), (0.2, 0.0), (0.2, 30.0), (1.0, 0.0)])
def test_compiled_loss_agrees_with_torch(dssim: float, squares: float) -> None:
    a, b = _pair(2, 37, 29)
    b[0, 3:9] = a[0, 3:9]  # where there is no difference |.| has no slope
    weights = torch.rand(2, 37, 29, generator=torch.Generator().manual_seed(8))
    exact = a.double().requires_grad_()
    a.requires_grad_()
    expected = dssim_l1_loss(exact, b.double(), weights.double(), dssim, squares)
    actual = dssim_l1_loss(a, b, weights, dssim, squares)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)
    (truth,) = torch.autograd.grad(3 * expected, exact)
    (value,) = torch.autograd.grad(3 * actual, a)
    assert (value - truth).norm() < 1e-5 * truth.norm()


def test_same_bits_on_any_number_of_threads() -> None:
    a, b = _pair(1, 90, 70)
    a.requires_grad_()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            values = ssim_map(a, b)
            results.append((values, *torch.autograd.grad(values, a, torch.ones_like(values))))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"\[B,H,W,3\]"):
        ssim_map(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 5, 3))
    with pytest.raises(InputError, match=r"\[B,H,W,3\]"):
        ssim_map(torch.zeros(4, 4, 3), torch.zeros(4, 4, 3))
