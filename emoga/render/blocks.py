"""How a tile of the picture is cut into blocks of lanes, and which blocks an ellipse covers.

A tile is 8 x 8 blocks of 4 x 4 pixels; a block is one vector of 16 lanes. Planes (transmittance, sums of
colour) hold a tile block after block, so that a block is one aligned load, and the blocks that a Gaussian
covers are the bits of one 64-bit word, a byte for each row of blocks.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from emoga.kernels import kernel
from emoga.render.lane_math import ceil_lanes, floor_lanes, maximum, minimum, sqrt_or_zero
from emoga.render.lanes import bit_rows, ramp, select, splat
from emoga.render.packed import HALF2, LEAN, REACH_Y, SHRINK, SLANT

BLOCK = 4  # pixels along each side
BLOCKS = 8  # along each side of a tile
LANES = BLOCK * BLOCK
TILE = BLOCK * BLOCKS
PIXELS = TILE * TILE

# A worker's planes: the state of a tile's pixels, then where the lanes of a block lie.
PLANES = 8
TRANSMITTANCE, FIRST_SUM = 0, 1  # three planes, one per colour, from FIRST_SUM on
DEEP, BEHIND, LANE_X, LANE_Y = 4, 5, 6, 7

_ZERO, _ONE, _EIGHT = (np.float32(v) for v in (0, 1, BLOCKS))
_HEIGHT, _BELOW, _PER_BLOCK = np.float32(BLOCK), np.float32(BLOCK - 1), np.float32(1 / BLOCK)
_SLACK = np.float32(1e-3)  # pixels, for what rounding may take off the ellipse


def tile_grid(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles that cover a picture."""
    return -(-width // TILE), -(-height // TILE)


@kernel(inline=True)
def tile_bounds(tile, columns, image_width, image_height):
    """left, top, width and height in pixels of what a tile shows of the picture."""
    left, top = tile % columns * TILE, tile // columns * TILE
    return left, top, min(TILE, image_width - left), min(TILE, image_height - top)


@kernel(inline=True)
def fill_lane_positions(planes):
    """Where the lanes lie in their tile: planes LANE_X by a block's column, LANE_Y by its row."""
    for k in range(BLOCKS * LANES):
        planes[LANE_X, k] = k // LANES * BLOCK + k % BLOCK
        planes[LANE_Y, k] = k // LANES * BLOCK + k % LANES // BLOCK


@kernel(inline=True)
def tile_planes(planes):
    """The planes that every pass uses: transmittance, three of colour, LANE_X, LANE_Y."""
    return planes[0], planes[1], planes[2], planes[3], planes[LANE_X], planes[LANE_Y]


def plane_if(wanted, plane):
    """In kernels: `plane` for an output that is asked for, else None; settled when compiling."""
    raise NotImplementedError("only inside kernels")


@overload(plane_if)
def _choose_plane(wanted, plane):
    if isinstance(wanted, types.NoneType):
        return lambda wanted, plane: None
    return lambda wanted, plane: plane


@kernel(inline=True)
def plane_index(y, x):
    """Where pixel (y, x) of a tile lies in a plane."""
    return ((y // BLOCK) * BLOCKS + x // BLOCK) * LANES + (y % BLOCK) * BLOCK + x % BLOCK


@kernel(inline=True)
def band_extent(row, low, high):
    """Left-most and right-most dx of the ellipse for dy in low … high (lanes, within ±REACH_Y)."""
    right = minimum(maximum(splat(row[LEAN]), low), high)
    left = minimum(maximum(splat(-row[LEAN]), low), high)
    half_right = sqrt_or_zero(row[HALF2] - row[SHRINK] * right * right)
    half_left = sqrt_or_zero(row[HALF2] - row[SHRINK] * left * left)
    return row[SLANT] * left - half_left - _SLACK, row[SLANT] * right + half_right + _SLACK


@kernel(inline=True)
def covered_blocks(row, x, y):
    """Bits of the blocks that hold pixel centres inside the ellipse; x, y: its centre as seen from the
    centre of the tile's first pixel."""
    top = ramp() * _HEIGHT - y
    low = maximum(top, -row[REACH_Y])
    high = minimum(top + _BELOW, row[REACH_Y])
    left, right = band_extent(row, low, high)
    first = ceil_lanes((left + x - _BELOW) * _PER_BLOCK)
    stop = floor_lanes((right + x) * _PER_BLOCK) + _ONE
    inside = low <= high
    first = select(inside, minimum(maximum(first, _ZERO), _EIGHT), _ZERO)
    stop = select(inside, minimum(maximum(stop, _ZERO), _EIGHT), _ZERO)
    return bit_rows(first, stop)
