"""The kernel that blends the Gaussians of each tile front to back.

A tile keeps its pixels' state in planes (transmittance, colour sums) that stay in the first-level cache; each
Gaussian of the tile's list visits the blocks of pixels that its ellipse covers. Where less than 1e-4 of the
light would be left a pixel stops: that Gaussian is left out, and the transmittance, which then goes to the
background, is kept negative. Every so often blocks without an open pixel are struck off; when none is left
the tile is done.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel, take_ticket
from emoga.render.blocks import (
    BLOCK,
    BLOCKS,
    DEEP,
    FIRST_SUM,
    LANE_X,
    LANES,
    TRANSMITTANCE,
    covered_blocks,
    fill_lane_positions,
    plane_if,
    plane_index,
    tile_bounds,
    tile_planes,
)
from emoga.render.lane_math import exp2, minimum, minus_size
from emoga.render.lanes import any_set, load16, lowest_bit, prefetch, select, splat16, store
from emoga.render.packed import BLUE, DEPTH, GREEN, LOG_OPACITY, PACKED, QXX, QXY, QYY, RED, X, Y

AHEAD = 12  # entries between a prefetch and its use
_CHECK = 31  # a tile looks which of its blocks are still open every 32 entries
MAX_ALPHA = np.float32(0.999)
STOP = np.float32(1e-4)
_ZERO, _HALF, _ONE = (np.float32(v) for v in (0, 0.5, 1))
_LOG2_CUT = np.float32(math.log2(1 / 255))


@kernel(inline=True)
def _shown_blocks(width, height):
    """Bits of the blocks with at least one of the width x height pixels of a tile."""
    row = (np.int64(1) << ((width + BLOCK - 1) // BLOCK)) - 1
    bits = np.int64(0)
    for k in range((height + BLOCK - 1) // BLOCK):
        bits |= row << (k * BLOCKS)
    return bits


@kernel(inline=True)
def block_alpha(row, x, y, block, lane_x, lane_y):
    """dx, dy and exp2 of the log2(alpha) of one block's pixels, and alpha, cut and limited."""
    dx = load16(lane_x, (block % BLOCKS) * LANES) - x
    dy = load16(lane_y, (block // BLOCKS) * LANES) - y
    exponent = (row[QXX] * dx + row[QXY] * dy) * dx + (row[QYY] * dy * dy + row[LOG_OPACITY])
    raw = exp2(exponent)
    return dx, dy, raw, select(exponent >= _LOG2_CUT, minimum(raw, MAX_ALPHA), _ZERO)


@kernel(inline=True)
def pass_through(before, alpha):
    """Blending weights, and the transmittance behind. A pixel stops, and is negative from then on, where
    less than STOP would be left."""
    weight = alpha * before
    after = before - weight
    goes_on = after > STOP
    return select(goes_on, weight, _ZERO), select(goes_on, after, minus_size(before))


@kernel(inline=True)
def _still_open(transmittance, bits):
    """Of the blocks in `bits`, those with a pixel that has not stopped."""
    zero = splat16(_ZERO)
    left_over = bits
    while left_over != 0:
        block = lowest_bit(left_over)
        left_over &= left_over - 1
        if not any_set(load16(transmittance, block * LANES) > zero):
            bits &= ~(np.int64(1) << block)
    return bits


@kernel
def _blend_tile(planes, deep, rows, tile_rows, covers, begin, end, x_offset, y_offset, bits):
    """Blend list entries begin … end into one tile's planes; deep is None when no depth is asked.

    x_offset, y_offset: centre of the tile's first pixel; bits: its blocks with pixels of the picture. covers
    gets the blocks of each entry that were visited.
    """
    transmittance, red, green, blue, lane_x, lane_y = tile_planes(planes)
    for entry in range(begin, end):
        if ((entry - begin) & _CHECK) == _CHECK:
            bits = _still_open(transmittance, bits)
            if bits == 0:
                covers[entry:end] = 0
                break
        prefetch(rows, np.int64(tile_rows[min(entry + AHEAD, end - 1)]) * PACKED)
        row = rows[tile_rows[entry]]
        x = row[X] - x_offset
        y = row[Y] - y_offset
        r, g, b, z = splat16(row[RED]), splat16(row[GREEN]), splat16(row[BLUE]), splat16(row[DEPTH])
        left_over = covered_blocks(row, x, y) & bits
        covers[entry] = left_over
        while left_over != 0:
            block = lowest_bit(left_over)
            left_over &= left_over - 1
            at = block * LANES
            _, _, _, alpha = block_alpha(row, x, y, block, lane_x, lane_y)
            weight, after = pass_through(load16(transmittance, at), alpha)
            store(transmittance, at, after)
            store(red, at, load16(red, at) + weight * r)
            store(green, at, load16(green, at) + weight * g)
            store(blue, at, load16(blue, at) + weight * b)
            if deep is not None:
                store(deep, at, load16(deep, at) + weight * z)


@kernel
def _write_background(left, top, width, height, background, image, transmittances, depth):
    """A tile without Gaussians."""
    for y in range(top, top + height):
        for x in range(left, left + width):
            transmittances[y, x] = _ONE
            for k in range(3):
                image[y, x, k] = background[k]
            if depth is not None:
                depth[y, x] = _ZERO


@kernel
def _write_tile(planes, deep, left, top, width, height, background, image, transmittances, depth):
    """Copy a tile's planes to where it lies in the picture."""
    transmittance, red, green, blue, _, _ = tile_planes(planes)
    background_r, background_g, background_b = background[0], background[1], background[2]
    for y in range(height):
        for x in range(width):
            at = plane_index(y, x)
            through = abs(transmittance[at])
            transmittances[top + y, left + x] = through
            image[top + y, left + x, 0] = red[at] + through * background_r
            image[top + y, left + x, 1] = green[at] + through * background_g
            image[top + y, left + x, 2] = blue[at] + through * background_b
            if depth is not None:
                depth[top + y, left + x] = deep[at]


@kernel
def blend_forward(
    worker,
    workers,
    tickets,
    planes,
    rows,
    starts,
    tile_rows,
    columns,
    covers,
    background,
    image,
    transmittances,
    depth,
):
    """image [H,W,3], transmittances [H,W] (1 - alpha) and, unless None, depth [H,W]; background [3].

    planes [workers,PLANES,PIXELS] is room to work in. covers [pairs] gets the blocks that each pair reached.
    """
    image_height, image_width = transmittances.shape
    mine = planes[worker]
    deep = plane_if(depth, mine[DEEP])
    fill_lane_positions(mine)
    while True:
        tile = take_ticket(tickets)
        if tile >= starts.size - 1:
            break
        left, top, width, height = tile_bounds(tile, columns, image_width, image_height)
        begin, end = starts[tile], starts[tile + 1]
        if begin == end:
            _write_background(left, top, width, height, background, image, transmittances, depth)
            continue
        mine[TRANSMITTANCE] = _ONE
        mine[FIRST_SUM:LANE_X] = _ZERO
        x_offset, y_offset = np.float32(left) + _HALF, np.float32(top) + _HALF
        bits = _shown_blocks(width, height)
        _blend_tile(mine, deep, rows, tile_rows, covers, begin, end, x_offset, y_offset, bits)
        _write_tile(mine, deep, left, top, width, height, background, image, transmittances, depth)
