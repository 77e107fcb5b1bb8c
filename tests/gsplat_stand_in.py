"""gsplat's interface without its kernels: what version 1.5.3 takes, checks and returns, drawn by brute force.

Written after reading gsplat's `rendering.py`; it stands for the package, whose kernels only a GPU can run.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch

from emoga.render.reference import blending_weights, project_reference


def rasterization(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    packed: bool = True,
    backgrounds: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Pictures [...,C,H,W,D], alphas [...,C,H,W,1] and meta of Gaussians [...,N,·] for cameras [...,C,4,4]."""
    batch, count, cameras = means.shape[:-2], means.shape[-2], viewmats.shape[-3]
    for tensor, shape in ((means, (count, 3)), (quats, (count, 4)), (scales, (count, 3)), (opacities, (count,)),
                          (viewmats, (cameras, 4, 4)), (Ks, (cameras, 3, 3))):  # fmt: skip
        assert tensor.shape == batch + shape and tensor.dtype == torch.float32 and tensor.is_contiguous()
    assert colors.shape[:-1] == (*batch, cameras, count)
    assert backgrounds.shape == (*batch, cameras, colors.shape[-1])
    images = math.prod(batch) * cameras

    def each(tensor: torch.Tensor, per_camera: bool) -> torch.Tensor:
        """One entry per image."""
        if per_camera:
            return tensor.reshape(images, *tensor.shape[len(batch) + 1 :])
        flat = tensor.reshape(-1, *tensor.shape[len(batch) :])
        return flat.repeat_interleave(cameras, 0)

    geometry = [each(part, False) for part in (means, quats, scales, opacities)]
    seen = [each(part, True) for part in (colors, viewmats, Ks, backgrounds)]
    assert all(part.isfinite().all() for part in (*geometry, *seen)), "gsplat does not look for NaNs"
    centres, covariances, depths, reach = _projected(geometry, seen, width, height, near_plane)
    radii = reach.ceil().int()
    places = (radii > 0).all(-1).nonzero() if packed else None
    # What the pixels depend on is what meta holds: gradients are read there.
    if packed:
        means2d = centres[places[:, 0], places[:, 1]]
        centres = torch.zeros_like(centres).index_put((places[:, 0], places[:, 1]), means2d)
    else:
        means2d = centres.reshape(*batch, cameras, count, 2)
        centres = means2d.reshape(images, count, 2)
    pictures, alphas = [], []
    for i in range(images):
        visible = (radii[i] > 0).all(-1)
        order = torch.argsort(torch.where(visible, depths[i], torch.inf), stable=True)[: int(visible.sum())]
        weights, rest = blending_weights(
            centres[i][order], covariances[i][order], geometry[3][i][order], width, height
        )
        pictures.append(weights @ seen[0][i][order] + rest[:, None] * seen[3][i])
        alphas.append(1 - rest)
    shape = (*batch, cameras, height, width)
    if packed:
        ids = (places[:, 0] // cameras, places[:, 0] % cameras, places[:, 1])
        names = ("batch_ids", "camera_ids", "gaussian_ids")
        meta = {name: part.int() for name, part in zip(names, ids, strict=True)}
        meta |= {"radii": radii[places[:, 0], places[:, 1]], "means2d": means2d}
    else:
        meta = {"radii": radii.reshape(*batch, cameras, count, 2), "means2d": means2d}
    return torch.stack(pictures).reshape(*shape, -1), torch.stack(alphas).reshape(*shape, 1), meta


def _projected(geometry, seen, width, height, near):
    """Centres [I,N,2], covariances [I,N,2,2], depths [I,N] and reach [I,N,2] in pixels, 0 where nothing shows."""
    results = []
    for i in range(len(seen[1])):
        means, quats, scales, opacities = (part[i] for part in geometry)
        camera_z = means @ seen[1][i, 2, :3] + seen[1][i, 2, 3]
        safe = torch.where(
            (camera_z > near)[:, None], means, means - (camera_z - 1)[:, None] * seen[1][i, 2, :3]
        )
        centre, covariance, depth = project_reference(
            safe, quats, scales, seen[1][i], seen[2][i], width, height
        )
        cut = (2 * (255 * opacities).clamp(min=1).log()).sqrt().clamp(max=3.33)
        reach = (cut[:, None] * covariance.diagonal(dim1=-2, dim2=-1).sqrt()).detach()
        size = torch.tensor([width, height])
        inside = ((centre + reach > 0) & (centre - reach < size)).all(-1) & (camera_z > near)
        results.append((centre, covariance, depth, reach * (inside & (opacities >= 1 / 255))[:, None]))
    return (torch.stack(parts) for parts in zip(*results, strict=True))


def gsplat_module() -> ModuleType:
    """A module to put in the place of gsplat."""
    module = ModuleType("gsplat")
    module.rasterization, module.__version__ = rasterization, "1.5.3"
    return module
