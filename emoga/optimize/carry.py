"""From local Gaussians to what the rasterizer takes: fused kernels on CPU, plain torch elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.rig import binding_rows, to_world
from emoga.geometry import matrix_to_quat
from emoga.head import BONES
from emoga.kernels import kernel, run_parallel
from emoga.render import evaluate_sh


@dataclass(frozen=True)
class Carried:
    """Arguments of `rasterize` for one camera: means, scales, colors [N,3], quats [N,4], opacities [N]."""

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    colors: torch.Tensor


@dataclass(frozen=True)
class Bindings:
    """Where N Gaussians hang: rows [N] among frames; order [N] with starts [F+1] lists them by row."""

    rows: torch.Tensor
    order: torch.Tensor
    starts: torch.Tensor


def sort_bindings(binding: torch.Tensor, triangles: int) -> Bindings:
    """Prepare `carry` for a binding [N]; to be made anew when Gaussians come or go."""
    rows = binding_rows(binding, triangles)
    order = torch.argsort(rows, stable=True)
    counts = torch.bincount(rows, minlength=triangles + len(BONES))
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Bindings(rows, order, starts)


def carry(
    gaussians: Gaussians,
    bindings: Bindings,
    frames: TriangleFrames,
    bind: TriangleFrames,
    camera_position: torch.Tensor,
) -> Carried:
    """Carry Gaussians by frames (triangles, then bones) and evaluate their colours towards a camera [3].

    Gradients reach the Gaussians and, through means and scales, the frames' origin, rotation and size; the
    turn of a Gaussian's own axes and of its colours with the frame is treated as given.
    """
    if gaussians.means.device.type != "cpu" or gaussians.means.dtype != torch.float32:
        return _carry_torch(gaussians, bindings, frames, bind, camera_position)
    fixed = _pack(frames, bind)
    outputs = _Carry.apply(
        gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logit_opacities, gaussians.sh,
        frames.origin, frames.rotation, frames.size, fixed, bindings, camera_position.float(),
    )  # fmt: skip
    return Carried(*outputs)


def _carry_torch(
    gaussians: Gaussians,
    bindings: Bindings,
    frames: TriangleFrames,
    bind: TriangleFrames,
    camera_position: torch.Tensor,
) -> Carried:
    world = to_world(gaussians, frames)
    turn = (frames.rotation.detach() @ bind.rotation.to(frames.rotation).mT)[bindings.rows]
    towards = torch.nn.functional.normalize(world.means.detach() - camera_position.to(world.means), dim=-1)
    directions = (towards[:, None, :] @ turn)[:, 0]
    colors = evaluate_sh(gaussians.sh, directions)
    if frames.shade is not None:
        colors = colors * frames.shade[bindings.rows]
    return Carried(world.means, world.quats, world.scales, world.opacities, colors)


def _pack(frames: TriangleFrames, bind: TriangleFrames) -> torch.Tensor:
    """[F,17]: quaternion 4, fade 1, turn since bind 9, shade 3 of every frame, without gradients."""
    rotation = frames.rotation.detach()
    turn = rotation @ bind.rotation.to(rotation).mT
    shade = torch.ones_like(frames.origin) if frames.shade is None else frames.shade
    parts = [matrix_to_quat(rotation), frames.fade[:, None], turn.reshape(-1, 9), shade]
    return torch.cat([part.detach() for part in parts], 1).contiguous()


class _Carry(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, means, quats, log_scales, logits, sh, origin, rotation, size, fixed, bindings, camera
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        count = means.shape[0]
        local = [_array(part) for part in (means, quats, log_scales, logits, sh)]
        posed = [_array(part) for part in (origin, rotation, size, fixed)]
        out = [np.empty((count, *shape), np.float32) for shape in ((3,), (4,), (3,), (), (3,))]
        run_parallel(_carry_forward, *local, *posed, bindings.rows.numpy(), _array(camera), *out)
        ctx.saved = (local, posed, bindings, _array(camera), out[0], out[4])
        return tuple(torch.from_numpy(part) for part in out)

    @staticmethod
    def backward(ctx, *gradients: torch.Tensor) -> tuple:
        local, posed, bindings, camera, means, colors = ctx.saved
        gradients = [_array(part) for part in gradients]
        results = [np.empty_like(part) for part in local]
        frames = np.zeros((posed[0].shape[0], 13), np.float32)
        run_parallel(
            _carry_backward, *local, *posed, bindings.order.numpy(), bindings.starts.numpy(), camera,
            means, colors, *gradients, *results, frames,
        )  # fmt: skip
        frames = torch.from_numpy(frames)
        return (
            *(torch.from_numpy(part) for part in results),
            frames[:, :3], frames[:, 3:12].reshape(-1, 3, 3), frames[:, 12], None, None, None,
        )  # fmt: skip


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@kernel(inline=True)
def _sh_basis(x, y, z, terms, basis):
    """Write the first `terms` values of the 3DGS basis in a unit direction."""
    basis[0] = np.float32(0.28209479177387814)
    if terms > 1:
        c = np.float32(0.4886025119029199)
        basis[1], basis[2], basis[3] = -c * y, c * z, -c * x
    if terms > 4:
        xx, yy, zz = x * x, y * y, z * z
        c = np.float32(1.0925484305920792)
        basis[4], basis[5], basis[7] = c * x * y, -c * y * z, -c * x * z
        basis[6] = np.float32(0.31539156525252005) * (zz + zz - xx - yy)
        basis[8] = np.float32(0.5462742152960396) * (xx - yy)
        if terms > 9:
            c = np.float32(0.5900435899266435)
            d = np.float32(0.4570457994644658)
            three = np.float32(3)
            four = np.float32(4)
            basis[9] = -c * y * (three * xx - yy)
            basis[10] = np.float32(2.890611442640554) * x * y * z
            basis[11] = -d * y * (four * zz - xx - yy)
            basis[12] = np.float32(0.3731763325901154) * z * (zz + zz - three * (xx + yy))
            basis[13] = -d * x * (four * zz - xx - yy)
            basis[14] = np.float32(1.445305721320277) * z * (xx - yy)
            basis[15] = -c * x * (xx - three * yy)


@kernel(inline=True)
def _basis_towards(means, i, camera, fixed, f, terms, basis):
    """SH basis in the direction from the camera to Gaussian i, turned back to the bind pose."""
    dx, dy, dz = means[i, 0] - camera[0], means[i, 1] - camera[1], means[i, 2] - camera[2]
    scale = np.float32(1) / math.sqrt(dx * dx + dy * dy + dz * dz + np.float32(1e-20))
    dx, dy, dz = dx * scale, dy * scale, dz * scale
    x = fixed[f, 5] * dx + fixed[f, 8] * dy + fixed[f, 11] * dz
    y = fixed[f, 6] * dx + fixed[f, 9] * dy + fixed[f, 12] * dz
    z = fixed[f, 7] * dx + fixed[f, 10] * dy + fixed[f, 13] * dz
    _sh_basis(x, y, z, terms, basis)


@kernel
def _carry_forward(
    worker, workers, means, quats, log_scales, logits, sh, origin, rotation, size, fixed, rows, camera,
    out_means, out_quats, out_scales, out_opacities, out_colors,
):  # fmt: skip
    count, terms = rows.shape[0], sh.shape[1]
    basis = np.empty(16, np.float32)
    for i in range(count * worker // workers, count * (worker + 1) // workers):
        f = rows[i]
        k = size[f]
        for axis in range(3):
            moved = np.float32(0)
            for j in range(3):
                moved += rotation[f, axis, j] * means[i, j]
            out_means[i, axis] = origin[f, axis] + k * moved
            out_scales[i, axis] = k * math.exp(log_scales[i, axis])
        w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        unit = np.float32(1) / math.sqrt(w * w + x * x + y * y + z * z + np.float32(1e-20))
        w, x, y, z = w * unit, x * unit, y * unit, z * unit
        a, b, c, d = fixed[f, 0], fixed[f, 1], fixed[f, 2], fixed[f, 3]
        out_quats[i, 0] = a * w - b * x - c * y - d * z
        out_quats[i, 1] = a * x + b * w + c * z - d * y
        out_quats[i, 2] = a * y - b * z + c * w + d * x
        out_quats[i, 3] = a * z + b * y - c * x + d * w
        out_opacities[i] = fixed[f, 4] / (np.float32(1) + math.exp(-logits[i]))
        _basis_towards(out_means, i, camera, fixed, f, terms, basis)
        for channel in range(3):
            color = np.float32(0.5)
            for term in range(terms):
                color += basis[term] * sh[i, term, channel]
            out_colors[i, channel] = max(color, np.float32(0)) * fixed[f, 14 + channel]


@kernel
def _carry_backward(
    worker, workers, means, quats, log_scales, logits, sh, origin, rotation, size, fixed, order, starts,
    camera, world_means, colors, g_means, g_quats, g_scales, g_opacities, g_colors,
    out_means, out_quats, out_log_scales, out_logits, out_sh, out_frames,
):  # fmt: skip
    count, triangles, terms = order.shape[0], size.shape[0], sh.shape[1]
    basis = np.empty(16, np.float32)
    # Shares are cut between triangles, near equal numbers of Gaussians: each frame has one writer.
    first = np.searchsorted(starts, count * worker // workers)
    last = triangles if worker == workers - 1 else np.searchsorted(starts, count * (worker + 1) // workers)
    for f in range(first, last):
        k = size[f]
        for position in range(starts[f], starts[f + 1]):
            i = order[position]
            for j in range(3):
                pulled = np.float32(0)
                for axis in range(3):
                    pulled += rotation[f, axis, j] * g_means[i, axis]
                    out_frames[f, 3 + 3 * axis + j] += k * g_means[i, axis] * means[i, j]
                out_means[i, j] = k * pulled
                out_frames[f, j] += g_means[i, j]
                grown = math.exp(log_scales[i, j]) * g_scales[i, j]
                out_log_scales[i, j] = k * grown
                out_frames[f, 12] += grown + pulled * means[i, j]
            _quat_backward(quats, i, fixed, f, g_quats, out_quats)
            opacity = np.float32(1) / (np.float32(1) + math.exp(-logits[i]))
            out_logits[i] = g_opacities[i] * fixed[f, 4] * opacity * (np.float32(1) - opacity)
            _basis_towards(world_means, i, camera, fixed, f, terms, basis)
            for channel in range(3):
                shown = g_colors[i, channel] if colors[i, channel] > 0 else np.float32(0)
                shown *= fixed[f, 14 + channel]
                for term in range(terms):
                    out_sh[i, term, channel] = basis[term] * shown


@kernel(inline=True)
def _quat_backward(quats, i, fixed, f, gradient, out):
    """Through the product with the frame's quaternion and the normalisation."""
    a, b, c, d = fixed[f, 0], fixed[f, 1], fixed[f, 2], fixed[f, 3]
    gw, gx, gy, gz = gradient[i, 0], gradient[i, 1], gradient[i, 2], gradient[i, 3]
    w = a * gw + b * gx + c * gy + d * gz
    x = -b * gw + a * gx + d * gy - c * gz
    y = -c * gw - d * gx + a * gy + b * gz
    z = -d * gw + c * gx - b * gy + a * gz
    qw, qx, qy, qz = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    unit = np.float32(1) / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz + np.float32(1e-20))
    along = (w * qw + x * qx + y * qy + z * qz) * unit * unit
    out[i, 0], out[i, 1] = (w - along * qw) * unit, (x - along * qx) * unit
    out[i, 2], out[i, 3] = (y - along * qy) * unit, (z - along * qz) * unit
