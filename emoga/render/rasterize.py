"""The door to splat rendering: checks shapes, fills defaults and picks the backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from emoga.errors import InputError
from emoga.render.rendering import Rendering, SplatScene

Backend = Literal["auto", "cpu", "cuda", "reference"]


def rasterize(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    background: torch.Tensor | None = None,
    near: float = 0.01,
    with_depth: bool = False,
    backend: Backend = "auto",
) -> Rendering:
    """Splat Gaussians into every camera, differentiably.

    means [N,3] metres, quats [N,4] wxyz (any length), scales [N,3] metres, opacities [N] in 0..1, colors
    [C,N,3] or [N,3], viewmats [C,4,4] world to camera (OpenCV axes), Ks [C,3,3] pixels (pixel centres at
    +0.5; skew is ignored), background [3] or [C,3] (black by default), near in metres.

    Gradients flow to everything but Ks and near; on `cuda` as far as gsplat gives them. Depth is rendered
    only `with_depth`. Gaussians that hold an infinity or a NaN are left out. `auto` takes `cuda` for
    tensors on a GPU, else `cpu`. `reference` is brute force in the dtype of `means`, for tests.

    Raises InputError when shapes disagree, MissingComponent when gsplat is needed and absent.
    """
    cameras, count = viewmats.shape[0] if viewmats.ndim == 3 else -1, means.shape[0]
    expected = {
        "means": (means, (count, 3)),
        "quats": (quats, (count, 4)),
        "scales": (scales, (count, 3)),
        "opacities": (opacities, (count,)),
        "viewmats": (viewmats, (cameras, 4, 4)),
        "Ks": (Ks, (cameras, 3, 3)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise InputError(f"rasterize: {name} has shape {tuple(tensor.shape)}, expected {shape}")
    if background is None:
        background = means.new_zeros(3)
    either = {
        "colors": (colors, {(cameras, count, 3), (count, 3)}),
        "background": (background, {(cameras, 3), (3,)}),
    }
    for name, (tensor, shapes) in either.items():
        if tuple(tensor.shape) not in shapes:
            expected_shapes = " or ".join(str(s) for s in sorted(shapes))
            raise InputError(f"rasterize: {name} has shape {tuple(tensor.shape)}, expected {expected_shapes}")
    if width < 1 or height < 1 or not near > 0:
        raise InputError(f"rasterize: width {width}, height {height} and near {near} must be positive")
    ground = background.to(means.device).expand(cameras, 3)
    scene = SplatScene(
        means, quats, scales, opacities, colors.expand(cameras, count, 3), viewmats, Ks, width, height, ground, near,
        with_depth,
    )  # fmt: skip
    return _backend(backend, means.device)(scene)


def rasterize_frames(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    background: torch.Tensor | None = None,
    near: float = 0.01,
    backend: Backend = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Splat B posed frames, each into its own C cameras: image [B,C,H,W,3] and alpha [B,C,H,W,1].

    As `rasterize`, with a leading B on every argument but the background [3] or [C,3]; on `cuda` one call draws
    everything, elsewhere one frame follows the other.
    """
    frames, cameras = viewmats.shape[:2]
    parts = (means, quats, scales, opacities, colors, viewmats, Ks)
    if viewmats.ndim != 4 or any(part.shape[0] != frames for part in parts):
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise InputError(f"rasterize_frames: {shapes} must all begin with the same number of frames")
    if _named(backend, means.device) != "cuda":
        options = {"background": background, "near": near, "backend": backend}
        drawn = [
            rasterize(*(part[frame] for part in parts), width, height, **options) for frame in range(frames)
        ]
        return torch.stack([one.image for one in drawn]), torch.stack([one.alpha for one in drawn])
    if background is None:
        background = means.new_zeros(3)
    ground = background.to(means.device).expand(frames, cameras, 3)
    scene = SplatScene(
        means, quats, scales, opacities, colors.expand(frames, cameras, -1, 3), viewmats, Ks, width, height, ground,
        near,
    )  # fmt: skip
    rendering = _backend(backend, means.device)(scene)
    return rendering.image, rendering.alpha


def _named(name: Backend, device: torch.device) -> str:
    if name == "auto":
        return "cuda" if device.type == "cuda" else "cpu"
    return name


def _backend(name: Backend, device: torch.device) -> Callable[[SplatScene], Rendering]:
    """The backend's function; imported here so that each is loaded only when used."""
    name = _named(name, device)
    if name == "reference":
        from emoga.render.reference import rasterize_reference

        return rasterize_reference
    if name not in ("cpu", "cuda"):
        raise InputError(f"rasterize: unknown backend {name!r}; use auto, cpu, cuda or reference")
    if name != device.type:
        raise InputError(f"rasterize: backend {name} needs tensors on {name}, these are on {device}")
    if name == "cuda":
        from emoga.render.cuda import rasterize_cuda

        return rasterize_cuda
    from emoga.render.cpu import rasterize_cpu

    return rasterize_cpu
