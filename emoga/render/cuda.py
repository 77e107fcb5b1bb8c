"""The `cuda` backend: gsplat behind emoga's contract."""

from __future__ import annotations

from collections.abc import Callable

import torch

from emoga.errors import MissingComponent
from emoga.render.rendering import Rendering, Statistics


def rasterize_cuda(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    background: torch.Tensor,
    near: float,
    with_depth: bool,
) -> Rendering:
    """See `emoga.render.rasterize`; float32, other dtypes are converted there and back.

    Raises MissingComponent when gsplat is not installed or cannot load its kernels.
    """
    rasterization = _load_gsplat()
    # gsplat would leave out nothing for an infinity or a NaN; opacity 0 does.
    gaussians = torch.cat([means, quats, scales, opacities[:, None]], -1).float()
    finite = gaussians.isfinite().all(-1)
    gaussians = torch.where(finite[:, None], gaussians, gaussians.new_tensor([0.0] * 3 + [1.0] + [0.0] * 7))
    # Depth as a fourth channel of its own: gsplat's depth modes would spread it over the background.
    channels = torch.where(finite[:, None], colors, 0).float()
    ground = background.float()
    if with_depth:
        depths = gaussians[:, :3] @ viewmats[:, 2, :3, None].float() + viewmats[:, 2, 3, None, None].float()
        channels = torch.cat([channels, depths], -1)
        ground = torch.cat([ground, torch.zeros_like(ground[:, :1])], -1)
    pictures, alphas, meta = rasterization(
        means=gaussians[:, :3].contiguous(),
        quats=gaussians[:, 3:7].contiguous(),
        scales=gaussians[:, 7:10].contiguous(),
        opacities=gaussians[:, 10].contiguous(),
        colors=channels.contiguous(),
        viewmats=viewmats.float().contiguous(),
        Ks=Ks.float().contiguous(),
        width=width,
        height=height,
        near_plane=near,
        packed=False,
        backgrounds=ground.contiguous(),
    )
    statistics = Statistics(_radii(meta["radii"]))
    centres = meta["means2d"]
    if centres.requires_grad:
        centres.register_hook(statistics.keep_pixel_gradients)
    depth = pictures[..., 3:].to(means.dtype) if with_depth else None
    return Rendering(pictures[..., :3].to(means.dtype), alphas.to(means.dtype), depth, statistics)


def _load_gsplat() -> Callable:
    """gsplat's `rasterization`; its kernels are built on the first import, which may take minutes."""
    try:
        import gsplat
    except ImportError as error:
        raise MissingComponent(
            "gsplat is not installed; pip install 'emoga[cuda]', or render on the CPU with --device cpu"
        ) from error
    try:
        from gsplat.cuda import _backend

        reason = "" if _backend._C is not None else "no CUDA toolkit found"
    except Exception as error:  # building fails in as many ways as there are machines
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        raise MissingComponent(
            f"gsplat {gsplat.__version__} has no kernels for torch {torch.__version__} ({reason}): install a "
            "gsplat wheel made for it or the CUDA toolkit, or render on the CPU with --device cpu"
        )
    return gsplat.rasterization


def _radii(radii: torch.Tensor) -> torch.Tensor:
    """gsplat gives [C,N] before 1.5 and one per axis, [C,N,2], since."""
    return radii.float() if radii.ndim == 2 else radii.amax(-1).float()
