"""The `reference` backend: brute-force torch, every Gaussian against every pixel, in any float dtype.

Slow and short on purpose: it is what the other backends are tested against.
"""

from __future__ import annotations

from functools import partial

import torch

from emoga.geometry import quat_to_matrix
from emoga.render.rendering import Rendering, SplatScene, Statistics

DILATION = 0.3
MAX_ALPHA = 0.999
MIN_ALPHA = 1 / 255
STOP = 1e-4


def project_reference(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    viewmat: torch.Tensor,
    K: torch.Tensor,
    width: int,
    height: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centres in pixels [N,2], covariances in square pixels [N,2,2] and depths [N] for one camera."""
    x, y, z = (means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    held_x = (x / z).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    held_y = (y / z).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * held_x / z, zero, fy / z, -fy * held_y / z], -1)
    axes = jacobian.reshape(-1, 2, 3) @ viewmat[:3, :3]
    axes = axes @ quat_to_matrix(quats / quats.norm(dim=-1, keepdim=True)) * scales[:, None]
    covariances = axes @ axes.mT + DILATION * torch.eye(2, dtype=axes.dtype, device=axes.device)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1), covariances, z


def blending_weights(
    centres: torch.Tensor, covariances: torch.Tensor, opacities: torch.Tensor, width: int, height: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [H*W,N] of Gaussians given near to far, and what is left [H*W] for the background."""
    columns = torch.arange(width, dtype=centres.dtype, device=centres.device) + 0.5
    lines = torch.arange(height, dtype=centres.dtype, device=centres.device) + 0.5
    pixels = torch.cartesian_prod(lines, columns).flip(-1)
    offset = pixels[:, None] - centres
    conics = covariances.inverse()
    exponent = -0.5 * torch.einsum("pni,nij,pnj->pn", offset, conics, offset)
    alphas = (opacities * exponent.exp()).clamp(max=MAX_ALPHA)
    alphas = torch.where(alphas >= MIN_ALPHA, alphas, 0)
    # The first Gaussian that would take the transmittance to STOP is left out with all behind it.
    alphas = torch.where((1 - alphas).cumprod(1) > STOP, alphas, 0)
    after = (1 - alphas).cumprod(1)
    before = torch.cat([after.new_ones(len(pixels), 1), after], 1)
    return alphas * before[:, :-1], before[:, -1]


def rasterize_reference(scene: SplatScene) -> Rendering:
    """See `emoga.render.rasterize`."""
    means, opacities, viewmats = scene.means, scene.opacities, scene.viewmats
    width, height = scene.width, scene.height
    images, alphas, depths = [], [], []
    statistics = Statistics(torch.zeros(viewmats.shape[0], means.shape[0], device=means.device))
    for c in range(viewmats.shape[0]):
        camera_z = means @ viewmats[c, 2, :3] + viewmats[c, 2, 3]
        in_front = (camera_z > scene.near) & (opacities > MIN_ALPHA)
        # Gaussians behind the camera are moved away before projecting: no infinities in the gradient.
        safe = torch.where(in_front[:, None], means, means - (camera_z - 1)[:, None] * viewmats[c, 2, :3])
        centre, covariance, z = project_reference(
            safe, scene.quats, scene.scales, viewmats[c], scene.Ks[c], width, height
        )
        if centre.requires_grad:
            centre.register_hook(partial(statistics.keep_pixel_gradient, c))
        order = torch.argsort(torch.where(in_front, z, torch.inf), stable=True)[: int(in_front.sum())]
        weights, rest = blending_weights(centre[order], covariance[order], opacities[order], width, height)
        images.append(weights @ scene.colors[c][order] + rest[:, None] * scene.background[c])
        alphas.append(1 - rest)
        depths.append(weights @ z[order])
        statistics.radii[c] = _visible_reach(centre, covariance, opacities, width, height) * in_front
    shape = (len(images), height, width, -1)
    depth = torch.stack(depths).reshape(shape) if scene.with_depth else None
    return Rendering(
        torch.stack(images).reshape(shape), torch.stack(alphas).reshape(shape), depth, statistics
    )


@torch.no_grad()
def _visible_reach(
    centres: torch.Tensor, covariances: torch.Tensor, opacities: torch.Tensor, width: int, height: int
) -> torch.Tensor:
    """Radii [N] as `Statistics` defines them; zero for boxes outside the picture."""
    cut = (2 * (255 * opacities).clamp(min=1).log()).sqrt()
    reach = cut[:, None] * covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    size = torch.tensor([width, height], dtype=centres.dtype, device=centres.device)
    inside = ((centres + reach > 0) & (centres - reach < size)).all(-1)
    return reach.amax(-1) * inside
