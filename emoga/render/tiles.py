"""Kernels that list, for every tile, the Gaussians whose ellipse touches it, near to far.

Gaussians stay in the order they came in; only each tile's list is sorted, by the tile's own thread.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel, take_ticket
from emoga.render.blocks import TILE
from emoga.render.lane_math import float_bits, floor_int, floor_lanes, maximum, minimum
from emoga.render.packed import HALF2, LEAN, REACH_Y, SHRINK, SLANT, X, Y

NO_TILE = np.float32(-1)  # as the last of a span
_ZERO, _HALF, _SLACK = np.float32(0), np.float32(0.5), np.float32(1e-3)
_PER_TILE = np.float32(1 / TILE)
_DIGITS = 256
_FEW = 24  # lists up to this length are sorted by insertion


@kernel(inline=True)
def _tile_span(low, high, tiles):
    """First and last tile, of `tiles` along one side, that hold pixels low … high; last < first: none.

    As floats or lanes, not yet rounded down: far-off values would not fit an int.
    """
    first = minimum(maximum(low * _PER_TILE, _ZERO), np.float32(tiles))
    return first, maximum(minimum(high * _PER_TILE, np.float32(tiles) - _HALF), NO_TILE)


@kernel(inline=True)
def tile_box(x, y, reach_x, reach_y, columns, rows):
    """First and last column, first and last row of tiles that boxes around x, y touch: whole lanes."""
    left, right = _tile_span(x - reach_x - _SLACK, x + reach_x + _SLACK, columns)
    top, bottom = _tile_span(y - reach_y, y + reach_y, rows)
    return floor_lanes(left), floor_lanes(right), floor_lanes(top), floor_lanes(bottom)


@kernel(inline=True)
def _tile_columns(row, tile_y, columns):
    """First and last tile column that the ellipse touches within one row of tiles; last < first: none.

    The ellipse's left-most and right-most points are moved into the row's band of dy.
    """
    low = max(np.float32(tile_y * TILE) - row[Y], -row[REACH_Y])
    high = min(np.float32(tile_y * TILE + TILE) - row[Y], row[REACH_Y])
    right = min(max(row[LEAN], low), high)
    left = min(max(-row[LEAN], low), high)
    half_right = math.sqrt(max(row[HALF2] - row[SHRINK] * right * right, _ZERO))
    half_left = math.sqrt(max(row[HALF2] - row[SHRINK] * left * left, _ZERO))
    x_left = row[X] + row[SLANT] * left - half_left - _SLACK
    x_right = row[X] + row[SLANT] * right + half_right + _SLACK
    first, last = _tile_span(x_left, x_right, columns)
    return floor_int(first), floor_int(last)


@kernel
def count_tiles(share, shares, packed, boxes, columns, counts):
    """counts [shares] int64: pairs of a Gaussian and a tile it touches, in this share of the Gaussians.

    An ellipse touches all tiles of its box when they lie in one row or one column.
    """
    count = packed.shape[0]
    pairs = np.int64(0)
    for i in range(count * share // shares, count * (share + 1) // shares):
        wide, high = boxes[1, i] - boxes[0, i] + 1, boxes[3, i] - boxes[2, i] + 1
        if wide <= 1 or high <= 1:
            pairs += max(wide, 0) * max(high, 0)
            continue
        for tile_y in range(boxes[2, i], boxes[3, i] + 1):
            first, last = _tile_columns(packed[i], tile_y, columns)
            pairs += max(0, last - first + 1)
    counts[share] = pairs


@kernel
def list_pairs(
    share,
    shares,
    packed,
    boxes,
    columns,
    depths,
    first_slots,
    spans,
    pair_tile,
    pair_row,
    pair_depth,
    counts,
):
    """Write every pair, Gaussian by Gaussian, into the slots first_slots [shares+1] set aside.

    spans [N,2]: first slot of each Gaussian and the one after its last. pair_tile, pair_row and pair_depth
    (bits of the depth), all [slots] int32, describe each slot; counts [shares,tiles] int32 (zeroed) gets the
    pairs per tile in this share.
    """
    count = packed.shape[0]
    mine = counts[share]
    slot, limit = first_slots[share], first_slots[share + 1]
    for i in range(count * share // shares, count * (share + 1) // shares):
        spans[i, 0] = slot
        first, last = boxes[0, i], boxes[1, i]
        depth = float_bits(depths[i])
        several = last > first and boxes[3, i] > boxes[2, i]
        for tile_y in range(boxes[2, i], boxes[3, i] + 1):
            if several:
                first, last = _tile_columns(packed[i], tile_y, columns)
            for tile_x in range(first, min(last, first + limit - slot - 1) + 1):
                tile, at = np.uint64(tile_y * columns + tile_x), np.uint64(slot)
                pair_tile[at] = tile
                pair_row[at] = i
                pair_depth[at] = depth
                mine[tile] += np.int32(1)
                slot += 1
        spans[i, 1] = slot


@kernel
def start_tiles(counts, starts):
    """Turn counts [shares,tiles] into write positions; starts [tiles+1] int64 bounds each tile's list."""
    position = np.int64(0)
    for tile in range(counts.shape[1]):
        starts[tile] = position
        for share in range(counts.shape[0]):
            size = counts[share, tile]
            counts[share, tile] = position
            position += size
    starts[counts.shape[1]] = position


@kernel
def fill_tiles(share, shares, spans, pair_tile, pair_depth, positions, keys):
    """Write each tile's list, in the Gaussians' order: keys, depth in the upper half and slot below."""
    count = spans.shape[0]
    begin, end = count * share // shares, count * (share + 1) // shares
    if begin == end:
        return
    mine = positions[share]
    for slot in range(spans[begin, 0], spans[end - 1, 1]):
        tile = pair_tile[slot]
        position = mine[tile]
        keys[position] = (np.int64(pair_depth[slot]) << 32) | slot
        mine[tile] = position + 1


@kernel(inline=True)
def _insertion_sort(keys, begin, end):
    for k in range(begin + 1, end):
        key = keys[k]
        at = k
        while at > begin and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key


@kernel(inline=True)
def _radix_pass(source, source_at, target, target_at, size, lowest, shift, places):
    """Stable, by one digit of the depth above `lowest`."""
    places[:] = 0
    for k in range(size):
        places[((source[source_at + k] - lowest) >> shift) & (_DIGITS - 1)] += 1
    position = target_at
    for digit in range(_DIGITS):
        times = places[digit]
        places[digit] = position
        position += times
    for k in range(size):
        key = source[source_at + k]
        digit = ((key - lowest) >> shift) & (_DIGITS - 1)
        target[places[digit]] = key
        places[digit] += 1


@kernel(inline=True)
def _radix_sort(keys, begin, size, spare, places):
    """By the digits in which the depths of keys begin … begin + size differ, the least first."""
    lowest = highest = keys[begin]
    for k in range(begin + 1, begin + size):
        lowest, highest = min(lowest, keys[k]), max(highest, keys[k])
    lowest = (lowest >> 32) << 32
    in_spare = False
    for shift in range(32, 64, 8):
        if (highest - lowest) >> shift == 0:
            break
        if in_spare:
            _radix_pass(spare, 0, keys, begin, size, lowest, shift, places)
        else:
            _radix_pass(keys, begin, spare, 0, size, lowest, shift, places)
        in_spare = not in_spare
    if in_spare:
        for k in range(size):
            keys[begin + k] = spare[k]


@kernel
def sort_tiles(worker, workers, tickets, starts, keys, pair_row, tile_rows, tile_slots):
    """Sort each tile's list by depth, then slot; tile_rows (rows of packed) and tile_slots, both int32.

    Least-significant-digit radix sort on the bits of the depth, which grow with it because it is positive,
    as far as the depths of one tile differ.
    """
    longest = 0
    for tile in range(starts.size - 1):
        longest = max(longest, starts[tile + 1] - starts[tile])
    spare = np.empty(longest, np.int64)
    places = np.empty(_DIGITS, np.int64)
    while True:
        tile = take_ticket(tickets)
        if tile >= starts.size - 1:
            break
        begin, end = starts[tile], starts[tile + 1]
        size = end - begin
        if size <= _FEW:
            _insertion_sort(keys, begin, end)
        else:
            _radix_sort(keys, begin, size, spare, places)
        for k in range(begin, end):
            slot = keys[k] & 0x7FFFFFFF
            tile_slots[k] = slot
            tile_rows[k] = pair_row[slot]
