"""The colour network for all Gaussians at once: compiled forward and backward on CPU, plain torch elsewhere.

The network is evaluated as sum_j v_j f(z, e_j), which takes hardly longer than one f: the product of latents and
weights is shared by all emotions, and the last layer is linear, so hidden units are mixed before it. Gaussians
go through both layers in blocks that stay in the cache. Sums over Gaussians are made in parts of fixed size, so
that results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar.appearance import HIDDEN, LATENT, ColorMLP, blend_plainly, emotion_terms
from emoga.kernels import kernel, run_parallel, take_ticket
from emoga.render.lanes import load, select, splat, store

ROWS = 64  # Gaussians of one block
PART = 32  # blocks summed together
TALL, WIDE = 4, 16  # one tile of a product: eight sums of eight lanes, which any CPU holds in registers
_ZERO = np.float32(0)


def blend_colors(mlp: ColorMLP, latents: torch.Tensor, blend: torch.Tensor) -> torch.Tensor:
    """sum_j v_j f(z, e_j) for latents z [N,128] and v [E], as SH [N,K,3].

    Differentiable in the latents and all of the network, not in v.
    """
    if latents.device.type != "cpu" or mlp.out.dtype != torch.float32:
        return blend_plainly(mlp, latents, blend)
    colors = _Blend.apply(
        latents.float(), mlp.hidden[:LATENT], emotion_terms(mlp), mlp.out, mlp.out_bias, blend
    )
    return colors.reshape(len(latents), mlp.terms, 3)


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latents, weights, emotions, last, bias, blend) -> torch.Tensor:
        count, width = len(latents), last.shape[1]
        flat = [_array(part) for part in (latents, weights, emotions, blend.float())]
        padded = _padded(_array(last))
        base = np.zeros(padded.shape[1], np.float32)
        base[:width] = float(blend.sum()) * _array(bias)
        shared, colors = np.empty((count, HIDDEN), np.float32), np.empty((count, width), np.float32)
        run_parallel(_forward, np.zeros(1, np.int64), *flat, padded, base, shared, colors)
        ctx.saved = (*flat, padded, shared)
        return torch.from_numpy(colors)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        latents, weights, emotions, blend, last, shared = ctx.saved
        count, width = gradient.shape
        parts = -(-count // (ROWS * PART))
        latents_out = np.empty_like(latents)
        shapes = (weights.shape, emotions.shape, last.shape, last.shape[1:])
        sums = [np.zeros((parts, *shape), np.float32) for shape in shapes]
        turned = [np.ascontiguousarray(part.T) for part in (weights, last)]
        gradient = _array(gradient)
        run_parallel(
            _backward,
            np.zeros(1, np.int64),
            latents,
            turned[0],
            emotions,
            blend,
            turned[1],
            shared,
            gradient,
            latents_out,
            *sums,
        )
        weights_out, emotions_out, last_out, colors_out = (torch.from_numpy(part.sum(0)) for part in sums)
        bias_out = float(blend.sum()) * colors_out[:width]
        return torch.from_numpy(latents_out), weights_out, emotions_out, last_out[:, :width], bias_out, None


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _padded(matrix: np.ndarray) -> np.ndarray:
    """With columns of zeros up to a multiple of a tile's width."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % WIDE)))


@kernel(inline=True)
def _multiply(a, a_at, a_row, a_step, b, b_at, b_row, depth, out, out_at, out_row, rows, columns, add):
    """out (+)= a b: a [rows,depth] with strides a_row and a_step, b [depth,columns], all by flat index."""
    for row in range(0, rows, TALL):
        for column in range(0, columns, WIDE):
            at = out_at + row * out_row + column
            if add:
                s00, s01 = load(out, at), load(out, at + 8)
                s10, s11 = load(out, at + out_row), load(out, at + out_row + 8)
                s20, s21 = load(out, at + 2 * out_row), load(out, at + 2 * out_row + 8)
                s30, s31 = load(out, at + 3 * out_row), load(out, at + 3 * out_row + 8)
            else:
                s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = splat(_ZERO)
            left, right = a_at + row * a_row, b_at + column
            for _ in range(depth):
                b0, b1 = load(b, right), load(b, right + 8)
                a0, a1 = splat(a[np.uint64(left)]), splat(a[np.uint64(left + a_row)])
                a2, a3 = splat(a[np.uint64(left + 2 * a_row)]), splat(a[np.uint64(left + 3 * a_row)])
                s00, s01 = s00 + a0 * b0, s01 + a0 * b1
                s10, s11 = s10 + a1 * b0, s11 + a1 * b1
                s20, s21 = s20 + a2 * b0, s21 + a2 * b1
                s30, s31 = s30 + a3 * b0, s31 + a3 * b1
                left += a_step
                right += b_row
            store(out, at, s00)
            store(out, at + 8, s01)
            store(out, at + out_row, s10)
            store(out, at + out_row + 8, s11)
            store(out, at + 2 * out_row, s20)
            store(out, at + 2 * out_row + 8, s21)
            store(out, at + 3 * out_row, s30)
            store(out, at + 3 * out_row + 8, s31)


@kernel(inline=True)
def _mix(shared, emotions, blend, units):
    """units [ROWS·64] = sum_j v_j relu(shared + emotion_j)."""
    zero = splat(_ZERO)
    for at in range(0, ROWS * HIDDEN, 8):
        value, unit = load(shared, at), zero
        for emotion in range(blend.size):
            moved = value + load(emotions, emotion * HIDDEN + at % HIDDEN)
            unit = unit + select(moved > zero, moved, zero) * blend[emotion]
        store(units, at, unit)


@kernel
def _forward(worker, workers, tickets, latents, weights, emotions, blend, last, base, shared, colors):
    count, width = colors.shape
    wide = last.shape[1]
    blocks = -(-count // ROWS)
    z = np.zeros(ROWS * LATENT, np.float32)
    sums, units = np.empty(ROWS * HIDDEN, np.float32), np.empty(ROWS * HIDDEN, np.float32)
    block_colors = np.empty(ROWS * wide, np.float32)
    flat_weights, flat_last = weights.ravel(), last.ravel()
    while True:
        block = take_ticket(tickets)
        if block >= blocks:
            return
        begin = block * ROWS
        held = min(ROWS, count - begin)
        _copy(latents, begin, held, z, LATENT)
        _multiply(z, 0, LATENT, 1, flat_weights, 0, HIDDEN, LATENT, sums, 0, HIDDEN, ROWS, HIDDEN, False)
        _mix(sums, emotions, blend, units)
        _multiply(units, 0, HIDDEN, 1, flat_last, 0, wide, HIDDEN, block_colors, 0, wide, ROWS, wide, False)
        for i in range(held):
            for j in range(HIDDEN):
                shared[begin + i, j] = sums[i * HIDDEN + j]
            for j in range(width):
                colors[begin + i, j] = block_colors[i * wide + j] + base[j]


@kernel(inline=True)
def _copy(source, begin, held, target, wide):
    """Rows of `source` into the block `target`, `wide` apart; what is missing is zero."""
    for i in range(held):
        for j in range(source.shape[1]):
            target[i * wide + j] = source[begin + i, j]
    for at in range(held * wide, ROWS * wide):
        target[at] = _ZERO


@kernel(inline=True)
def _unmix(shared, emotions, blend, pull, pulled, emotion_sums):
    """From gradients of mixed units, `pull`, to those of the shared sums and of the emotions."""
    zero = splat(_ZERO)
    for at in range(0, ROWS * HIDDEN, 8):
        value, gradient, together = load(shared, at), load(pull, at), zero
        for emotion in range(blend.size):
            place = emotion * HIDDEN + at % HIDDEN
            own = select(value + load(emotions, place) > zero, gradient * blend[emotion], zero)
            store(emotion_sums, place, load(emotion_sums, place) + own)
            together = together + own
        store(pulled, at, together)


@kernel
def _backward(
    worker, workers, tickets, latents, weights, emotions, blend, last, shared, gradient,
    latents_out, weight_sums, emotion_sums, last_sums, color_sums,
):  # fmt: skip
    """weights [64,128] and last [wide,64] are turned; sums are those of every part."""
    count, wide, parts = len(gradient), last.shape[0], len(weight_sums)
    z, z_out = np.zeros(ROWS * LATENT, np.float32), np.empty(ROWS * LATENT, np.float32)
    sums, units = np.zeros(ROWS * HIDDEN, np.float32), np.empty(ROWS * HIDDEN, np.float32)
    pull, pulled = np.empty(ROWS * HIDDEN, np.float32), np.empty(ROWS * HIDDEN, np.float32)
    g = np.zeros(ROWS * wide, np.float32)
    flat_weights, flat_last = weights.ravel(), last.ravel()
    while True:
        part = take_ticket(tickets)
        if part >= parts:
            return
        own_weights, own_last = weight_sums[part].ravel(), last_sums[part].ravel()
        for begin in range(part * PART * ROWS, min(count, (part + 1) * PART * ROWS), ROWS):
            held = min(ROWS, count - begin)
            _copy(latents, begin, held, z, LATENT)
            _copy(shared, begin, held, sums, HIDDEN)
            _copy(gradient, begin, held, g, wide)
            _mix(sums, emotions, blend, units)
            _multiply(units, 0, 1, HIDDEN, g, 0, wide, ROWS, own_last, 0, wide, HIDDEN, wide, True)
            _multiply(g, 0, wide, 1, flat_last, 0, HIDDEN, wide, pull, 0, HIDDEN, ROWS, HIDDEN, False)
            _unmix(sums, emotions, blend, pull, pulled, emotion_sums[part])
            _multiply(
                pulled, 0, HIDDEN, 1, flat_weights, 0, LATENT, HIDDEN, z_out, 0, LATENT, ROWS, LATENT, False
            )
            _multiply(z, 0, 1, LATENT, pulled, 0, HIDDEN, ROWS, own_weights, 0, HIDDEN, LATENT, HIDDEN, True)
            for i in range(held):
                for j in range(wide):
                    color_sums[part, j] += g[i * wide + j]
                for j in range(LATENT):
                    latents_out[begin + i, j] = z_out[i * LATENT + j]
