"""The `cuda` backend: gsplat behind emoga's contract."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from emoga.render.gsplat_kernels import load_gsplat
from emoga.render.rendering import Rendering, SplatScene, Statistics

# (Gaussian, camera) pairs above which gsplat keeps only what cameras see: slower by an indirection, but what
# it keeps per pair, about 100 bytes, would otherwise fill the memory of a small card.
PACK_ABOVE = 8_000_000


def rasterize_cuda(scene: SplatScene) -> Rendering:
    """See `emoga.render.rasterize`; float32, other dtypes are converted there and back.

    Any number of batch dimensions may come first, the same in front of every argument: means [...,N,3],
    colors [...,C,N,3], viewmats [...,C,4,4]; everything returned then begins with them. gsplat waits for the
    GPU once per call, to learn how many (Gaussian, tile) pairs there are; nothing here waits for it.

    Raises MissingComponent when gsplat is not installed or cannot load its kernels.
    """
    means, viewmats = scene.means, scene.viewmats
    geometry, opacities, finite = _finite_only(means, scene.quats, scene.scales, scene.opacities)
    # Depth as a fourth channel of its own: gsplat's depth modes would spread it over the background.
    channels, ground = scene.colors.float(), scene.background.float()
    if scene.with_depth:
        axis = viewmats[..., 2, :].float()
        depths = geometry[0][..., None, :, :] @ axis[..., :3, None] + axis[..., 3, None, None]
        channels = torch.cat([channels, depths], -1)
        ground = torch.cat([ground, torch.zeros_like(ground[..., :1])], -1)
    channels = torch.where(finite[..., None, :, None], channels, 0)
    pairs = viewmats.shape[:-2].numel() * means.shape[-2]
    packed = pairs > PACK_ABOVE
    pictures, alphas, meta = load_gsplat().rasterization(
        *(part.contiguous() for part in (*geometry, opacities, channels)),
        viewmats.float().contiguous(),
        scene.Ks.float().contiguous(),
        scene.width,
        scene.height,
        near_plane=scene.near,
        packed=packed,
        backgrounds=ground.contiguous(),
    )
    shape = (*viewmats.shape[:-2], means.shape[-2])
    statistics = _statistics(meta, shape, packed)
    depth = pictures[..., 3:].to(means.dtype) if scene.with_depth else None
    return Rendering(pictures[..., :3].to(means.dtype), alphas.to(means.dtype), depth, statistics)


def _finite_only(
    means: torch.Tensor, quats: torch.Tensor, scales: torch.Tensor, opacities: torch.Tensor
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]:
    """Means, quats and scales, opacities, and which Gaussians are finite [...,N]; the others get opacity 0.

    gsplat would leave out nothing for an infinity or a NaN.
    """
    parts = [part.float() for part in (means, quats, scales)]
    finite = opacities.isfinite()
    for part in parts:
        finite = finite & part.isfinite().all(-1)
    geometry = tuple(
        torch.where(finite[..., None], part, default) for part, default in zip(parts, (0, 1, 1), strict=True)
    )
    return geometry, torch.where(finite, opacities.float(), 0), finite


def _statistics(meta: dict[str, Any], shape: tuple[int, ...], packed: bool) -> Statistics:
    """Radii [...,C,N] out of gsplat's [...,C,N,2], or [pairs,2] when packed, and gradients once they are known."""
    radii, centres = meta["radii"].amax(-1).float(), meta["means2d"]
    if not packed:
        statistics = Statistics(radii)
        if centres.requires_grad:
            centres.register_hook(statistics.keep_pixel_gradients)
        return statistics
    images = meta["batch_ids"].long() * shape[-2] + meta["camera_ids"]
    places = images * shape[-1] + meta["gaussian_ids"]
    statistics = Statistics(_spread(radii, places, shape))
    if centres.requires_grad:
        centres.register_hook(partial(_keep_packed_gradients, statistics, places, shape))
    return statistics


def _keep_packed_gradients(
    statistics: Statistics, places: torch.Tensor, shape: tuple[int, ...], grad: torch.Tensor
) -> None:
    statistics.means2d_grad = _spread(grad.detach().norm(dim=-1), places, shape)


def _spread(values: torch.Tensor, places: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Values [P] at flat places of an array of `shape` that is 0 elsewhere."""
    flat = values.new_zeros(torch.Size(shape).numel())
    return flat.index_copy(0, places, values).reshape(shape)
