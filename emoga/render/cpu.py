"""The `cpu` backend: runs the kernels for each camera and ties them into torch's autograd."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from emoga.errors import EnvironmentFailure, InputError
from emoga.kernels import run_parallel, worker_count
from emoga.render.blend import blend_backward, blend_forward
from emoga.render.project import (
    MOMENTS,
    PACKED,
    VIEW_GRADIENT_CHUNKS,
    pack_camera,
    project_backward,
    project_forward,
)
from emoga.render.rendering import Rendering, Statistics
from emoga.render.tiles import count_tiles, depth_order, fill_tiles, list_tiles, start_tiles, tile_grid


class _BufferPool:
    """Arrays to be used again: fresh memory costs a page fault per 4 KiB, a quarter of a render."""

    LIMIT = 2**29  # bytes kept for later

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free: list[np.ndarray] = []

    def take(self, owner: Any, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An uninitialised array that goes back to the pool when `owner` is collected."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self.lock:
            fitting = [b for b in self.free if size <= b.size <= 4 * size + 65536]
            buffer = min(fitting, key=len, default=None)
            if buffer is not None:
                self.free = [b for b in self.free if b is not buffer]
        if buffer is None:
            buffer = np.empty(size + size // 4 + 64, np.uint8)
        weakref.finalize(owner, self._give, buffer).atexit = False
        return buffer[:size].view(dtype).reshape(shape)

    def _give(self, buffer: np.ndarray) -> None:
        with self.lock:
            self.free.append(buffer)
            while sum(b.size for b in self.free) > self.LIMIT:
                del self.free[0]


_pool = _BufferPool()


class _Scratch:
    """Owns buffers of the pool for as long as a function runs."""


@dataclass(eq=False)
class _View:
    """What one camera's forward leaves for its backward. n Gaussians seen, m (Gaussian, tile) pairs."""

    camera: np.ndarray  # [CAMERA]
    columns: int  # tiles per row
    order: np.ndarray  # [n] Gaussian of each row, near to far
    slots: np.ndarray  # [n+1] first moment row of each Gaussian
    rows: np.ndarray | None = None  # [n,PACKED]
    starts: np.ndarray | None = None  # [tiles+1]
    tile_rows: np.ndarray | None = None  # [m]
    tile_slots: np.ndarray | None = None  # [m]
    transmittance: np.ndarray | None = None  # [H,W]
    depth: np.ndarray | None = None  # [H,W]


@dataclass(frozen=True)
class _Frame:
    """Size and near plane shared by all cameras of a call."""

    width: int
    height: int
    near: float
    with_depth: bool


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """By NumPy: torch wakes its threads for it, which takes longer than the work when cores are busy."""
    return np.zeros(tuple(shape), np.float32)


def _array_or_zeros(grad: torch.Tensor | None, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an output in `shape`; zeros for an output that the loss does not use."""
    return _zeros(shape) if grad is None else _array(grad).reshape(tuple(shape))


def _prepare_view(
    gaussians: tuple[np.ndarray, ...], camera: np.ndarray, frame: _Frame, radii: np.ndarray
) -> _View:
    """Project, sort and list by tile."""
    columns, tile_lines = tile_grid(frame.width, frame.height)
    scratch = _Scratch()
    count = gaussians[0].shape[0]
    packed = _pool.take(scratch, (count, PACKED), np.float32)
    tile_counts = _pool.take(scratch, (count,), np.int32)
    size = (np.float32(frame.width), np.float32(frame.height), np.float32(frame.near))
    run_parallel(project_forward, *gaussians, camera, *size, packed, radii)
    run_parallel(count_tiles, packed, radii, columns, tile_lines, tile_counts)
    view = _View(camera, columns, *depth_order(packed, tile_counts))
    pairs = int(view.slots[-1])
    if pairs >= 2**31:
        raise EnvironmentFailure(
            f"rasterize: {view.order.size} Gaussians cover {pairs} tiles, more than fits in memory; "
            "check their scales"
        )
    workers = worker_count()
    view.rows = _pool.take(view, (view.order.size, PACKED), np.float32)
    view.starts = np.empty(columns * tile_lines + 1, np.int64)
    view.tile_rows = _pool.take(view, (pairs,), np.int32)
    view.tile_slots = _pool.take(view, (pairs,), np.int32)
    slot_tile = _pool.take(scratch, (pairs,), np.int32)
    counts = np.zeros((workers, columns * tile_lines), np.int32)
    listing = (packed, view.order, view.slots, columns, tile_lines, view.rows, slot_tile, counts)
    _run_shares(list_tiles, workers, *listing)
    start_tiles(counts, view.starts)
    _run_shares(fill_tiles, workers, view.slots, slot_tile, counts, view.tile_rows, view.tile_slots)
    return view


def _run_shares(call: Any, shares: int, *arguments: Any) -> None:
    """Run a kernel whose shares are fixed by a table of `shares` rows, however many threads there are."""

    def run(worker: int, workers: int) -> None:
        for share in range(worker, shares, workers):
            call(share, shares, *arguments)

    run_parallel(run)


class _Rasterize(torch.autograd.Function):
    """Gaussians (float32, contiguous) to image, alpha and, if asked, depth."""

    @staticmethod
    def forward(ctx, frame, statistics, Ks, means, quats, scales, opacities, colors, viewmats, background):
        cameras = viewmats.shape[0]
        image = torch.empty(cameras, frame.height, frame.width, 3)
        alpha = torch.empty(cameras, frame.height, frame.width, 1)
        depth = torch.empty(cameras, frame.height, frame.width, 1) if frame.with_depth else None
        shape = tuple(_array(t) for t in (means, quats, scales, opacities))
        ctx.views = []
        for c in range(cameras):
            camera = pack_camera(_array(viewmats[c]), _array(Ks[c]), frame.width, frame.height)
            if not np.isfinite(camera).all():
                raise InputError(f"rasterize: camera {c} holds an infinity or a NaN in viewmats or Ks")
            radii = statistics.radii[c].numpy()
            view = _prepare_view((*shape, _array(colors[c])), camera, frame, radii)
            view.transmittance = _pool.take(view, (frame.height, frame.width), np.float32)
            view.depth = depth[c, ..., 0].numpy() if frame.with_depth else None
            run_parallel(
                blend_forward,
                np.zeros(1, np.int64),
                view.rows,
                view.starts,
                view.tile_rows,
                view.columns,
                _array(background[c]),
                image[c].numpy(),
                view.transmittance,
                view.depth,
            )
            np.subtract(1, view.transmittance, out=alpha[c, ..., 0].numpy())
            ctx.views.append(view)
        ctx.set_materialize_grads(False)
        ctx.frame = frame
        ctx.statistics = statistics
        ctx.save_for_backward(means, quats, scales, opacities, viewmats, background, image, depth)
        return image, alpha, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_image, grad_alpha, grad_depth):
        means, quats, scales, opacities, viewmats, background, image, _ = ctx.saved_tensors
        geometry = tuple(_array(t) for t in (means, quats, scales))
        grads = tuple(_zeros(t.shape) for t in (means, quats, scales, opacities))
        cameras, count = viewmats.shape[0], means.shape[0]
        grad_colors, grad_pixels = _zeros((cameras, count, 3)), _zeros((cameras, count))
        grad_viewmats, grad_background = _zeros(viewmats.shape), _zeros(background.shape)
        image, grad_image = _array(image), _array_or_zeros(grad_image, image.shape)
        grad_alpha = _array_or_zeros(grad_alpha, image.shape[:3])
        grad_depth = _array_or_zeros(grad_depth, image.shape[:3]) if ctx.frame.with_depth else None
        for c, view in enumerate(ctx.views):
            scratch = _Scratch()
            moments = _pool.take(scratch, (view.tile_rows.size, MOMENTS), np.float32)
            lists = (view.rows, view.starts, view.tile_rows, view.tile_slots, view.columns)
            values = (image[c], view.transmittance, view.depth)
            slopes = (grad_image[c], grad_alpha[c], grad_depth[c] if ctx.frame.with_depth else None)
            run_parallel(blend_backward, np.zeros(1, np.int64), *lists, *values, *slopes, moments)
            grad_views = np.empty((VIEW_GRADIENT_CHUNKS, 12), np.float32)
            outputs = (*grads, grad_colors[c], grad_pixels[c], grad_views)
            sums = (view.rows, view.order, view.slots, moments)
            run_parallel(project_backward, *geometry, view.camera, *sums, *outputs)
            grad_viewmats[c, :3] = grad_views.sum(0, dtype=np.float64).reshape(3, 4)
            if ctx.needs_input_grad[9]:
                grad_background[c] = np.einsum("hwc,hw->c", grad_image[c], view.transmittance)
        ctx.statistics.means2d_grad = torch.from_numpy(grad_pixels)
        arrays = (*grads, grad_colors, grad_viewmats, grad_background)
        return None, None, None, *(torch.from_numpy(a) for a in arrays)


def rasterize_cpu(
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
    """See `emoga.render.rasterize`; float32, other dtypes are converted there and back."""
    frame = _Frame(width, height, near, with_depth)
    statistics = Statistics(torch.zeros(viewmats.shape[0], means.shape[0]))
    inputs = (means, quats, scales, opacities, colors, viewmats, background)
    inputs = tuple(t.float().contiguous() for t in inputs)
    image, alpha, depth = _Rasterize.apply(frame, statistics, Ks, *inputs)
    outputs = (t if t is None else t.to(means.dtype) for t in (image, alpha, depth))
    return Rendering(*outputs, statistics)
