"""The kernel that projects Gaussians onto the screen (EWA).

It writes one packed row per Gaussian with all that listing by tile and blending read, and beside it, in arrays
that stay in the cache, what is all that listing most Gaussians takes: the tiles their box touches and their depth.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel
from emoga.render.ewa import (
    DILATION,
    LANES,
    held_slopes,
    rotation,
    screen_axes,
    screen_covariance,
    to_camera,
    world_jacobian,
)
from emoga.render.lane_math import log2, maximum, sqrt_or_zero
from emoga.render.lanes import at_most, columns_of_3, columns_of_4, load16, select, store, store_whole
from emoga.render.packed import (
    BLUE,
    DEPTH,
    GREEN,
    HALF2,
    LEAN,
    LOG_OPACITY,
    PACKED,
    QXX,
    QXY,
    QYY,
    REACH_X,
    REACH_Y,
    RED,
    SHRINK,
    SLANT,
    X,
    Y,
)
from emoga.render.tiles import NO_TILE, tile_box

_ZERO, _HALF, _ONE, _TWO = (np.float32(v) for v in (0, 0.5, 1, 2))
_LIMIT = np.int32(0x4CBEBC20)  # the bits of 1e8
_CUT = np.float32(255)
_TINY = np.float32(1e-30)
_LARGEST = np.float32(1e15)  # squared pixels; its square still fits a float32
_LOG2_E = np.float32(1 / math.log(2))
_LOG2_CUT = np.float32(math.log2(1 / 255))


@kernel(inline=True)
def _usable(values):
    """Mask: beyond this size, or not numbers, projecting would leave float32 and tiles be written anywhere."""
    mask = at_most(values[0], _LIMIT)
    for value in values[1:]:
        mask = mask & at_most(value, _LIMIT)
    return mask


@kernel(inline=True)
def _store_ellipses(fields, px, py, cxx, cxy, cyy, det, log_opacity, reach_x, reach_y, cut2):
    """The geometric columns of sixteen packed rows; cut2: squared distance in sigmas to the visible edge."""
    inverse = _ONE / det
    per_cyy = _ONE / cyy
    store(fields, X * LANES, px)
    store(fields, Y * LANES, py)
    store(fields, QXX * LANES, -_HALF * _LOG2_E * cyy * inverse)
    store(fields, QXY * LANES, _LOG2_E * cxy * inverse)
    store(fields, QYY * LANES, -_HALF * _LOG2_E * cxx * inverse)
    store(fields, LOG_OPACITY * LANES, log_opacity)
    store(fields, REACH_X * LANES, reach_x)
    store(fields, LEAN * LANES, cxy / cxx * reach_x)
    store(fields, REACH_Y * LANES, reach_y)
    store(fields, HALF2 * LANES, cut2 * det * per_cyy)
    store(fields, SHRINK * LANES, det * per_cyy * per_cyy)
    store(fields, SLANT * LANES, cxy * per_cyy)


@kernel(inline=True)
def _project_sixteen(
    means, quats, scales, opacities, first, camera, width, height, near, columns, rows, fields
):
    """Fill fields [PACKED,16], all but colours, from Gaussian `first` on; returns their radii and tile boxes."""
    mx, my, mz = columns_of_3(means, first * 3)
    w0, w1, w2, w3 = columns_of_4(quats, first * 4)
    s0, s1, s2 = columns_of_3(scales, first * 3)
    opacity = load16(opacities, first)
    seen = (
        _usable((mx, my, mz)) & _usable((w0, w1, w2, w3)) & _usable((s0, s1, s2)) & at_most(opacity, _LIMIT)
    )
    # Whatever cannot be seen is replaced, so that no infinity and no NaN enters relaxed arithmetic.
    mx, my, mz = select(seen, mx, _ZERO), select(seen, my, _ZERO), select(seen, mz, _ZERO)
    s0, s1, s2 = select(seen, s0, _ONE), select(seen, s1, _ONE), select(seen, s2, _ONE)
    w0, w1 = select(seen, w0, _ONE), select(seen, w1, _ZERO)
    w2, w3 = select(seen, w2, _ZERO), select(seen, w3, _ZERO)
    opacity = select(seen, opacity, _ZERO)
    x, y, z = to_camera(camera, mx, my, mz)
    squared = w0 * w0 + w1 * w1 + w2 * w2 + w3 * w3
    seen = seen & (z > near) & (opacity * _CUT > _ONE) & (squared >= _TINY)
    z, squared, opacity = select(seen, z, _ONE), select(seen, squared, _ONE), select(seen, opacity, _ONE)
    unit = _ONE / sqrt_or_zero(squared)
    inverse_z = _ONE / z
    slope_x = x * inverse_z
    slope_y = y * inverse_z
    held_x, held_y = held_slopes(camera, slope_x, slope_y)
    jacobian = world_jacobian(camera, held_x, held_y, inverse_z)
    axes = screen_axes(jacobian, rotation(w0 * unit, w1 * unit, w2 * unit, w3 * unit))
    xx, xy, yy, minors = screen_covariance(axes, s0, s1, s2)
    det = minors + DILATION * (xx + yy) + DILATION * DILATION
    cxx, cyy = xx + DILATION, yy + DILATION
    log_opacity = log2(opacity)
    cut2 = _TWO * (log_opacity - _LOG2_CUT) / _LOG2_E
    px = camera[12] * slope_x + camera[14]
    py = camera[13] * slope_y + camera[15]
    reach_x = sqrt_or_zero(cut2 * cxx)
    reach_y = sqrt_or_zero(cut2 * cyy)
    seen = seen & (xx + yy <= _LARGEST)
    seen = seen & (px + reach_x > _ZERO) & (px - reach_x < width)
    seen = seen & (py + reach_y > _ZERO) & (py - reach_y < height)
    _store_ellipses(fields, px, py, cxx, xy, cyy, det, log_opacity, reach_x, reach_y, cut2)
    store(fields, DEPTH * LANES, z)
    left, right, top, bottom = tile_box(px, py, reach_x, reach_y, columns, rows)
    # Whatever overflowed in what is not seen must not become a number of tiles.
    left, right = select(seen, left, _ZERO), select(seen, right, NO_TILE)
    top, bottom = select(seen, top, _ZERO), select(seen, bottom, NO_TILE)
    return select(seen, maximum(reach_x, reach_y), _ZERO), (left, right, top, bottom)


@kernel
def project_forward(
    worker,
    workers,
    means,
    quats,
    scales,
    opacities,
    colors,
    camera,
    width,
    height,
    near,
    columns,
    rows,
    packed,
    radii,
    boxes,
    depths,
):
    """Fill packed [N,PACKED] and radii [N] (px, half the longer side of the visible box; 0 = unseen).

    columns, rows: tiles of the picture. boxes [4,P] int32: first and last column, first and last row of the tiles
    that the visible box touches (last < first: none); depths [P]; P is N filled up to whole LANES.
    """
    count = means.shape[0]
    blocks = (count + LANES - 1) // LANES
    fields = np.empty((PACKED, LANES), np.float32)
    found = np.empty(LANES, np.float32)
    few_means, few_quats = np.ones((LANES, 3), np.float32), np.ones((LANES, 4), np.float32)
    few_scales, few_opacities = np.ones((LANES, 3), np.float32), np.ones(LANES, np.float32)
    for block in range(blocks * worker // workers, blocks * (worker + 1) // workers):
        first = block * LANES
        size = min(LANES, count - first)
        if size == LANES:
            radius, box = _project_sixteen(
                means, quats, scales, opacities, first, camera, width, height, near, columns, rows, fields
            )
        else:
            few_means[:size] = means[first:]
            few_quats[:size] = quats[first:]
            few_scales[:size] = scales[first:]
            few_opacities[:size] = opacities[first:]
            radius, box = _project_sixteen(
                few_means, few_quats, few_scales, few_opacities, 0, camera, width, height, near, columns, rows,
                fields,
            )  # fmt: skip
        store(found, 0, radius)
        store(depths, first, load16(fields, DEPTH * LANES))
        for side in range(4):
            store_whole(boxes, side * depths.size + first, box[side])
        for lane in range(size):
            i = np.uint64(first + lane)
            radii[i] = found[lane]
            if found[lane] > _ZERO:
                for k in range(PACKED):
                    packed[i, k] = fields[k, lane]
                packed[i, RED] = colors[i, 0]
                packed[i, GREEN] = colors[i, 1]
                packed[i, BLUE] = colors[i, 2]
