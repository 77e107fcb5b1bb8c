"""Gaussians baked for play: what stays the same from frame to frame is worked out once, on the CPU.

Without gradients there is no need to go through logarithms and logits again for every frame. SH are stored
in blocks of eight Gaussians, which the kernel shades side by side.
"""

from __future__ import annotations

import threading

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.geometry import matrix_to_quat, quat_multiply
from emoga.kernels import kernel, run_parallel
from emoga.optimize.carry import Carried
from emoga.optimize.pose_tables import FADE, MATRIX, QUAT, ROW, SHADE, SIZE, TURN
from emoga.render.lane_math import sqrt_or_zero
from emoga.render.lanes import load, prefetch, select, splat, store

BLOCK = 8  # Gaussians shaded side by side
_AHEAD = 16  # Gaussians between a prefetch and its use
_ZERO, _HALF, _ONE, _TWO, _THREE, _FOUR = (np.float32(v) for v in (0, 0.5, 1, 2, 3, 4))
_TINY = np.float32(1e-20)
# Factors of the 3DGS basis, degree by degree.
_C0, _C1 = np.float32(0.28209479177387814), np.float32(0.4886025119029199)
_C20, _C21, _C22 = (np.float32(v) for v in (0.31539156525252005, 1.0925484305920792, 0.5462742152960396))
_C30, _C31 = np.float32(0.3731763325901154), np.float32(0.4570457994644658)
_C32, _C33, _C34 = (np.float32(v) for v in (2.890611442640554, 1.445305721320277, 0.5900435899266435))


class BakedGaussians:
    """N Gaussians of one avatar that are carried many times, from several threads if wanted.

    rows [N]: triangle or bone of each Gaussian, a row of the table; bind: their frames in the bind pose.
    """

    def __init__(self, gaussians: Gaussians, rows: torch.Tensor, bind: TriangleFrames) -> None:
        unit = torch.nn.functional.normalize(gaussians.quats.detach(), dim=-1)
        at_bind = quat_multiply(matrix_to_quat(bind.rotation)[rows], unit)
        self._local = (
            rows.numpy().astype(np.int32),
            _float32(gaussians.means),
            _float32(at_bind),
            _float32(gaussians.log_scales.detach().exp()),
            _float32(gaussians.logit_opacities.detach().sigmoid()),
        )
        self._sh = in_blocks(_float32(gaussians.sh))
        self._own = threading.local()

    def carry(self, table: np.ndarray, positions: np.ndarray, sh: np.ndarray | None = None) -> Carried:
        """One frame by its table [F,ROW], with colors [C,N,3] towards cameras at positions [C,3].

        sh: other SH than the Gaussians' own, in blocks, see `in_blocks`.
        The arrays belong to the calling thread and are overwritten by its next call.
        """
        out = self._buffers(len(positions))
        sh = self._sh if sh is None else sh
        run_parallel(_carry_baked, table, *self._local, sh, positions.astype(np.float32), *out)
        return Carried(*(torch.from_numpy(part) for part in out))

    def _buffers(self, cameras: int) -> list[np.ndarray]:
        """Arrays of this thread: fresh memory for every frame costs as much as the arithmetic."""
        count = len(self._local[0])
        found = getattr(self._own, "arrays", None)
        if found is None or len(found[4]) != cameras:
            shapes = ((count, 3), (count, 4), (count, 3), (count,), (cameras, count, 3))
            self._own.arrays = found = [np.empty(shape, np.float32) for shape in shapes]
        return found


def _float32(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def in_blocks(sh: np.ndarray) -> np.ndarray:
    """sh [N,K,3] as [blocks,K,3,BLOCK]; the last block is filled up with zeros."""
    count, terms, _ = sh.shape
    padded = np.zeros((-(-count // BLOCK) * BLOCK, terms, 3), np.float32)
    padded[:count] = sh
    return np.ascontiguousarray(padded.reshape(-1, BLOCK, terms, 3).transpose(0, 2, 3, 1))


@kernel
def _carry_baked(
    worker, workers, table, rows, means, quats, scales, opacities, sh, cameras,
    out_means, out_quats, out_scales, out_opacities, out_colors,
):  # fmt: skip
    count = rows.size
    blocks = sh.shape[0]
    towards = np.zeros(3 * BLOCK, np.float32)
    basis = np.empty(16 * BLOCK, np.float32)
    colors = np.empty(3 * BLOCK, np.float32)
    for block in range(blocks * worker // workers, blocks * (worker + 1) // workers):
        begin, end = BLOCK * block, min(BLOCK * block + BLOCK, count)
        for i in range(begin, end):
            prefetch(table, np.int64(rows[min(i + _AHEAD, count - 1)]) * ROW)
            row = table[rows[i]]
            for axis in range(3):
                at = MATRIX + 3 * axis
                moved = row[at] * means[i, 0] + row[at + 1] * means[i, 1] + row[at + 2] * means[i, 2]
                out_means[i, axis] = row[axis] + moved
                out_scales[i, axis] = row[SIZE] * scales[i, axis]
            a, b, c, d = row[QUAT], row[QUAT + 1], row[QUAT + 2], row[QUAT + 3]
            w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
            out_quats[i, 0] = a * w - b * x - c * y - d * z
            out_quats[i, 1] = a * x + b * w + c * z - d * y
            out_quats[i, 2] = a * y - b * z + c * w + d * x
            out_quats[i, 3] = a * z + b * y - c * x + d * w
            out_opacities[i] = row[FADE] * opacities[i]
        for camera in range(cameras.shape[0]):
            for i in range(begin, end):
                row = table[rows[i]]
                dx = out_means[i, 0] - cameras[camera, 0]
                dy = out_means[i, 1] - cameras[camera, 1]
                dz = out_means[i, 2] - cameras[camera, 2]
                for axis in range(3):
                    at = TURN + axis
                    towards[BLOCK * axis + i - begin] = row[at] * dx + row[at + 3] * dy + row[at + 6] * dz
            _shade(sh, block, towards, basis, colors)
            for i in range(begin, end):
                row = table[rows[i]]
                for channel in range(3):
                    out_colors[camera, i, channel] = (
                        row[SHADE + channel] * colors[BLOCK * channel + i - begin]
                    )


@kernel(inline=True)
def _shade(sh, block, towards, basis, colors):
    """colors [3·BLOCK] of one block seen along towards [3·BLOCK], of any length."""
    terms = sh.shape[1]
    x, y, z = load(towards, 0), load(towards, BLOCK), load(towards, 2 * BLOCK)
    inverse = _ONE / sqrt_or_zero(x * x + y * y + z * z + _TINY)
    _write_basis(basis, terms, x * inverse, y * inverse, z * inverse)
    first = np.int64(block) * terms * 3 * BLOCK
    zero = splat(_ZERO)
    for channel in range(3):
        color = splat(_HALF)
        for term in range(terms):
            color = color + load(basis, BLOCK * term) * load(sh, first + (3 * term + channel) * BLOCK)
        store(colors, BLOCK * channel, select(color > zero, color, zero))


@kernel(inline=True)
def _write_basis(basis, terms, x, y, z):
    """The first `terms` values of the 3DGS basis for unit directions, BLOCK of each."""
    store(basis, 0, splat(_C0))
    if terms > 1:
        store(basis, 1 * BLOCK, y * -_C1)
        store(basis, 2 * BLOCK, z * _C1)
        store(basis, 3 * BLOCK, x * -_C1)
    if terms > 4:
        xx, yy, zz = x * x, y * y, z * z
        store(basis, 4 * BLOCK, x * y * _C21)
        store(basis, 5 * BLOCK, y * z * -_C21)
        store(basis, 6 * BLOCK, (zz + zz - xx - yy) * _C20)
        store(basis, 7 * BLOCK, x * z * -_C21)
        store(basis, 8 * BLOCK, (xx - yy) * _C22)
        if terms > 9:
            store(basis, 9 * BLOCK, y * (xx * _THREE - yy) * -_C34)
            store(basis, 10 * BLOCK, x * y * z * _C32)
            store(basis, 11 * BLOCK, y * (zz * _FOUR - xx - yy) * -_C31)
            store(basis, 12 * BLOCK, z * (zz * _TWO - (xx + yy) * _THREE) * _C30)
            store(basis, 13 * BLOCK, x * (zz * _FOUR - xx - yy) * -_C31)
            store(basis, 14 * BLOCK, z * (xx - yy) * _C33)
            store(basis, 15 * BLOCK, x * (xx - yy * _THREE) * -_C34)
