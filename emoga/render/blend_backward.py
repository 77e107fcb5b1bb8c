"""The way back through the blending: moments of every Gaussian in every tile.

It sweeps front to back like the forward, over the blocks that the forward noted. What a Gaussian still hides,
`behind`, starts as the whole pixel's dL·value and loses each Gaussian's share on the way, so nothing needs to
be stored per pixel and Gaussian. Every Gaussian and tile has a row of moments of its own: no atomics, the same
bits on every run.
"""

from __future__ import annotations

import numpy as np

from emoga.kernels import kernel, take_ticket
from emoga.render.blend import AHEAD, MAX_ALPHA, block_alpha, pass_through
from emoga.render.blocks import (
    BEHIND,
    DEEP,
    FIRST_SUM,
    LANE_X,
    LANES,
    TRANSMITTANCE,
    fill_lane_positions,
    plane_if,
    plane_index,
    tile_bounds,
    tile_planes,
)
from emoga.render.lanes import load16, lowest_bit, prefetch, select, splat16, store, store_totals
from emoga.render.packed import BLUE, DEPTH, GREEN, MOMENTS, PACKED, RED, X, Y

_ZERO, _HALF, _ONE = (np.float32(v) for v in (0, 0.5, 1))


@kernel
def _read_slopes(
    planes, deep, left, top, width, height, image, transmittances, depth, grad_image, grad_alpha, grad_depth
):
    """Fill the planes of a tile: gradients by its pixels, and what all its Gaussians hide together."""
    _, red, green, blue, _, _ = tile_planes(planes)
    behind = planes[BEHIND]
    for y in range(height):
        for x in range(width):
            at = plane_index(y, x)
            pixel = image[top + y, left + x]
            grad = grad_image[top + y, left + x]
            red[at] = grad[0]
            green[at] = grad[1]
            blue[at] = grad[2]
            value = grad[0] * pixel[0] + grad[1] * pixel[1] + grad[2] * pixel[2]
            value -= grad_alpha[top + y, left + x] * transmittances[top + y, left + x]
            if depth is not None:
                deep[at] = grad_depth[top + y, left + x]
                value += grad_depth[top + y, left + x] * depth[top + y, left + x]
            behind[at] = value


@kernel
def _blend_tile_backward(
    planes, deep, rows, tile_rows, tile_slots, covers, moments, begin, end, x_offset, y_offset
):
    """Write the moments of the list entries begin … end; deep is None when no depth was asked."""
    transmittance, grad_red, grad_green, grad_blue, lane_x, lane_y = tile_planes(planes)
    behind = planes[BEHIND]
    zero = splat16(_ZERO)
    for entry in range(begin, end):
        ahead = min(entry + AHEAD, end - 1)
        prefetch(rows, np.int64(tile_rows[ahead]) * PACKED)
        prefetch(moments, np.int64(tile_slots[ahead]) * MOMENTS)
        row = rows[tile_rows[entry]]
        x = row[X] - x_offset
        y = row[Y] - y_offset
        r, g, b, z = splat16(row[RED]), splat16(row[GREEN]), splat16(row[BLUE]), splat16(row[DEPTH])
        sum_u = sum_x = sum_y = sum_xx = sum_xy = sum_yy = zero
        sum_r = sum_g = sum_b = sum_z = zero
        left_over = covers[entry]
        while left_over != 0:
            block = lowest_bit(left_over)
            left_over &= left_over - 1
            at = block * LANES
            dx, dy, raw, alpha = block_alpha(row, x, y, block, lane_x, lane_y)
            weight, after = pass_through(load16(transmittance, at), alpha)
            store(transmittance, at, after)
            gr = load16(grad_red, at)
            gg = load16(grad_green, at)
            gb = load16(grad_blue, at)
            sum_r = sum_r + weight * gr
            sum_g = sum_g + weight * gg
            sum_b = sum_b + weight * gb
            value = gr * r + gg * g + gb * b
            if deep is not None:
                gz = load16(deep, at)
                sum_z = sum_z + weight * gz
                value = value + gz * z
            share = weight * value
            rest = load16(behind, at) - share
            store(behind, at, rest)
            u = share - alpha / (_ONE - alpha) * rest
            u = select((after > zero) & (raw < MAX_ALPHA), u, _ZERO)
            ux = u * dx
            uy = u * dy
            sum_u = sum_u + u
            sum_x = sum_x + ux
            sum_y = sum_y + uy
            sum_xx = sum_xx + ux * dx
            sum_xy = sum_xy + ux * dy
            sum_yy = sum_yy + uy * dy
        at = np.int64(tile_slots[entry]) * MOMENTS
        store_totals(moments, at, sum_u, sum_x, sum_y, sum_xx)
        store_totals(moments, at + 4, sum_xy, sum_yy, sum_r, sum_g)
        store_totals(moments, at + 8, sum_b, sum_z, zero, zero)


@kernel
def blend_backward(
    worker,
    workers,
    tickets,
    planes,
    rows,
    starts,
    tile_rows,
    tile_slots,
    covers,
    columns,
    image,
    transmittances,
    depth,
    grad_image,
    grad_alpha,
    grad_depth,
    moments,
):
    """moments [slots,MOMENTS] from the forward's outputs and their gradients (depth pair may be None).

    planes [workers,PLANES,PIXELS] is room to work in.
    """
    image_height, image_width = transmittances.shape
    mine = planes[worker]
    deep = plane_if(depth, mine[DEEP])
    fill_lane_positions(mine)
    while True:
        tile = take_ticket(tickets)
        if tile >= starts.size - 1:
            break
        begin, end = starts[tile], starts[tile + 1]
        if begin == end:
            continue
        left, top, width, height = tile_bounds(tile, columns, image_width, image_height)
        mine[TRANSMITTANCE] = _ONE
        mine[FIRST_SUM:LANE_X] = _ZERO
        values = (image, transmittances, depth)
        slopes = (grad_image, grad_alpha, grad_depth)
        _read_slopes(mine, deep, left, top, width, height, *values, *slopes)
        x_offset, y_offset = np.float32(left) + _HALF, np.float32(top) + _HALF
        lists = (rows, tile_rows, tile_slots, covers, moments)
        _blend_tile_backward(mine, deep, *lists, begin, end, x_offset, y_offset)
