"""Tiles: every list holds, near to far, the Gaussians whose ellipse reaches the tile; blocks likewise."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.kernels import kernel
from emoga.render.blocks import BLOCK, BLOCKS, TILE, covered_blocks
from emoga.render.packed import PACKED, QXX, QXY, QYY, REACH_X, REACH_Y, X, Y, pack_camera
from emoga.render.project import project_forward
from emoga.render.tiles import sort_tiles
from emoga.render.views import Frame, prepare_view

WIDTH, HEIGHT = 200, 150


def _gaussians(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Discs and needles of all sizes before a camera at the origin, some beside the picture."""
    rng = np.random.default_rng(seed)
    arrays = (
        rng.uniform((-1.5, -1.2, 1.0), (1.5, 1.2, 4.0), (count, 3)),
        rng.normal(size=(count, 4)),
        np.exp(rng.uniform(-7, -1.5, (count, 3))),
        rng.uniform(0.01, 1, count),
        rng.uniform(0, 1, (count, 3)),
    )
    return tuple(np.ascontiguousarray(a, np.float32) for a in arrays)


def _camera() -> np.ndarray:
    K = np.array([[150, 0, 90], [0, 160, 80], [0, 0, 1]])
    return pack_camera(np.eye(4), K, WIDTH, HEIGHT)


def _inside(row: np.ndarray, x: np.ndarray, y: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Whether points lie in the visible ellipse, up to `slack` as a share of its axes."""
    dx, dy = x - row[X], y - row[Y]
    power = row[QXX] * dx**2 + row[QXY] * dx * dy + row[QYY] * dy**2
    # At the right-most point of the ellipse the power is that of the cut.
    edge = row[QXX] - row[QXY] ** 2 / (4 * row[QYY])
    return power >= edge * row[REACH_X] ** 2 * (1 + slack)


def test_lists_hold_whatever_reaches_a_tile_near_to_far() -> None:
    gaussians = _gaussians(800)
    radii = np.zeros(800, np.float32)
    view = prepare_view(gaussians, _camera(), Frame(WIDTH, HEIGHT, 0.01, False), radii)
    columns = np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5
    x, y = np.meshgrid(*columns)
    tile_of = (y // TILE * view.columns + x // TILE).astype(int)
    listed = [view.tile_rows[a:b] for a, b in zip(view.starts, view.starts[1:], strict=False)]
    for rows in listed:
        depths = gaussians[0][rows, 2]
        assert (np.diff(depths) >= 0).all() and len(set(rows)) == len(rows)
    assert (radii > 0).sum() > 300
    for i in np.nonzero(radii > 0)[0]:
        row = view.packed[i].astype(np.float64)
        reached = {tile for tile, rows in enumerate(listed) if i in rows}
        assert set(tile_of[_inside(row, x, y)]) <= reached
        begin, end = view.spans[i]
        assert end - begin == len(reached)
    slots = np.sort(view.tile_slots)
    assert np.array_equal(slots, np.arange(len(slots)))


def test_what_cannot_be_seen_has_no_tiles() -> None:
    gaussians = _gaussians(800, seed=2)
    gaussians[0][::3, 2] *= -1  # behind the camera
    gaussians[2][1::3] = 1e8  # their squares overflow
    gaussians[0][2::6, 0] = np.nan
    radii = np.zeros(800, np.float32)
    view = prepare_view(gaussians, _camera(), Frame(WIDTH, HEIGHT, 0.01, False), radii)
    listed = np.unique(view.tile_rows)
    assert 50 < len(listed) < 200
    assert (radii[listed] > 0).all() and (np.diff(view.spans, axis=1)[radii == 0] == 0).all()


@kernel
def _cover(row, x, y):
    return covered_blocks(row, x, y)


def test_covered_blocks_are_those_with_pixels_inside() -> None:
    gaussians, radii = _gaussians(400, seed=1), np.zeros(400, np.float32)
    packed = np.zeros((400, PACKED), np.float32)
    size = (np.float32(WIDTH), np.float32(HEIGHT), np.float32(0.01))
    boxes, depths = np.zeros((4, 400), np.int32), np.zeros(400, np.float32)
    project_forward(0, 1, *gaussians, _camera(), *size, 7, 5, packed, radii, boxes, depths)
    x, y = np.meshgrid(np.arange(TILE) + 0.5, np.arange(TILE) + 0.5)
    block = (y // BLOCK * BLOCKS + x // BLOCK).astype(int)
    wasted = needed = 0
    for row in packed[radii > 0]:
        row[X] = row[X] % TILE + row[REACH_X] % 7 - 3  # near this tile, not wholly inside
        row[Y] = row[Y] % TILE + row[REACH_Y] % 5 - 2
        bits = _cover(row, row[X] - np.float32(0.5), row[Y] - np.float32(0.5))
        covered = {k for k in range(64) if (bits >> k) & 1}
        found = set(block[_inside(row.astype(np.float64), x, y)])
        # A pixel on the very edge may go either way.
        assert set(block[_inside(row.astype(np.float64), x, y, -1e-3)]) <= covered
        wasted, needed = wasted + len(covered - found), needed + len(found)
    assert needed > 500 and wasted < 0.25 * needed


@pytest.mark.parametrize("size", [0, 1, 20, 300])
@pytest.mark.parametrize("far", [1.0001, 2.0, 3e7])
def test_a_tile_is_sorted_by_depth_then_slot(size: int, far: float) -> None:
    rng = np.random.default_rng(size)
    depths = np.exp(rng.uniform(0, np.log(far), size)).astype(np.float32)
    depths[::3] = depths[:1]  # equal ones keep their order
    slots = np.arange(size, dtype=np.int64)
    keys = (depths.view(np.int32).astype(np.int64) << 32) | slots
    rows, found_slots = np.zeros(size, np.int32), np.zeros(size, np.int32)
    pair_row = (1000 + slots).astype(np.int32)
    sort_tiles(0, 1, np.zeros(1, np.int64), np.array([0, size]), keys, pair_row, rows, found_slots)
    expected = np.argsort(depths, kind="stable")
    assert np.array_equal(found_slots, expected) and np.array_equal(rows, 1000 + expected)
