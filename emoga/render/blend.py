"""Kernels that blend the Gaussians of each tile front to back, and the way back.

A tile keeps its pixels' state in small planes (transmittance, colour sums) that stay in the first-level
cache; each Gaussian of the tile's list is then swept over the rows its ellipse covers, eight pixels at a
time. A pixel whose transmittance would fall to 1e-4 stops there: that Gaussian is left out, the plane
holds zero, and the remembered `final` transmittance goes to the background.

The backward sweeps in the same order. What a Gaussian still hides, `behind`, starts as the whole
pixel's dL·value and loses each Gaussian's share on the way, so nothing needs to be stored per pair.
Every Gaussian and tile has a row of moments of its own: no atomics, the same bits on every run.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from emoga.kernels import kernel, take_ticket
from emoga.render.lanes import (
    any_set,
    ceil_int,
    exp2,
    floor_int,
    load,
    minimum,
    prefetch,
    ramp,
    select,
    splat,
    sqrt_or_zero,
    store,
    store_ceil,
    store_floor,
    total,
)
from emoga.render.project import (
    BLUE,
    DEPTH,
    GREEN,
    HALF2,
    LOG_OPACITY,
    MOMENTS,
    PACKED,
    QXX,
    QXY,
    QYY,
    REACH_Y,
    RED,
    SHRINK,
    SLANT,
    X,
    Y,
)
from emoga.render.tiles import TILE_HEIGHT, TILE_WIDTH

_PIXELS = TILE_WIDTH * TILE_HEIGHT
_AHEAD = 12  # entries between a prefetch and its use
_CHECK = 31  # a tile looks whether any pixel is still open every 32 entries
_ZERO, _HALF, _ONE, _EIGHT = (np.float32(v) for v in (0, 0.5, 1, 8))
_LOG2_CUT = np.float32(math.log2(1 / 255))
_MAX_ALPHA = np.float32(0.999)
_STOP = np.float32(1e-4)


@kernel(inline=True)
def _any_open(transmittance):
    """Whether any pixel of the tile still lets light through."""
    zero = splat(_ZERO)
    largest = zero
    for k in range(0, _PIXELS, 8):
        value = load(transmittance, k)
        largest = select(value > largest, value, largest)
    return any_set(largest > zero)


@kernel(inline=True)
def _rows(row, y, height):
    """First and last row of the tile that the ellipse covers; y is its centre relative to row 0."""
    first = max(ceil_int(max(y - row[REACH_Y], np.float32(-1.0))), 0)
    last = min(floor_int(min(y + row[REACH_Y], np.float32(height))), height - 1)
    return first, last


@kernel(inline=True)
def _spans(row, x, y, first, last, left, right):
    """left, right [TILE_HEIGHT + 8] int32: the columns the ellipse covers in rows first … last."""
    limit = np.float32(1e6)
    for r in range(0, last - first + 1, 8):
        dy = ramp() + (np.float32(first + r) - y)
        half = minimum(sqrt_or_zero(row[HALF2] - row[SHRINK] * dy * dy), limit)
        centre = row[SLANT] * dy + x
        store_ceil(left, r, select(centre - half > -limit, minimum(centre - half, limit), -limit))
        store_floor(right, r, select(centre + half > -limit, minimum(centre + half, limit), -limit))


@kernel
def _blend_tile(
    transmittance, final, red, green, blue, deep, rows, tile_rows, begin, end, left, top, width, height
):
    """Blend the list entries begin … end into one tile's planes; deep is None when no depth is asked."""
    first_column, last_column = np.empty(TILE_HEIGHT + 8, np.int32), np.empty(TILE_HEIGHT + 8, np.int32)
    centre_x = np.float32(left) + _HALF
    centre_y = np.float32(top) + _HALF
    zero = splat(_ZERO)
    for entry in range(begin, end):
        if ((entry - begin) & _CHECK) == _CHECK and not _any_open(transmittance):
            break
        prefetch(rows, np.int64(tile_rows[min(entry + _AHEAD, end - 1)]) * PACKED)
        row = rows[tile_rows[entry]]
        x = row[X] - centre_x
        y = row[Y] - centre_y
        qxx = splat(row[QXX])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        first, last = _rows(row, y, height)
        _spans(row, x, y, first, last, first_column, last_column)
        for line in range(first, last + 1):
            dy = np.float32(line) - y
            begin_x = max(first_column[line - first], 0) & -8
            end_x = min(last_column[line - first], width - 1)
            linear = row[QXY] * dy
            constant = row[QYY] * dy * dy + row[LOG_OPACITY]
            at = line * TILE_WIDTH + begin_x
            dx = ramp() + (np.float32(begin_x) - x)
            for _ in range((end_x - begin_x + 8) >> 3):
                before = load(transmittance, at)
                exponent = (qxx * dx + linear) * dx + constant
                alpha = select(exponent >= _LOG2_CUT, minimum(exp2(exponent), _MAX_ALPHA), _ZERO)
                weight = alpha * before
                after = before - weight
                stopped = (after <= _STOP) & (before > zero)
                if any_set(stopped):
                    weight = select(stopped, _ZERO, weight)
                    after = select(stopped, _ZERO, after)
                    store(final, at, select(stopped, before, load(final, at)))
                store(transmittance, at, after)
                store(red, at, load(red, at) + weight * r)
                store(green, at, load(green, at) + weight * g)
                store(blue, at, load(blue, at) + weight * b)
                if deep is not None:
                    store(deep, at, load(deep, at) + weight * z)
                at += 8
                dx = dx + _EIGHT


def _plane_unless_none(wanted):
    """In kernels: a plane for an output that is asked for, else None; settled when compiling."""
    raise NotImplementedError("only inside kernels")


@overload(_plane_unless_none)
def _choose_plane(wanted):
    if isinstance(wanted, types.NoneType):
        return lambda wanted: None
    return lambda wanted: np.empty(_PIXELS, np.float32)


@kernel
def blend_forward(
    worker,
    workers,
    tickets,
    rows,
    starts,
    tile_rows,
    columns,
    background,
    image,
    transmittances,
    depth,
):
    """image [H,W,3], transmittances [H,W] (1 - alpha) and, unless None, depth [H,W]; background [3]."""
    image_height, image_width = transmittances.shape
    transmittance = np.empty(_PIXELS, np.float32)
    final = np.empty(_PIXELS, np.float32)
    red, green, blue = (
        np.empty(_PIXELS, np.float32),
        np.empty(_PIXELS, np.float32),
        np.empty(_PIXELS, np.float32),
    )
    deep = _plane_unless_none(depth)
    background_r, background_g, background_b = background[0], background[1], background[2]
    while True:
        tile = take_ticket(tickets)
        if tile >= starts.size - 1:
            break
        top = tile // columns * TILE_HEIGHT
        left = tile % columns * TILE_WIDTH
        height = min(TILE_HEIGHT, image_height - top)
        width = min(TILE_WIDTH, image_width - left)
        if starts[tile] == starts[tile + 1]:
            for y in range(top, top + height):
                for x in range(left, left + width):
                    transmittances[y, x] = _ONE
                    image[y, x, 0] = background_r
                    image[y, x, 1] = background_g
                    image[y, x, 2] = background_b
                    if depth is not None:
                        depth[y, x] = _ZERO
            continue
        for k in range(_PIXELS):
            final[k] = _ZERO
            red[k] = _ZERO
            green[k] = _ZERO
            blue[k] = _ZERO
            inside = k // TILE_WIDTH < height and k % TILE_WIDTH < width
            transmittance[k] = _ONE if inside else _ZERO
        if depth is not None:
            deep[:] = _ZERO
        _blend_tile(
            transmittance,
            final,
            red,
            green,
            blue,
            deep,
            rows,
            tile_rows,
            starts[tile],
            starts[tile + 1],
            left,
            top,
            width,
            height,
        )
        for y in range(height):
            for x in range(width):
                at = y * TILE_WIDTH + x
                through = transmittance[at] + final[at]
                transmittances[top + y, left + x] = through
                image[top + y, left + x, 0] = red[at] + through * background_r
                image[top + y, left + x, 1] = green[at] + through * background_g
                image[top + y, left + x, 2] = blue[at] + through * background_b
                if depth is not None:
                    depth[top + y, left + x] = deep[at]


@kernel
def _blend_tile_backward(
    transmittance,
    behind,
    grad_red,
    grad_green,
    grad_blue,
    grad_deep,
    rows,
    tile_rows,
    tile_slots,
    moments,
    begin,
    end,
    left,
    top,
    width,
    height,
):
    """Write the moments of the list entries begin … end; grad_deep is None when no depth was asked."""
    first_column, last_column = np.empty(TILE_HEIGHT + 8, np.int32), np.empty(TILE_HEIGHT + 8, np.int32)
    centre_x = np.float32(left) + _HALF
    centre_y = np.float32(top) + _HALF
    zero = splat(_ZERO)
    closed = end
    for entry in range(begin, end):
        if ((entry - begin) & _CHECK) == _CHECK and not _any_open(transmittance):
            closed = entry
            break
        ahead = min(entry + _AHEAD, end - 1)
        prefetch(rows, np.int64(tile_rows[ahead]) * PACKED)
        prefetch(moments, np.int64(tile_slots[ahead]) * MOMENTS)
        row = rows[tile_rows[entry]]
        x = row[X] - centre_x
        y = row[Y] - centre_y
        qxx = splat(row[QXX])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        sum_u = sum_x = sum_y = sum_xx = sum_xy = sum_yy = zero
        sum_r = sum_g = sum_b = sum_z = zero
        first, last = _rows(row, y, height)
        _spans(row, x, y, first, last, first_column, last_column)
        for line in range(first, last + 1):
            dy = np.float32(line) - y
            begin_x = max(first_column[line - first], 0) & -8
            end_x = min(last_column[line - first], width - 1)
            linear = row[QXY] * dy
            constant = row[QYY] * dy * dy + row[LOG_OPACITY]
            at = line * TILE_WIDTH + begin_x
            dx = ramp() + (np.float32(begin_x) - x)
            for _ in range((end_x - begin_x + 8) >> 3):
                before = load(transmittance, at)
                exponent = (qxx * dx + linear) * dx + constant
                raw = exp2(exponent)
                alpha = select(exponent >= _LOG2_CUT, minimum(raw, _MAX_ALPHA), _ZERO)
                weight = alpha * before
                after = before - weight
                stopped = (after <= _STOP) & (before > zero)
                if any_set(stopped):
                    weight = select(stopped, _ZERO, weight)
                    after = select(stopped, _ZERO, after)
                store(transmittance, at, after)
                gr = load(grad_red, at)
                gg = load(grad_green, at)
                gb = load(grad_blue, at)
                sum_r = sum_r + weight * gr
                sum_g = sum_g + weight * gg
                sum_b = sum_b + weight * gb
                value = gr * r + gg * g + gb * b
                if grad_deep is not None:
                    gz = load(grad_deep, at)
                    sum_z = sum_z + weight * gz
                    value = value + gz * z
                share = weight * value
                rest = load(behind, at) - share
                store(behind, at, rest)
                u = share - alpha / (_ONE - alpha) * rest
                u = select((after > zero) & (raw < _MAX_ALPHA), u, _ZERO)
                ux = u * dx
                uy = u * dy
                sum_u = sum_u + u
                sum_x = sum_x + ux
                sum_y = sum_y + uy
                sum_xx = sum_xx + ux * dx
                sum_xy = sum_xy + ux * dy
                sum_yy = sum_yy + uy * dy
                at += 8
                dx = dx + _EIGHT
        moment = moments[tile_slots[entry]]
        moment[0] = total(sum_u)
        moment[1] = total(sum_x)
        moment[2] = total(sum_y)
        moment[3] = total(sum_xx)
        moment[4] = total(sum_xy)
        moment[5] = total(sum_yy)
        moment[6] = total(sum_r)
        moment[7] = total(sum_g)
        moment[8] = total(sum_b)
        moment[9] = total(sum_z)
    for entry in range(closed, end):
        moment = moments[tile_slots[entry]]
        for k in range(MOMENTS):
            moment[k] = _ZERO


@kernel
def blend_backward(
    worker,
    workers,
    tickets,
    rows,
    starts,
    tile_rows,
    tile_slots,
    columns,
    image,
    transmittances,
    depth,
    grad_image,
    grad_alpha,
    grad_depth,
    moments,
):
    """moments [slots,MOMENTS] from the forward's outputs and their gradients (depth pair may be None)."""
    image_height, image_width = transmittances.shape
    transmittance, behind = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
    grad_red, grad_green, grad_blue = (
        np.empty(_PIXELS, np.float32),
        np.empty(_PIXELS, np.float32),
        np.empty(_PIXELS, np.float32),
    )
    grad_deep = _plane_unless_none(depth)
    while True:
        tile = take_ticket(tickets)
        if tile >= starts.size - 1:
            break
        if starts[tile] == starts[tile + 1]:
            continue
        top = tile // columns * TILE_HEIGHT
        left = tile % columns * TILE_WIDTH
        height = min(TILE_HEIGHT, image_height - top)
        width = min(TILE_WIDTH, image_width - left)
        for k in range(_PIXELS):
            transmittance[k] = _ZERO
            behind[k] = _ZERO
            grad_red[k] = _ZERO
            grad_green[k] = _ZERO
            grad_blue[k] = _ZERO
        if depth is not None:
            grad_deep[:] = _ZERO
        for y in range(height):
            for x in range(width):
                at = y * TILE_WIDTH + x
                pixel = image[top + y, left + x]
                grad = grad_image[top + y, left + x]
                transmittance[at] = _ONE
                grad_red[at] = grad[0]
                grad_green[at] = grad[1]
                grad_blue[at] = grad[2]
                value = grad[0] * pixel[0] + grad[1] * pixel[1] + grad[2] * pixel[2]
                value -= grad_alpha[top + y, left + x] * transmittances[top + y, left + x]
                if depth is not None:
                    grad_deep[at] = grad_depth[top + y, left + x]
                    value += grad_depth[top + y, left + x] * depth[top + y, left + x]
                behind[at] = value
        _blend_tile_backward(
            transmittance,
            behind,
            grad_red,
            grad_green,
            grad_blue,
            grad_deep,
            rows,
            tile_rows,
            tile_slots,
            moments,
            starts[tile],
            starts[tile + 1],
            left,
            top,
            width,
            height,
        )
