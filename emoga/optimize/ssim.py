"""Structural similarity with a hand-written backward, and the loss that fits pictures.

Both blurs of the 11x11 window are one-dimensional. Rows of interleaved channels are blurred as they lie
in memory (neighbours are three floats apart), eight values at a time, a few rows per worker so that
everything between the two blurs stays in cache.

As sigma_a² and sigma_b² only ever appear as a sum, four blurred quantities are enough: a, b, a² + b², ab.
"""

from __future__ import annotations

import numpy as np
import torch

from emoga.errors import InputError
from emoga.kernels import kernel, run_parallel, take_ticket
from emoga.render.lanes import load, splat, store

RADIUS = 5
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2

_TAPS = 2 * RADIUS + 1
_window = np.exp(-((np.arange(_TAPS) - RADIUS) ** 2) / (2 * SIGMA**2))


def window_weights() -> np.ndarray:
    """The 11 weights of the window along one axis, float64, of sum 1."""
    return _window / _window.sum()


_WEIGHTS = tuple(np.float32(w) for w in window_weights())
_ROWS = 16  # rows per piece of work
_PAD = 3 * RADIUS
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_C1, _C2 = np.float32(C1), np.float32(C2)


@kernel
def _blur_row(source, target, offset, width):
    """Horizontal blur of a padded row into target[offset : offset + width]; width divides by 8."""
    for x in range(0, width, 8):
        total = splat(_ZERO)
        for k in range(_TAPS):
            total = total + load(source, x + 3 * k) * _WEIGHTS[k]
        store(target, offset + x, total)


@kernel
def _blur_column(source, offset, stride):
    """Vertical blur of eight columns over _TAPS rows of `source`, from `offset` on."""
    total = splat(_ZERO)
    for k in range(_TAPS):
        total = total + load(source, offset + k * stride) * _WEIGHTS[k]
    return total


@kernel
def _ssim_forward(worker, workers, tickets, a, b, similarity, slopes, keep_slopes):
    """similarity [B,H,W3] of a, b [B,H,W3].

    With keep_slopes also slopes [4,B,H,W3]: its derivatives by the blurred a, b, a² + b² and ab.
    """
    batch, height, width = a.shape
    padded = (width + 7) // 8 * 8
    stride = 4 * padded
    blurred = np.empty((_ROWS + 2 * RADIUS) * stride, np.float32)
    row_a = np.zeros(padded + 2 * _PAD + 8, np.float32)
    row_b = np.zeros(padded + 2 * _PAD + 8, np.float32)
    square = np.zeros(padded + 2 * _PAD + 8, np.float32)
    product = np.zeros(padded + 2 * _PAD + 8, np.float32)
    out = np.empty((5, padded), np.float32)
    bands = (height + _ROWS - 1) // _ROWS
    while True:
        ticket = take_ticket(tickets)
        if ticket >= batch * bands:
            break
        image, top = ticket // bands, ticket % bands * _ROWS
        bottom = min(top + _ROWS, height)
        for y in range(top - RADIUS, bottom + RADIUS):
            at = (y - top + RADIUS) * stride
            if y < 0 or y >= height:
                blurred[at : at + stride] = _ZERO
                continue
            for x in range(width):
                va = a[image, y, x]
                vb = b[image, y, x]
                row_a[_PAD + x] = va
                row_b[_PAD + x] = vb
                square[_PAD + x] = va * va + vb * vb
                product[_PAD + x] = va * vb
            _blur_row(row_a, blurred, at, padded)
            _blur_row(row_b, blurred, at + padded, padded)
            _blur_row(square, blurred, at + 2 * padded, padded)
            _blur_row(product, blurred, at + 3 * padded, padded)
        for y in range(top, bottom):
            at = (y - top) * stride
            for x in range(0, padded, 8):
                mean_a = _blur_column(blurred, at + x, stride)
                mean_b = _blur_column(blurred, at + padded + x, stride)
                both = mean_a * mean_b
                squares = mean_a * mean_a + mean_b * mean_b
                variances = _blur_column(blurred, at + 2 * padded + x, stride) - squares
                covariance = _blur_column(blurred, at + 3 * padded + x, stride) - both
                luminance = both * _TWO + _C1
                contrast = covariance * _TWO + _C2
                by_luminance = splat(_ONE) / (squares + _C1)
                by_contrast = splat(_ONE) / (variances + _C2)
                inverse = by_luminance * by_contrast
                value = luminance * contrast * inverse
                store(out, x, value)
                if keep_slopes:
                    by_square = splat(_ZERO) - value * by_contrast
                    by_product = luminance * inverse * _TWO
                    shared = (contrast - luminance) * inverse * _TWO
                    own = value * (by_contrast - by_luminance) * _TWO
                    store(out, padded + x, mean_b * shared + mean_a * own)
                    store(out, 2 * padded + x, mean_a * shared + mean_b * own)
                    store(out, 3 * padded + x, by_square)
                    store(out, 4 * padded + x, by_product)
            for x in range(width):
                similarity[image, y, x] = out[0, x]
            if keep_slopes:
                for k in range(4):
                    for x in range(width):
                        slopes[k, image, y, x] = out[k + 1, x]


@kernel
def _ssim_backward(worker, workers, tickets, first, second, slopes, by_mean, grad, grad_first):
    """grad_first [B,H,W3] from grad [B,H,W3]; by_mean is the slope by the blurred `first` (0: a, 1: b)."""
    batch, height, width = first.shape
    padded = (width + 7) // 8 * 8
    stride = 3 * padded
    blurred = np.empty((_ROWS + 2 * RADIUS) * stride, np.float32)
    mean_row = np.zeros(padded + 2 * _PAD + 8, np.float32)
    square_row = np.zeros(padded + 2 * _PAD + 8, np.float32)
    product_row = np.zeros(padded + 2 * _PAD + 8, np.float32)
    out = np.empty((3, padded), np.float32)
    bands = (height + _ROWS - 1) // _ROWS
    while True:
        ticket = take_ticket(tickets)
        if ticket >= batch * bands:
            break
        image, top = ticket // bands, ticket % bands * _ROWS
        bottom = min(top + _ROWS, height)
        for y in range(top - RADIUS, bottom + RADIUS):
            at = (y - top + RADIUS) * stride
            if y < 0 or y >= height:
                blurred[at : at + stride] = _ZERO
                continue
            for x in range(width):
                g = grad[image, y, x]
                mean_row[_PAD + x] = g * slopes[by_mean, image, y, x]
                square_row[_PAD + x] = g * slopes[2, image, y, x]
                product_row[_PAD + x] = g * slopes[3, image, y, x]
            _blur_row(mean_row, blurred, at, padded)
            _blur_row(square_row, blurred, at + padded, padded)
            _blur_row(product_row, blurred, at + 2 * padded, padded)
        for y in range(top, bottom):
            at = (y - top) * stride
            for x in range(0, padded, 8):
                store(out, x, _blur_column(blurred, at + x, stride))
                store(out, padded + x, _blur_column(blurred, at + padded + x, stride))
                store(out, 2 * padded + x, _blur_column(blurred, at + 2 * padded + x, stride))
            for x in range(width):
                value = out[0, x] + _TWO * first[image, y, x] * out[1, x]
                grad_first[image, y, x] = value + second[image, y, x] * out[2, x]


def _rows(tensor: torch.Tensor) -> np.ndarray:
    """[B,H,W,3] as rows of interleaved channels [B,H,W3]."""
    batch, height, width, channels = tensor.shape
    return tensor.detach().contiguous().numpy().reshape(batch, height, width * channels)


class _SsimMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        keep = any(ctx.needs_input_grad)
        similarity = torch.empty(a.shape)
        slopes = torch.empty((4, *a.shape) if keep else (4, 0, 0, 0, 3))
        slope_rows = (
            slopes.numpy().reshape(4, *slopes.shape[1:3], -1) if keep else np.empty((4, 0, 0, 0), "f")
        )
        tickets = np.zeros(1, np.int64)
        run_parallel(_ssim_forward, tickets, _rows(a), _rows(b), _rows(similarity), slope_rows, keep)
        ctx.save_for_backward(a, b, slopes)
        return similarity

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        a, b, slopes = ctx.saved_tensors
        slope_rows = slopes.numpy().reshape(4, *slopes.shape[1:3], -1)
        grads = [None, None]
        for k, (first, second) in enumerate(((a, b), (b, a))):
            if ctx.needs_input_grad[k]:
                grads[k] = torch.empty(a.shape)
                rows = (_rows(first), _rows(second), slope_rows, k, _rows(grad), _rows(grads[k]))
                run_parallel(_ssim_backward, np.zeros(1, np.int64), *rows)
        return tuple(grads)


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity [B,H,W,3] of pictures a, b [B,H,W,3] in 0..1, per pixel and channel.

    Gaussian window, sigma 1.5, 11x11, data range 1; outside the picture both are taken as 0. Gradients
    flow to both. CPU float32 runs compiled, other dtypes `ssim_map_reference`, GPUs `ssim_map_banded`.

    Raises InputError when the shapes differ or are not [B,H,W,3].
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[-1] != 3:
        raise InputError(f"ssim_map: shapes {tuple(a.shape)} and {tuple(b.shape)} must both be [B,H,W,3]")
    if a.device.type == "cpu" and a.dtype == b.dtype == torch.float32:
        return _SsimMap.apply(a, b)
    if a.device.type != "cpu":
        from emoga.optimize.ssim_torch import ssim_map_banded

        return ssim_map_banded(a, b)
    return ssim_map_reference(a, b)


def ssim_map_reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`ssim_map` in plain torch, on any device and float dtype."""
    window = torch.as_tensor(window_weights(), dtype=a.dtype, device=a.device)
    kernel_2d = torch.outer(window, window).expand(3, 1, _TAPS, _TAPS)

    def blur(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image, kernel_2d, padding=RADIUS, groups=3)

    a, b = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a + b * b) - mean_a**2 - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))
    return similarity.permute(0, 2, 3, 1)


@kernel
def _weigh_errors(worker, workers, a, b, similarity, weights, dssim, squares, scale, sums, slope):
    """sums [B,H] float64 of the weighted errors of each row, and slope [B,H,W3] = dL/d(similarity)."""
    batch, height, width = a.shape
    plain = np.float32(1.0 - dssim)
    share = np.float32(dssim)
    square = np.float32(squares)
    factor = np.float32(scale)
    for at in range(batch * height * worker // workers, batch * height * (worker + 1) // workers):
        image, y = at // height, at % height
        total = 0.0
        for x in range(width // 3):
            weight = weights[image, y, x]
            error = _ZERO
            for k in range(3 * x, 3 * x + 3):
                difference = a[image, y, k] - b[image, y, k]
                error += plain * abs(difference) + square * difference * difference
                if dssim > 0:
                    error += share * (_ONE - similarity[image, y, k])
                    slope[image, y, k] = -share * factor * weight
            total += weight * error
        sums[image, y] = total


@kernel
def _add_plain_slopes(worker, workers, a, b, weights, absolute, squared, grad_a):
    """Add weight * (absolute * sign(a - b) + 2 * squared * (a - b)) to grad_a [B,H,W3]."""
    batch, height, width = a.shape
    for at in range(batch * height * worker // workers, batch * height * (worker + 1) // workers):
        image, y = at // height, at % height
        for x in range(width // 3):
            step = np.float32(absolute) * weights[image, y, x]
            incline = np.float32(2 * squared) * weights[image, y, x]
            for k in range(3 * x, 3 * x + 3):
                difference = a[image, y, k] - b[image, y, k]
                grad_a[image, y, k] += incline * difference
                if difference > 0:
                    grad_a[image, y, k] += step
                elif difference < 0:
                    grad_a[image, y, k] -= step


class _DssimL1Loss(torch.autograd.Function):
    """The loss and, already in the forward, its gradient by `rendered`: nothing is computed twice."""

    @staticmethod
    def forward(ctx, rendered, target, weights, dssim, squares):
        a, b, pixels = _rows(rendered), _rows(target), weights.detach().contiguous().numpy()
        scale = 1 / (3 * max(float(weights.sum(dtype=torch.float64)), 1e-8))
        used = a.shape if dssim > 0 else (0, 0, 0)
        keep = ctx.needs_input_grad[0]
        similarity, slope = np.empty(used, np.float32), np.empty(used, np.float32)
        slopes = np.empty((4, *used) if keep else (4, 0, 0, 0), np.float32)
        sums = np.empty(a.shape[:2])
        if dssim > 0:
            run_parallel(_ssim_forward, np.zeros(1, np.int64), a, b, similarity, slopes, keep)
        run_parallel(_weigh_errors, a, b, similarity, pixels, dssim, squares, scale, sums, slope)
        if keep:
            grad = torch.zeros(rendered.shape)
            if dssim > 0:
                gradient = (a, b, slopes, 0, slope, _rows(grad))
                run_parallel(_ssim_backward, np.zeros(1, np.int64), *gradient)
            run_parallel(_add_plain_slopes, a, b, pixels, (1 - dssim) * scale, squares * scale, _rows(grad))
            ctx.save_for_backward(grad)
        return torch.tensor(sums.sum() * scale, dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (by_rendered,) = ctx.saved_tensors
        return by_rendered * grad, None, None, None, None


def dssim_l1_loss(
    rendered: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor | None = None,
    dssim: float = 0.2,
    squares: float = 0.0,
) -> torch.Tensor:
    """(1 - dssim) · mean |e| + dssim · mean (1 - SSIM) + squares · mean e², a scalar; e = rendered - target.

    rendered, target [B,H,W,3]; weights [B,H,W] >= 0 make all means weighted ones (all zero: loss 0).
    On CPU in float32, with a target and weights that need no gradient, it runs as one compiled pass.
    """
    if rendered.shape != target.shape or rendered.ndim != 4 or rendered.shape[-1] != 3:
        shapes = f"{tuple(rendered.shape)} and {tuple(target.shape)}"
        raise InputError(f"dssim_l1_loss: shapes {shapes} must both be [B,H,W,3]")
    if weights is None:
        weights = rendered.new_ones(rendered.shape[:3])
    tensors = (rendered, target, weights)
    on_cpu = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    if on_cpu and not (target.requires_grad or weights.requires_grad):
        weights = weights.expand(rendered.shape[:3])
        return _DssimL1Loss.apply(rendered, target, weights, float(dssim), float(squares))
    difference = rendered - target
    error = (1 - dssim) * difference.abs() + squares * difference.square()
    if dssim > 0:
        error = error + dssim * (1 - ssim_map(rendered, target))
    return (error.mean(-1) * weights).sum() / weights.sum().clamp(min=1e-8)
