"""`carry` in plain torch for many frames and cameras at once, on any device: the GPU's way.

The numbers and gradients are those of the compiled `carry`: gradients reach the Gaussians and the frames'
origin, rotation and size through means and scales; the turn of a Gaussian's own axes and of its colours with
the frame is taken as given. Products with 3x3 matrices are written out: a GPU's library for matrices takes far
longer over a million tiny ones than over three sums.
"""

from __future__ import annotations

import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.geometry import matrix_to_quat, quat_multiply
from emoga.optimize.carry import Carried
from emoga.render.sh import sh_basis


def carry_frames(
    gaussians: Gaussians,
    rows: torch.Tensor,
    frames: TriangleFrames,
    bind: TriangleFrames,
    camera_positions: torch.Tensor,
) -> Carried:
    """Carry N Gaussians, at `rows` [N] of B frames, and colour them for cameras [B,C,3].

    SH that differ between frames come as [B,1,N,K,3].
    Gives means, scales [B,N,3], quats [B,N,4], opacities [B,N] and colors [B,C,N,3].
    """
    still = frames.detach()
    since_bind = (still.rotation[..., :, None, :] * bind.rotation.to(still.rotation)[..., None, :, :]).sum(-1)
    turn = since_bind.index_select(1, rows)
    size = frames.size.index_select(1, rows)[..., None]
    rotation = frames.rotation.index_select(1, rows)
    means = frames.origin.index_select(1, rows) + size * (rotation * gaussians.means[:, None]).sum(-1)
    turned = matrix_to_quat(still.rotation).index_select(1, rows)
    quats = quat_multiply(turned, torch.nn.functional.normalize(gaussians.quats, dim=-1).expand_as(turned))
    scales = size * gaussians.log_scales.exp()
    opacities = still.fade.index_select(1, rows) * gaussians.logit_opacities.sigmoid()
    colors = _colors(gaussians.sh, means.detach(), turn, camera_positions)
    if still.shade is not None:
        colors = colors * still.shade.index_select(1, rows)[:, None]
    return Carried(means, quats, scales, opacities, colors)


def _colors(
    sh: torch.Tensor, means: torch.Tensor, turn: torch.Tensor, camera_positions: torch.Tensor
) -> torch.Tensor:
    """SH [N,K,3] or [B,1,N,K,3] seen from cameras [B,C,3]: [B,C,N,3], no gradient below zero."""
    if sh.shape[-2] == 1:
        basis = sh_basis(means[:, None], 1).expand(-1, camera_positions.shape[1], -1, -1)
    else:
        towards = torch.nn.functional.normalize(means[:, None] - camera_positions[:, :, None], dim=-1)
        basis = sh_basis((towards[..., :, None] * turn[:, None]).sum(-2), sh.shape[-2])
    return ((basis[..., None] * sh).sum(-2) + 0.5).clamp(min=0)
