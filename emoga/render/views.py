"""One camera's picture and the way back, kernel by kernel, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emoga.errors import EnvironmentFailure
from emoga.kernels import run_parallel, worker_count
from emoga.render.blend import blend_forward
from emoga.render.blend_backward import blend_backward
from emoga.render.blocks import PIXELS, PLANES, tile_grid
from emoga.render.buffers import Lease, pool
from emoga.render.ewa import LANES
from emoga.render.packed import MOMENTS, PACKED
from emoga.render.project import project_forward
from emoga.render.project_backward import VIEW_GRADIENT_CHUNKS, project_backward
from emoga.render.tiles import count_tiles, fill_tiles, list_pairs, sort_tiles, start_tiles

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Frame:
    """Size and near plane shared by all cameras of a call."""

    width: int
    height: int
    near: float
    with_depth: bool


@dataclass(frozen=True)
class View:
    """One camera's Gaussians, listed by tile. m pairs of a Gaussian and a tile it touches."""

    lease: Lease  # on all arrays below
    camera: np.ndarray  # [CAMERA]
    workers: int  # threads that draw it
    columns: int  # tiles per row
    packed: np.ndarray  # [N,PACKED]
    spans: np.ndarray  # [N,2] slots of each Gaussian; a slot is a row of moments
    starts: np.ndarray  # [tiles+1] bounds of each tile's list
    tile_rows: np.ndarray  # [m] row of packed, tile by tile, near to far
    tile_slots: np.ndarray  # [m] slot
    covers: np.ndarray  # [m] blocks of the tile that the pair reaches, as bits; blending writes them


def prepare_view(gaussians: Arrays, camera: np.ndarray, frame: Frame, radii: np.ndarray) -> View:
    """Project means, quats, scales, opacities and colors, list them by tile and sort; fills radii [N].

    Raises EnvironmentFailure when the lists would not fit in memory.
    """
    columns, lines = tile_grid(frame.width, frame.height)
    lease, scratch = Lease(), Lease()
    count, workers = radii.size, worker_count()
    packed = pool.take(lease, (count, PACKED), np.float32)
    filled_up = -(-count // LANES) * LANES
    boxes = pool.take(scratch, (4, filled_up), np.int32)
    depths = pool.take(scratch, (filled_up,), np.float32)
    size = (np.float32(frame.width), np.float32(frame.height), np.float32(frame.near))
    run_parallel(project_forward, *gaussians, camera, *size, columns, lines, packed, radii, boxes, depths)

    touched = (packed, boxes, columns)
    first_slots = np.zeros(workers + 1, np.int64)
    _run_shares(count_tiles, workers, *touched, first_slots[1:])
    np.cumsum(first_slots, out=first_slots)
    pairs = int(first_slots[-1])
    if pairs >= 2**31:
        raise EnvironmentFailure(
            f"rasterize: {count} Gaussians cover {pairs} tiles, more than fits in memory; check their scales"
        )
    spans = pool.take(lease, (count, 2), np.int32)
    tiles, rows, pair_depths = (pool.take(scratch, (pairs,), np.int32) for _ in range(3))
    counts = np.zeros((workers, columns * lines), np.int32)
    pair_lists = (spans, tiles, rows, pair_depths, counts)
    _run_shares(list_pairs, workers, *touched, depths, first_slots, *pair_lists)

    starts = np.empty(columns * lines + 1, np.int64)
    start_tiles(counts, starts)
    keys = pool.take(scratch, (pairs,), np.int64)
    _run_shares(fill_tiles, workers, spans, tiles, pair_depths, counts, keys)
    tile_rows, tile_slots = (pool.take(lease, (pairs,), np.int32) for _ in range(2))
    run_parallel(sort_tiles, _tickets(), starts, keys, rows, tile_rows, tile_slots)
    covers = pool.take(lease, (pairs,), np.int64)
    return View(lease, camera, workers, columns, packed, spans, starts, tile_rows, tile_slots, covers)


def draw_view(
    view: View,
    background: np.ndarray,
    image: np.ndarray,
    transmittance: np.ndarray,
    depth: np.ndarray | None,
) -> None:
    """Fill image [H,W,3] over background [3], transmittance [H,W] (1 - alpha) and, unless None, depth [H,W]."""
    run_parallel(
        blend_forward,
        _tickets(),
        _planes(view.lease, view.workers),
        view.packed,
        view.starts,
        view.tile_rows,
        view.columns,
        view.covers,
        background,
        image,
        transmittance,
        depth,
        workers=view.workers,
    )


def view_gradients(
    view: View, values: tuple[Any, ...], slopes: tuple[Any, ...], shape: Arrays, fresh: bool, grads: Arrays
) -> np.ndarray:
    """Gradient [3,4] by the view matrix; fills `grads`, those by the Gaussians.

    values: image [H,W,3], transmittance [H,W] and depth [H,W] or None, as drawn; slopes: the loss's gradients
    by image, alpha and depth. shape: means, quats, scales, opacities. grads: by means, quats, scales and
    opacities, overwritten when `fresh`, else added to, then by this view's colors [N,3] and the norm of those
    by its centres [N] in pixels.
    """
    scratch = Lease()
    moments = pool.take(scratch, (view.tile_rows.size, MOMENTS), np.float32)
    lists = (view.packed, view.starts, view.tile_rows, view.tile_slots, view.covers, view.columns)
    planes = _planes(scratch, view.workers)
    run_parallel(blend_backward, _tickets(), planes, *lists, *values, *slopes, moments, workers=view.workers)
    grad_views = np.empty((VIEW_GRADIENT_CHUNKS, 12), np.float32)
    run_parallel(project_backward, *shape, view.camera, view.spans, moments, fresh, *grads, grad_views)
    return grad_views.sum(0, dtype=np.float64).reshape(3, 4)


def _tickets() -> np.ndarray:
    """A counter from which workers take the next tile."""
    return np.zeros(1, np.int64)


def _planes(lease: Lease, workers: int) -> np.ndarray:
    """Room for the planes of one tile per worker."""
    return pool.take(lease, (workers, PLANES, PIXELS), np.float32)


def _run_shares(call: Callable, shares: int, *arguments: Any) -> None:
    """Run a kernel whose shares are fixed by a table of `shares` rows, however many threads there are."""

    def run(worker: int, workers: int) -> None:
        for share in range(worker, shares, workers):
            call(share, shares, *arguments)

    run_parallel(run)
