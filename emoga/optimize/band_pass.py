"""How far pictures differ in detail, by bands of frequency: features that need no weights.

Each of R, G and B is taken apart by a Laplacian pyramid. Of a band B (a level less its blur) two features remain:
where detail lies, whatever its contrast, and how much there is of it:

    V = blur(B²) + σ²        r = B / √V        e = log2(V) / 2        d = Σ |Δr| + |Δe| over pixels and levels

r is at most about two, e counts halvings of contrast, so that levels compare. The second does not mind where detail
lies, which keeps L1 from blurring what cannot be matched pixel by pixel. Constants have no bands: brightness hardly
counts.

On CPU one kernel does forward and backward, a plane of a picture at a time, whatever the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from emoga.kernels import kernel, run_parallel, take_ticket
from emoga.render.lane_math import log2, maximum, minimum, sqrt_or_zero
from emoga.render.lanes import load, select, splat, store

LEVELS = 4
SIGMA = 0.02  # contrast below which detail passes for noise: five of 255 steps
ROUND = 0.01  # difference of features below which L1 is rounded off: there only rounding has a sign
TAPS = (1 / 16, 4 / 16, 6 / 16)  # binomial, outer to middle

_SIDE = 16  # floats beside a row, of which two may hold the row's end again
_OUTER, _INNER, _MIDDLE = (np.float32(tap) for tap in TAPS)
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_ROUND = np.float32(ROUND)
_FLOOR = np.float32(SIGMA**2)
_BY_LOG = np.float32(0.5 / math.log(2))


def band_distance(rendered: torch.Tensor, target: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """Scalar: the sum over pixels of d times `worth` [B,H,W], a third of it for each colour.

    rendered, target [B,H,W,3] in 0..1. At coarser levels a pixel is worth what those it stands for were.
    Differentiable in `rendered`; compiled for float32 on CPU, else `band_distance_plainly`.
    """
    tensors = (rendered, target, worth)
    if all(part.device.type == "cpu" and part.dtype == torch.float32 for part in tensors):
        return _BandDistance.apply(rendered, target.detach(), worth.detach())
    return band_distance_plainly(rendered, target, worth)


def band_distance_plainly(rendered: torch.Tensor, target: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """`band_distance` in torch's own operations, on any device and float type."""
    first, second = (picture.permute(0, 3, 1, 2) for picture in (rendered, target.detach()))
    worth, total = worth.detach()[:, None], rendered.new_zeros(())
    for level in range(LEVELS):
        (low, *own), (other_low, *other) = _features(first), _features(second)
        for mine, theirs in zip(own, other, strict=True):
            apart = torch.nn.functional.huber_loss(mine, theirs, reduction="none", delta=ROUND) / ROUND
            total = total + (apart * worth).sum() / 3
        if level < LEVELS - 1:
            first, second = low[:, :, ::2, ::2], other_low[:, :, ::2, ::2]
            height, width = worth.shape[2:]
            worth = torch.nn.functional.pad(worth, (0, width % 2, 0, height % 2))
            worth = 4 * torch.nn.functional.avg_pool2d(worth, 2)
    return total


def _features(plane: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Blur, r and e of planes [B,3,H,W]."""
    low = _blurred(plane)
    band = plane - low
    variance = _blurred(band * band) + SIGMA**2
    return low, band / variance.sqrt(), variance.log2() / 2


def _blurred(plane: torch.Tensor) -> torch.Tensor:
    taps = plane.new_tensor((*TAPS, TAPS[1], TAPS[0]))
    padded = torch.nn.functional.pad(plane, (2, 2, 2, 2), mode="replicate")
    across = sum(tap * padded[..., k : k + plane.shape[-1]] for k, tap in enumerate(taps))
    return sum(tap * across[..., k : k + plane.shape[-2], :] for k, tap in enumerate(taps))


class _BandDistance(torch.autograd.Function):
    """The distance and, already in the forward, its gradient by `rendered`."""

    @staticmethod
    def forward(ctx, rendered, target, worth):
        first, second, weight = (
            part.detach().contiguous().numpy()
            for part in (rendered, target, worth.expand(rendered.shape[:3]))
        )
        keep = ctx.needs_input_grad[0]
        gradient = np.empty(first.shape if keep else (len(first), 0, 0, 3), np.float32)
        sums = np.zeros((len(first), 3))
        run_parallel(_compare_planes, np.zeros(1, np.int64), first, second, weight, keep, sums, gradient)
        if keep:
            ctx.save_for_backward(torch.from_numpy(gradient))
        return torch.tensor(sums.sum(), dtype=torch.float32)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (by_rendered,) = ctx.saved_tensors
        return by_rendered * grad, None, None


@kernel(inline=True)
def _stride(width):
    """Floats from one row of a plane to the next: a multiple of eight, and a side at either end."""
    return (width + 7) // 8 * 8 + 2 * _SIDE


@kernel(inline=True)
def _repeat_ends(plane, at, width):
    """Write a row's ends beside it, as far as eight lanes and two taps reach; the row begins at `at`."""
    plane[at - 1] = plane[at - 2] = plane[at]
    for k in range(at + width, at + width + 10):
        plane[k] = plane[at + width - 1]


@kernel
def _blur(source, target, rows, height, width):
    """target = blur of source, planes of height rows; rows: room for five rows."""
    stride = _stride(width)
    for y in range(height):
        middle = y * stride + _SIDE
        above, top = max(y - 1, 0) * stride + _SIDE, max(y - 2, 0) * stride + _SIDE
        below, bottom = min(y + 1, height - 1) * stride + _SIDE, min(y + 2, height - 1) * stride + _SIDE
        for x in range(0, width, 8):
            outer = load(source, top + x) + load(source, bottom + x)
            inner = load(source, above + x) + load(source, below + x)
            store(rows, _SIDE + x, outer * _OUTER + inner * _INNER + load(source, middle + x) * _MIDDLE)
        _repeat_ends(rows, _SIDE, width)
        for x in range(0, width, 8):
            at = _SIDE + x
            outer = load(rows, at - 2) + load(rows, at + 2)
            inner = load(rows, at - 1) + load(rows, at + 1)
            store(target, middle + x, outer * _OUTER + inner * _INNER + load(rows, at) * _MIDDLE)


@kernel
def _spread(source, target, rows, height, width):
    """target += the adjoint of `_blur` on source, whose rows must have zeros beside them; so has target."""
    stride = _stride(width)
    for y in range(height):
        start = y * stride + _SIDE
        for x in range(-8, width + 8, 8):
            outer = load(source, start + x - 2) + load(source, start + x + 2)
            inner = load(source, start + x - 1) + load(source, start + x + 1)
            store(rows, _SIDE + x, outer * _OUTER + inner * _INNER + load(source, start + x) * _MIDDLE)
        _fold_ends(rows, _SIDE, width)
        for tap in range(-2, 3):
            share = _MIDDLE if tap == 0 else (_INNER if abs(tap) == 1 else _OUTER)
            at = min(max(y + tap, 0), height - 1) * stride + _SIDE
            for x in range(0, width, 8):
                store(target, at + x, load(target, at + x) + load(rows, _SIDE + x) * share)


@kernel(inline=True)
def _fold_ends(rows, at, width):
    """The adjoint of `_repeat_ends`, for a row of which taps reached two places beside it."""
    for k in range(1, 3):
        rows[at] += rows[at - k]
        rows[at + width - 1] += rows[at + width - 1 + k]
        rows[at - k] = rows[at + width - 1 + k] = _ZERO


@kernel
def _split(plane, low, variance, squares, rows, height, width):
    """low = blur of plane; plane becomes its band, variance the blur of its squares."""
    _blur(plane, low, rows, height, width)
    for at in range(0, height * _stride(width), 8):
        band = load(plane, at) - load(low, at)
        store(plane, at, band)
        store(squares, at, band * band)
    _blur(squares, variance, rows, height, width)


@kernel
def _compare(band, variance, other, other_variance, worth, pull, slope, stride):
    """The sum of worth (|Δr| + |Δe|); pull and slope: its derivatives by band and by variance."""
    parts, distance = np.empty(8, np.float32), 0.0
    for row in range(0, band.size, stride):
        total = splat(_ZERO)
        for at in range(row, row + stride, 8):
            v, w = load(variance, at) + _FLOOR, load(other_variance, at) + _FLOOR
            by_root = splat(_ONE) / sqrt_or_zero(v)
            r = load(band, at) * by_root
            apart = r - load(other, at) / sqrt_or_zero(w)
            louder = (log2(v) - log2(w)) * _HALF
            weight = load(worth, at)
            total = total + weight * (_size(apart) + _size(louder))
            by_r = weight * _slope(apart)
            store(pull, at, by_r * by_root)
            store(slope, at, (weight * _slope(louder) * _BY_LOG - by_r * r * _HALF) / v)
        store(parts, 0, total)
        for k in range(8):
            distance += parts[k]
    return distance


@kernel(inline=True)
def _size(value):
    """|value|, with its corner rounded off."""
    size = maximum(value, -value)
    return select(size < splat(_ROUND), value * value * (_HALF / _ROUND), size - _HALF * _ROUND)


@kernel(inline=True)
def _slope(value):
    """The derivative of `_size`."""
    return minimum(maximum(value * (_ONE / _ROUND), splat(-_ONE)), splat(_ONE))


@kernel
def _halve(source, target, height, width):
    """Every other pixel of every other row."""
    stride, narrow = _stride(width), _stride((width + 1) // 2)
    for y in range((height + 1) // 2):
        for x in range((width + 1) // 2):
            target[y * narrow + _SIDE + x] = source[2 * y * stride + _SIDE + 2 * x]


@kernel
def _gather_worth(source, target, height, width):
    """Each pixel of half the size takes the sum of its four."""
    stride, narrow = _stride(width), _stride((width + 1) // 2)
    for y in range(height):
        for x in range(width):
            target[y // 2 * narrow + _SIDE + x // 2] += source[y * stride + _SIDE + x]


@kernel
def _compare_planes(worker, workers, tickets, first, second, weight, keep, sums, gradient):
    """sums [B,3] of every picture's planes, and with `keep` the gradient [B,H,W,3] by the first pictures."""
    images, height, width = weight.shape
    heights, widths = np.empty(LEVELS, np.int64), np.empty(LEVELS, np.int64)
    begins = np.zeros(LEVELS + 1, np.int64)
    for level in range(LEVELS):
        heights[level] = height if level == 0 else (heights[level - 1] + 1) // 2
        widths[level] = width if level == 0 else (widths[level - 1] + 1) // 2
        begins[level + 1] = begins[level] + heights[level] * _stride(widths[level])
    rows, squares = np.zeros(_stride(width), np.float32), np.empty(begins[1], np.float32)
    while True:
        ticket = take_ticket(tickets)
        if ticket >= 3 * images:
            return
        image, color = ticket // 3, ticket % 3
        pulls = np.empty(begins[-1], np.float32)
        plane, other, worth = (
            _plane(first[image, :, :, color]),
            _plane(second[image, :, :, color]),
            _plane(weight[image]),
        )
        for level in range(LEVELS):
            tall, wide = heights[level], widths[level]
            stride = _stride(wide)
            length = tall * stride
            low, variance = np.zeros(length, np.float32), np.zeros(length, np.float32)
            other_low, other_variance = np.zeros(length, np.float32), np.zeros(length, np.float32)
            _split(plane, low, variance, squares, rows, tall, wide)
            _split(other, other_low, other_variance, squares, rows, tall, wide)
            pull, slope = pulls[begins[level] : begins[level + 1]], np.empty(length, np.float32)
            sums[image, color] += (
                _compare(plane, variance, other, other_variance, worth, pull, slope, stride) / 3
            )
            if keep:
                variance[:] = _ZERO
                _spread(slope, variance, rows, tall, wide)
                for at in range(0, length, 8):
                    store(pull, at, load(pull, at) + load(plane, at) * load(variance, at) * np.float32(2))
            if level < LEVELS - 1:
                length = heights[level + 1] * _stride(widths[level + 1])
                plane, other = np.zeros(length, np.float32), np.zeros(length, np.float32)
                _halve(low, plane, tall, wide)
                _halve(other_low, other, tall, wide)
                finer, worth = worth, np.zeros(length, np.float32)
                _gather_worth(finer, worth, tall, wide)
        if keep:
            _collect(pulls, begins, heights, widths, rows)
            for y in range(height):
                for x in range(width):
                    at = y * _stride(width) + _SIDE + x
                    gradient[image, y, x, color] = pulls[at] / np.float32(3)


@kernel
def _plane(picture):
    """A picture [H,W] as rows with zeros beside them."""
    height, width = picture.shape
    plane = np.zeros(height * _stride(width), np.float32)
    for y in range(height):
        for x in range(width):
            plane[y * _stride(width) + _SIDE + x] = picture[y, x]
    return plane


@kernel
def _collect(pulls, begins, heights, widths, rows):
    """From the derivatives by bands to those by levels, coarsest first, in place."""
    for level in range(LEVELS - 1, -1, -1):
        tall, wide = heights[level], widths[level]
        pull = pulls[begins[level] : begins[level + 1]]
        lows = np.empty_like(pull)
        for at in range(0, pull.size, 8):
            store(lows, at, -load(pull, at))
        if level < LEVELS - 1:
            coarser = pulls[begins[level + 1] : begins[level + 2]]
            stride, narrow = _stride(wide), _stride(widths[level + 1])
            for y in range(heights[level + 1]):
                for x in range(widths[level + 1]):
                    lows[2 * y * stride + _SIDE + 2 * x] += coarser[y * narrow + _SIDE + x]
        _spread(lows, pull, rows, tall, wide)
