"""How much each Gaussian adds to chosen pixels."""

from __future__ import annotations

import torch

from emoga.render.rasterize import Backend, rasterize


def gaussian_contributions(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    weights: torch.Tensor | None = None,
    near: float = 0.01,
    backend: Backend = "auto",
) -> torch.Tensor:
    """Sum over pixels of each Gaussian's blending weight, [C,N].

    weights [C,H,W,D] (or [H,W], [C,H,W], D = 1) scale the pixels: masks give the share of a Gaussian
    within them. With D up to 3 the answer is [C,N,D], one render for all. Arguments as in `rasterize`.
    """
    cameras = viewmats.shape[0]
    if weights is None:
        weights = means.new_ones(cameras, height, width)
    planes = weights if weights.ndim == 4 else weights.expand(cameras, height, width)[..., None]
    depth = planes.shape[-1]
    if depth > 3:
        raise ValueError(f"{depth} planes of weights; at most 3 are rendered at once")
    planes = torch.nn.functional.pad(planes.to(means.dtype), (0, 3 - depth))
    # A colour's gradient under dL/d(image) = weights is the sum of blending weights times `weights`.
    with torch.enable_grad():
        colors = means.new_zeros(cameras, means.shape[0], 3, requires_grad=True)
        shape = (t.detach() for t in (means, quats, scales, opacities))
        image = rasterize(*shape, colors, viewmats, Ks, width, height, near=near, backend=backend).image
        (sums,) = torch.autograd.grad(image, colors, planes)
    return sums[..., :depth] if weights.ndim == 4 else sums[..., 0]
