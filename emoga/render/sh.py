"""View-dependent colour: real spherical harmonics up to degree 3, basis and signs of 3DGS files."""

from __future__ import annotations

import math

import numpy as np
import torch

from emoga.errors import InputError
from emoga.kernels import kernel, run_parallel

SH_C0 = math.sqrt(1 / (4 * math.pi))
_C1 = math.sqrt(3 / (4 * math.pi))
_C2 = math.sqrt(15 / (4 * math.pi))
_C20 = math.sqrt(5 / (16 * math.pi))
_C30 = math.sqrt(7 / (16 * math.pi))
_C31 = math.sqrt(21 / (32 * math.pi))
_C32 = math.sqrt(105 / (4 * math.pi))
_C33 = math.sqrt(35 / (32 * math.pi))

_DEGREES = {1: 0, 4: 1, 9: 2, 16: 3}


def sh_basis(directions: torch.Tensor, count: int) -> torch.Tensor:
    """The first `count` (1, 4, 9 or 16) basis functions [...,count] of unit directions [...,3]."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, SH_C0)]
    if count > 1:
        basis += [-_C1 * y, _C1 * z, -_C1 * x]
    if count > 4:
        basis += [_C2 * x * y, -_C2 * y * z, _C20 * (2 * z * z - x * x - y * y), -_C2 * x * z]
        basis += [_C2 / 2 * (x * x - y * y)]
    if count > 9:
        basis += [-_C33 * y * (3 * x * x - y * y), _C32 * x * y * z, -_C31 * y * (4 * z * z - x * x - y * y)]
        basis += [_C30 * z * (2 * z * z - 3 * x * x - 3 * y * y), -_C31 * x * (4 * z * z - x * x - y * y)]
        basis += [_C32 / 2 * z * (x * x - y * y), -_C33 * x * (x * x - 3 * y * y)]
    return torch.stack(basis, -1)


def evaluate_sh_reference(sh: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """`evaluate_sh` in plain torch, on any device and float dtype."""
    unit = torch.nn.functional.normalize(directions, dim=-1)
    return ((sh_basis(unit, sh.shape[1])[..., None] * sh).sum(-2) + 0.5).clamp(min=0)


def evaluate_sh(sh: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Colours [...,N,3] of sh [N,K,3] (K 1, 4, 9 or 16, DC first) seen along directions [...,N,3].

    Directions point from the camera to the Gaussian, of any length. As in 3DGS 0.5 is added and negative
    colours become 0, without a gradient there. Gradients flow to both inputs. CPU float32 runs compiled.

    Raises InputError when K is none of these or the shapes do not go together.
    """
    if sh.ndim != 3 or sh.shape[1] not in _DEGREES or sh.shape[2] != 3:
        raise InputError(
            f"evaluate_sh: sh has shape {tuple(sh.shape)}, expected [N,K,3] with K 1, 4, 9 or 16"
        )
    if tuple(directions.shape[-2:]) != (sh.shape[0], 3):
        raise InputError(
            f"evaluate_sh: directions {tuple(directions.shape)} do not go with sh {tuple(sh.shape)}"
        )
    if sh.device.type == "cpu" and sh.dtype == directions.dtype == torch.float32:
        batch = directions.reshape(-1, *directions.shape[-2:])
        return _EvaluateSh.apply(sh.contiguous(), batch.contiguous()).reshape(directions.shape)
    return evaluate_sh_reference(sh, directions)


_ZERO, _HALF, _ONE, _TWO, _THREE, _FOUR, _SIX, _EIGHT = (np.float32(v) for v in (0, 0.5, 1, 2, 3, 4, 6, 8))
_F0, _F1, _F2, _F20 = (np.float32(v) for v in (SH_C0, _C1, _C2, _C20))
_F30, _F31, _F32, _F33 = (np.float32(v) for v in (_C30, _C31, _C32, _C33))


@kernel(inline=True)
def _fill_basis(basis, count, x, y, z):
    """basis [16] for a unit direction; same functions as `sh_basis`."""
    basis[0] = _F0
    if count > 1:
        basis[1] = -_F1 * y
        basis[2] = _F1 * z
        basis[3] = -_F1 * x
    if count > 4:
        basis[4] = _F2 * x * y
        basis[5] = -_F2 * y * z
        basis[6] = _F20 * (_TWO * z * z - x * x - y * y)
        basis[7] = -_F2 * x * z
        basis[8] = _HALF * _F2 * (x * x - y * y)
    if count > 9:
        basis[9] = -_F33 * y * (_THREE * x * x - y * y)
        basis[10] = _F32 * x * y * z
        basis[11] = -_F31 * y * (_FOUR * z * z - x * x - y * y)
        basis[12] = _F30 * z * (_TWO * z * z - _THREE * x * x - _THREE * y * y)
        basis[13] = -_F31 * x * (_FOUR * z * z - x * x - y * y)
        basis[14] = _HALF * _F32 * z * (x * x - y * y)
        basis[15] = -_F33 * x * (x * x - _THREE * y * y)


@kernel(inline=True)
def _direction_gradient(h, count, x, y, z):
    """Gradient by the unit direction, given h [16] = dL/d(basis)."""
    gx = gy = gz = _ZERO
    if count > 1:
        gy -= _F1 * h[1]
        gz += _F1 * h[2]
        gx -= _F1 * h[3]
    if count > 4:
        gx += _F2 * (y * h[4] - z * h[7] + x * h[8]) - _TWO * _F20 * x * h[6]
        gy += _F2 * (x * h[4] - z * h[5] - y * h[8]) - _TWO * _F20 * y * h[6]
        gz += -_F2 * (y * h[5] + x * h[7]) + _FOUR * _F20 * z * h[6]
    if count > 9:
        xx, yy, zz = x * x, y * y, z * z
        gx += -_SIX * _F33 * x * y * h[9] + _F32 * y * z * h[10] + _TWO * _F31 * x * y * h[11]
        gx += -_SIX * _F30 * x * z * h[12] - _F31 * (_FOUR * zz - _THREE * xx - yy) * h[13]
        gx += _F32 * x * z * h[14] - _THREE * _F33 * (xx - yy) * h[15]
        gy += -_THREE * _F33 * (xx - yy) * h[9] + _F32 * x * z * h[10]
        gy += -_F31 * (_FOUR * zz - xx - _THREE * yy) * h[11] - _SIX * _F30 * y * z * h[12]
        gy += _TWO * _F31 * x * y * h[13] - _F32 * y * z * h[14] + _SIX * _F33 * x * y * h[15]
        gz += _F32 * x * y * h[10] - _EIGHT * _F31 * y * z * h[11]
        gz += _THREE * _F30 * (_TWO * zz - xx - yy) * h[12] - _EIGHT * _F31 * x * z * h[13]
        gz += _HALF * _F32 * (xx - yy) * h[14]
    return gx, gy, gz


@kernel(inline=True)
def _unit(direction):
    """Unit vector and the factor that made it one."""
    x, y, z = direction[0], direction[1], direction[2]
    factor = _ONE / max(math.sqrt(x * x + y * y + z * z), np.float32(1e-12))
    return x * factor, y * factor, z * factor, factor


@kernel
def _sh_forward(worker, workers, sh, directions, colors):
    """colors [B,N,3] of sh [N,K,3] and directions [B,N,3]."""
    gaussians, count = sh.shape[0], sh.shape[1]
    basis = np.empty(16, np.float32)
    for n in range(gaussians * worker // workers, gaussians * (worker + 1) // workers):
        for b in range(directions.shape[0]):
            x, y, z, _ = _unit(directions[b, n])
            _fill_basis(basis, count, x, y, z)
            red = green = blue = _HALF
            for k in range(count):
                red += basis[k] * sh[n, k, 0]
                green += basis[k] * sh[n, k, 1]
                blue += basis[k] * sh[n, k, 2]
            colors[b, n, 0] = max(red, _ZERO)
            colors[b, n, 1] = max(green, _ZERO)
            colors[b, n, 2] = max(blue, _ZERO)


@kernel
def _sh_backward(worker, workers, sh, directions, colors, grad_colors, grad_sh, grad_directions):
    """grad_sh [N,K,3] and grad_directions [B,N,3]; where a colour is 0 it was clamped."""
    gaussians, count = sh.shape[0], sh.shape[1]
    basis = np.empty(16, np.float32)
    slopes = np.empty(16, np.float32)
    for n in range(gaussians * worker // workers, gaussians * (worker + 1) // workers):
        grad_sh[n] = _ZERO
        for b in range(directions.shape[0]):
            x, y, z, factor = _unit(directions[b, n])
            _fill_basis(basis, count, x, y, z)
            red = grad_colors[b, n, 0] if colors[b, n, 0] > _ZERO else _ZERO
            green = grad_colors[b, n, 1] if colors[b, n, 1] > _ZERO else _ZERO
            blue = grad_colors[b, n, 2] if colors[b, n, 2] > _ZERO else _ZERO
            for k in range(count):
                slopes[k] = red * sh[n, k, 0] + green * sh[n, k, 1] + blue * sh[n, k, 2]
                grad_sh[n, k, 0] += basis[k] * red
                grad_sh[n, k, 1] += basis[k] * green
                grad_sh[n, k, 2] += basis[k] * blue
            gx, gy, gz = _direction_gradient(slopes, count, x, y, z)
            along = gx * x + gy * y + gz * z
            grad_directions[b, n, 0] = (gx - along * x) * factor
            grad_directions[b, n, 1] = (gy - along * y) * factor
            grad_directions[b, n, 2] = (gz - along * z) * factor


class _EvaluateSh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sh, directions):
        colors = torch.empty(directions.shape)
        run_parallel(_sh_forward, sh.detach().numpy(), directions.detach().numpy(), colors.numpy())
        ctx.save_for_backward(sh, directions, colors)
        return colors

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        sh, directions, colors = (t.detach() for t in ctx.saved_tensors)
        grads = torch.empty_like(sh), torch.empty_like(directions)
        arrays = (sh, directions, colors, grad.contiguous(), *grads)
        run_parallel(_sh_backward, *(t.numpy() for t in arrays))
        return grads
