"""Spherical harmonics: laws of the basis, the 3DGS signs, and the compiled path against torch."""

from __future__ import annotations

import math

import pytest
import torch

from emoga.errors import InputError
from emoga.render import SH_C0, evaluate_sh
from emoga.render.sh import evaluate_sh_reference, sh_basis


def _inputs(count: int, batch: tuple[int, ...] = (3,)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(50, count, 3, generator=generator), torch.randn(*batch, 50, 3, generator=generator)


def test_basis_is_orthonormal_on_the_sphere() -> None:
    """Quadrature that is exact for degree 6: Gauss-Legendre in z, even steps around."""
    import numpy as np

    z, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(8))
    angle = torch.arange(16, dtype=torch.float64) * (2 * math.pi / 16)
    ring = (1 - z**2).sqrt()[:, None]
    directions = torch.stack([ring * angle.cos(), ring * angle.sin(), z[:, None].expand(-1, 16)], -1).reshape(
        -1, 3
    )
    area = (weights[:, None] * (2 * math.pi / 16)).expand(-1, 16).reshape(-1)
    basis = sh_basis(directions, 16)
    gram = basis.T @ (area[:, None] * basis)
    assert torch.allclose(gram, torch.eye(16, dtype=torch.float64), atol=1e-12)


def test_signs_and_order_are_those_of_3dgs() -> None:
    axes = torch.eye(3, dtype=torch.float64)
    first = sh_basis(axes, 4)[:, 1:]
    c1 = 0.4886025119029199
    assert torch.allclose(first, c1 * torch.tensor([[0, 0, -1], [-1, 0, 0], [0, 1, 0]], dtype=torch.float64))
    at_z = sh_basis(axes[2], 16)
    assert at_z[6] == pytest.approx(2 * 0.31539156525252005)
    assert at_z[12] == pytest.approx(2 * 0.3731763325901154)
    diagonal = sh_basis(torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64), 16)
    assert diagonal[4] == pytest.approx(1.0925484305920792 * 0.48)
    assert diagonal[8] == pytest.approx(0.5462742152960396 * (0.36 - 0.64))
    assert diagonal[15] == pytest.approx(-0.5900435899266435 * 0.6 * (0.36 - 3 * 0.64))


def test_dc_alone_is_a_colour_and_negative_is_black() -> None:
    colors = torch.tensor([[0.2, 0.7, -0.4]])
    sh = ((colors - 0.5) / SH_C0)[:, None].requires_grad_()
    result = evaluate_sh(sh, torch.tensor([[0.0, 3.0, 4.0]]))
    assert torch.allclose(result, torch.tensor([[0.2, 0.7, 0.0]]), atol=1e-6)
    result.sum().backward()
    assert sh.grad[0, 0].tolist() == pytest.approx([SH_C0, SH_C0, 0])


@pytest.mark.parametrize("count", [1, 4, 9, 16])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_compiled_agrees_with_torch(count: int, batch: tuple[int, ...]) -> None:
    sh, directions = _inputs(count, batch)
    grad = torch.randn(directions.shape, generator=torch.Generator().manual_seed(0))
    exact = [t.double().requires_grad_() for t in (sh, directions)]
    expected = evaluate_sh_reference(*exact)
    expected_grads = torch.autograd.grad(expected, exact, grad.double(), allow_unused=count == 1)
    inputs = [t.requires_grad_() for t in (sh, directions)]
    actual = evaluate_sh(*inputs)
    assert actual.shape == directions.shape
    assert (actual.double() - expected).abs().max() < 1e-5
    for value, truth in zip(torch.autograd.grad(actual, inputs, grad), expected_grads, strict=True):
        truth = torch.zeros_like(value) if truth is None else truth
        assert (value - truth).norm() <= 1e-5 * truth.norm()


def test_turning_the_camera_does_not_change_degree_zero() -> None:
    sh, directions = _inputs(1)
    assert torch.equal(evaluate_sh(sh, directions), evaluate_sh(sh, -directions))


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match="K 1, 4, 9 or 16"):
        evaluate_sh(torch.zeros(5, 5, 3), torch.zeros(5, 3))
    with pytest.raises(InputError, match="do not go with"):
        evaluate_sh(torch.zeros(5, 4, 3), torch.zeros(4, 3))
