"""Kernels that sort Gaussians by depth and list, for every tile, those whose ellipse touches it."""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel
from emoga.render.lanes import float_bits, floor_int, prefetch
from emoga.render.project import (
    DEPTH,
    HALF2,
    PACKED,
    QXY,
    QYY,
    REACH_X,
    REACH_Y,
    SHRINK,
    SLANT,
    X,
    Y,
)

TILE_WIDTH = 32
TILE_HEIGHT = 16
_PREFETCH = 24
_ZERO, _TWO, _SLACK = np.float32(0), np.float32(2), np.float32(1e-3)
_PER_TILE_WIDTH = np.float32(1 / TILE_WIDTH)
_PER_TILE_HEIGHT = np.float32(1 / TILE_HEIGHT)


def tile_grid(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles that cover a picture."""
    return -(-width // TILE_WIDTH), -(-height // TILE_HEIGHT)


@kernel(inline=True)
def _tile_rows(row, rows):
    """First and last tile row that the ellipse touches (both inside the picture)."""
    top = max((row[Y] - row[REACH_Y]) * _PER_TILE_HEIGHT, _ZERO)
    bottom = min((row[Y] + row[REACH_Y]) * _PER_TILE_HEIGHT, np.float32(rows) - np.float32(0.5))
    return floor_int(top), floor_int(bottom)


@kernel(inline=True)
def _tile_columns(row, tile_y, columns):
    """First and last tile column that the ellipse touches within one row of tiles; last < first: none.

    The ellipse's left-most and right-most points are moved into the row's band of dy.
    """
    low = max(np.float32(tile_y * TILE_HEIGHT) - row[Y], -row[REACH_Y])
    high = min(np.float32(tile_y * TILE_HEIGHT + TILE_HEIGHT) - row[Y], row[REACH_Y])
    dy_right = -row[QXY] / (_TWO * row[QYY]) * row[REACH_X]
    right = min(max(dy_right, low), high)
    left = min(max(-dy_right, low), high)
    half_right = math.sqrt(max(row[HALF2] - row[SHRINK] * right * right, _ZERO))
    half_left = math.sqrt(max(row[HALF2] - row[SHRINK] * left * left, _ZERO))
    x_right = row[X] + row[SLANT] * right + half_right + _SLACK
    x_left = row[X] + row[SLANT] * left - half_left - _SLACK
    # Clamped as floats: far-off values do not fit an int.
    first = max(x_left * _PER_TILE_WIDTH, _ZERO)
    last = min(x_right * _PER_TILE_WIDTH, np.float32(columns) - np.float32(0.5))
    return floor_int(min(first, np.float32(columns))), floor_int(max(last, np.float32(-1.0)))


@kernel
def count_tiles(worker, workers, packed, radii, columns, rows, tile_counts):
    """tile_counts [N] int32: how many tiles each Gaussian touches, 0 for unseen ones."""
    count = radii.size
    for i in range(count * worker // workers, count * (worker + 1) // workers):
        touched = 0
        if radii[i] > _ZERO:
            row = packed[i]
            first_row, last_row = _tile_rows(row, rows)
            for tile_y in range(first_row, last_row + 1):
                first, last = _tile_columns(row, tile_y, columns)
                touched += max(0, last - first + 1)
        tile_counts[i] = touched


@kernel
def depth_order(packed, tile_counts):
    """Stable order, near to far, of the Gaussians that touch a tile, and where their slots start.

    Returns order [n] int32 and slots [n+1] int64. Least-significant-digit radix sort on the bits of the
    depth, which grow with it because it is positive.
    """
    count = tile_counts.size
    keys = np.empty(count, np.uint32)
    ids = np.empty(count, np.int32)
    low, middle, high = np.zeros(2048, np.int32), np.zeros(2048, np.int32), np.zeros(2048, np.int32)
    n = 0
    for i in range(count):
        if tile_counts[i] > 0:
            key = np.uint32(float_bits(packed[i, DEPTH]))
            keys[n] = key
            ids[n] = i
            n += 1
            low[key & 2047] += 1
            middle[(key >> 11) & 2047] += 1
            high[key >> 22] += 1
    from_low = from_middle = from_high = 0
    for digit in range(2048):
        size = low[digit]
        low[digit] = from_low
        from_low += size
        size = middle[digit]
        middle[digit] = from_middle
        from_middle += size
        size = high[digit]
        high[digit] = from_high
        from_high += size
    other_keys = np.empty(n, np.uint32)
    order = np.empty(n, np.int32)
    for i in range(n):
        digit = keys[i] & 2047
        other_keys[low[digit]] = keys[i]
        order[low[digit]] = ids[i]
        low[digit] += 1
    for i in range(n):
        digit = (other_keys[i] >> 11) & 2047
        keys[middle[digit]] = other_keys[i]
        ids[middle[digit]] = order[i]
        middle[digit] += 1
    for i in range(n):
        digit = keys[i] >> 22
        order[high[digit]] = ids[i]
        high[digit] += 1
    slots = np.empty(n + 1, np.int64)
    slots[0] = 0
    for i in range(n):
        slots[i + 1] = slots[i] + tile_counts[order[i]]
    return order, slots


@kernel
def list_tiles(worker, workers, packed, order, slots, columns, rows, sorted_rows, slot_tile, counts):
    """Copy packed rows into depth order and write the tile of every slot.

    sorted_rows [n,PACKED], slot_tile [slots] int32, counts [workers,tiles] int32 (zeroed): slots per tile
    in this worker's share.
    """
    n = order.size
    mine = counts[worker]
    for j in range(n * worker // workers, n * (worker + 1) // workers):
        prefetch(packed, np.int64(order[min(j + _PREFETCH, n - 1)]) * PACKED)
        row = packed[order[j]]
        for k in range(PACKED):
            sorted_rows[j, k] = row[k]
        slot = slots[j]
        first_row, last_row = _tile_rows(row, rows)
        for tile_y in range(first_row, last_row + 1):
            first, last = _tile_columns(row, tile_y, columns)
            for tile_x in range(first, last + 1):
                tile = tile_y * columns + tile_x
                slot_tile[slot] = tile
                mine[tile] += 1
                slot += 1


@kernel
def start_tiles(counts, starts):
    """Turn counts [workers,tiles] into write positions; starts [tiles+1] int64 bounds each tile's list."""
    position = np.int64(0)
    for tile in range(counts.shape[1]):
        starts[tile] = position
        for worker in range(counts.shape[0]):
            size = counts[worker, tile]
            counts[worker, tile] = position
            position += size
    starts[counts.shape[1]] = position


@kernel
def fill_tiles(worker, workers, slots, slot_tile, positions, tile_rows, tile_slots):
    """Write each tile's list, near to far: tile_rows (row of sorted_rows) and tile_slots, both int32."""
    n = slots.size - 1
    mine = positions[worker]
    for j in range(n * worker // workers, n * (worker + 1) // workers):
        for slot in range(slots[j], slots[j + 1]):
            tile = slot_tile[slot]
            position = mine[tile]
            tile_rows[position] = j
            tile_slots[position] = slot
            mine[tile] = position + 1
