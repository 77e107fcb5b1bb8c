"""The `cpu` backend: draws the views of all cameras and ties them into torch's autograd."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from emoga.errors import InputError
from emoga.render.buffers import Lease, pool
from emoga.render.packed import pack_camera
from emoga.render.rendering import Rendering, SplatScene, Statistics
from emoga.render.views import Frame, View, draw_view, prepare_view, view_gradients


@dataclass
class _Job:
    """What a call needs beside its differentiable inputs, and what its forward leaves for its backward."""

    frame: Frame
    cameras: list[np.ndarray]  # camera vectors
    statistics: Statistics
    lease: Lease = field(default_factory=Lease)
    views: list[View] = field(default_factory=list)
    transmittance: np.ndarray | None = None  # [C,H,W]


def _array(tensor: torch.Tensor) -> np.ndarray:
    """The same memory, unless the tensor has gaps."""
    return tensor.detach().contiguous().numpy()


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """By NumPy: torch wakes its threads for it, which takes longer than the work when cores are busy."""
    return np.zeros(tuple(shape), np.float32)


def _array_or_zeros(grad: torch.Tensor | None, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an output in `shape`; zeros for an output that the loss does not use."""
    return _zeros(shape) if grad is None else _array(grad).reshape(tuple(shape))


def _camera_vectors(viewmats: torch.Tensor, Ks: torch.Tensor, frame: Frame) -> list[np.ndarray]:
    """One for each camera; raises InputError at an infinity or a NaN."""
    cameras = []
    for c, (viewmat, K) in enumerate(zip(_array(viewmats), _array(Ks), strict=True)):
        cameras.append(pack_camera(viewmat, K, frame.width, frame.height))
        if not np.isfinite(cameras[c]).all():
            raise InputError(f"rasterize: camera {c} holds an infinity or a NaN in viewmats or Ks")
    return cameras


def _draw(job: _Job, means, quats, scales, opacities, colors, background, keep: bool):
    """image, alpha and, if asked, depth of all cameras; the views stay with the job when `keep`."""
    frame, cameras = job.frame, len(job.cameras)
    size = (cameras, frame.height, frame.width)
    image, alpha = torch.empty(*size, 3), torch.empty(*size, 1)
    depth = torch.empty(*size, 1) if frame.with_depth else None
    job.transmittance = pool.take(job.lease, size, np.float32)
    shape = tuple(_array(t) for t in (means, quats, scales, opacities))
    for c, camera in enumerate(job.cameras):
        view = prepare_view((*shape, _array(colors[c])), camera, frame, job.statistics.radii[c].numpy())
        deep = depth[c, ..., 0].numpy() if frame.with_depth else None
        draw_view(view, _array(background[c]), image[c].numpy(), job.transmittance[c], deep)
        if keep:
            job.views.append(view)
    np.subtract(1, job.transmittance, out=alpha[..., 0].numpy())
    return image, alpha, depth


class _Rasterize(torch.autograd.Function):
    """Gaussians (float32, contiguous) to image, alpha and, if asked, depth."""

    @staticmethod
    def forward(ctx, job, means, quats, scales, opacities, colors, viewmats, background):
        image, alpha, depth = _draw(job, means, quats, scales, opacities, colors, background, keep=True)
        ctx.set_materialize_grads(False)
        ctx.job = job
        ctx.save_for_backward(means, quats, scales, opacities, background, image, depth)
        return image, alpha, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_image, grad_alpha, grad_depth):
        *gaussians, background, image, depth = ctx.saved_tensors
        job, with_depth = ctx.job, depth is not None
        shape = tuple(_array(t) for t in gaussians)
        grads = tuple(np.empty_like(a) for a in shape)
        cameras, count = len(job.views), len(shape[0])
        grad_colors = np.empty((cameras, count, 3), np.float32)
        grad_pixels = np.empty((cameras, count), np.float32)
        grad_viewmats, grad_background = _zeros((cameras, 4, 4)), _zeros(background.shape)
        image, grad_image = _array(image), _array_or_zeros(grad_image, image.shape)
        grad_alpha = _array_or_zeros(grad_alpha, image.shape[:3])
        if with_depth:
            depth = _array(depth)[..., 0]
            grad_depth = _array_or_zeros(grad_depth, image.shape[:3])
        for c, view in enumerate(job.views):
            values = (image[c], job.transmittance[c], depth[c] if with_depth else None)
            slopes = (grad_image[c], grad_alpha[c], grad_depth[c] if with_depth else None)
            outputs = (*grads, grad_colors[c], grad_pixels[c])
            grad_viewmats[c, :3] = view_gradients(view, values, slopes, shape, c == 0, outputs)
            if ctx.needs_input_grad[7]:
                grad_background[c] = np.einsum("hwc,hw->c", grad_image[c], job.transmittance[c])
        job.statistics.means2d_grad = torch.from_numpy(grad_pixels)
        arrays = (*grads, grad_colors, grad_viewmats, grad_background)
        return None, *(torch.from_numpy(a) for a in arrays)


def rasterize_cpu(scene: SplatScene) -> Rendering:
    """See `emoga.render.rasterize`; float32, other dtypes are converted there and back."""
    frame = Frame(scene.width, scene.height, scene.near, scene.with_depth)
    statistics = Statistics(torch.from_numpy(_zeros((scene.viewmats.shape[0], scene.means.shape[0]))))
    gaussians = (scene.means, scene.quats, scene.scales, scene.opacities, scene.colors)
    inputs = tuple(part.float().contiguous() for part in (*gaussians, scene.viewmats, scene.background))
    job = _Job(frame, _camera_vectors(inputs[5], scene.Ks, frame), statistics)
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        outputs = _Rasterize.apply(job, *inputs)
    else:
        outputs = _draw(job, *inputs[:5], inputs[6], keep=False)
    return Rendering(*(t if t is None else t.to(scene.means.dtype) for t in outputs), statistics)
