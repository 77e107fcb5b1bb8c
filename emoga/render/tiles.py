"""Kernels that list, for every tile, the Gaussians whose ellipse touches it, near to far.

Gaussians stay in the order they came in; only each tile's list is sorted, by the tile's own thread.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel, take_ticket
from emoga.render.blocks import TILE
from emoga.render.lane_math import float_bits, floor_int
from emoga.render.packed import DEPTH, HALF2, LEAN, REACH_Y, SHRINK, SLANT, X, Y

_ZERO, _HALF, _SLACK = np.float32(0), np.float32(0.5), np.float32(1e-3)
_PER_TILE = np.float32(1 / TILE)
_DIGITS = 256
_FEW = 24  # lists up to this length are sorted by insertion


@kernel(inline=True)
def _tile_span(low, high, tiles):
    """First and last tile, of `tiles` along one side, that hold pixels low … high; last < first: none."""
    # Clamped as floats: far-off values do not fit an int.
    first = min(max(low * _PER_TILE, _ZERO), np.float32(tiles))
    last = max(min(high * _PER_TILE, np.float32(tiles) - _HALF), np.float32(-1.0))
    return floor_int(first), floor_int(last)


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
    return _tile_span(x_left, x_right, columns)


@kernel
def count_tiles(share, shares, packed, radii, columns, rows, counts):
    """counts [shares] int64: pairs of a Gaussian and a tile it touches, in this share of the Gaussians."""
    count = radii.size
    pairs = np.int64(0)
    for i in range(count * share // shares, count * (share + 1) // shares):
        if radii[i] > _ZERO:
            row = packed[i]
            first_row, last_row = _tile_span(row[Y] - row[REACH_Y], row[Y] + row[REACH_Y], rows)
            for tile_y in range(first_row, last_row + 1):
                first, last = _tile_columns(row, tile_y, columns)
                pairs += max(0, last - first + 1)
    counts[share] = pairs


@kernel
def list_pairs(
    share, shares, packed, radii, columns, rows, first_slots, spans, pair_tile, pair_row, pair_depth, counts
):
    """Write every pair, Gaussian by Gaussian, into the slots first_slots [shares+1] set aside.

    spans [N,2]: first slot of each Gaussian and the one after its last. pair_tile, pair_row and pair_depth
    (bits of the depth), all [slots] int32, describe each slot; counts [shares,tiles] int32 (zeroed) gets the
    pairs per tile in this share.
    """
    count = radii.size
    mine = counts[share]
    slot, limit = first_slots[share], first_slots[share + 1]
    for i in range(count * share // shares, count * (share + 1) // shares):
        spans[i, 0] = slot
        if radii[i] > _ZERO:
            row = packed[i]
            depth = float_bits(row[DEPTH])
            first_row, last_row = _tile_span(row[Y] - row[REACH_Y], row[Y] + row[REACH_Y], rows)
            for tile_y in range(first_row, last_row + 1):
                first, last = _tile_columns(row, tile_y, columns)
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
