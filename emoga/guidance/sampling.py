"""Read a picture between its pixels, and mend what that does where the flow jumps from one surface to another."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

# A surface may stretch or shrink by this many pixels per pixel; a larger step is another surface.
JUMP = 0.75
# Two surfaces whose speeds differ by less, in pixels, may each be the one in front.
TIE = 0.5
REACH = 2
# Share of the neighbour in an edge's pixels: the mean coverage within one pixel of an edge is an eighth.
EDGE = np.array([0.12, 0.76, 0.12], np.float32)
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def sample_bicubic(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What float32 [H,W,C] shows at p + flow(p), flow [H,W,2] pixels; beyond the border its edge repeats.

    Bicubic, held between the four pixels around the point, so that no edge overshoots; exact at whole pixels.
    """
    height, width = picture.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = _weights(x - left), _weights(y - top)
    rows = [np.clip(top + step, 0, height - 1) * width for step in (-1, 0, 1, 2)]
    columns = [np.clip(left + step, 0, width - 1) for step in (-1, 0, 1, 2)]
    pixels = picture.reshape(height * width, -1)
    result = np.zeros(picture.shape, np.float32)
    lowest = np.full(picture.shape, np.inf, np.float32)
    highest = np.full(picture.shape, -np.inf, np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            value = pixels[row + column]
            result += value * (down[i] * across[j])[..., None]
            if i in (1, 2) and j in (1, 2):
                np.minimum(lowest, value, out=lowest)
                np.maximum(highest, value, out=highest)
    return np.clip(result, lowest, highest)


def mend(moved: np.ndarray, flow: np.ndarray, filled: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Mend a sampled picture [H,W,3] on the `front` side [H,W] of the jumps of its flow [H,W,2].

    A front surface beside a jump was read beside an edge of the captured picture, where it is already mixed with
    what lay behind it there: moved elsewhere, that mixture is a halo. Such pixels take the colour of their own
    surface a little further in. filled: bool [H,W], not this surface.
    """
    if not front.any():
        return moved
    return _grow_inwards(moved, flow, filled, front)


def soften(picture: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Mix the pixels on both sides of a jump, which is what an edge looks like in a photograph."""
    if not border.any():
        return picture
    soft = cv2.sepFilter2D(picture, -1, EDGE, EDGE, borderType=cv2.BORDER_REPLICATE)
    return np.where(border[..., None], soft, picture)


def jumps(flow: np.ndarray, filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where surfaces meet: bool [H,W] pixels on both sides, and those of the front side alone.

    flow: [H,W,2]; filled: bool [H,W]. In front is what moves: lids over eyes, a jaw over a neck, a head over its
    backdrop. Beside the fill it is what is not filled.
    """
    border, front = np.zeros(filled.shape, bool), np.zeros(filled.shape, bool)
    speed = np.linalg.norm(flow, axis=2)
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        edge = filled[first] != filled[second]
        step = edge | (np.linalg.norm(flow[first] - flow[second], axis=2) > JUMP)
        for here, there in ((first, second), (second, first)):
            border[here] |= step
            moves = (speed[here] > TIE) & (edge | (speed[here] >= speed[there] - TIE))
            front[here] |= step & moves & ~filled[here]
    return border, front


def _weights(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Catmull-Rom weights of the four pixels around a point t in 0..1 past the second."""
    return (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )


def _grow_inwards(picture: np.ndarray, flow: np.ndarray, filled: np.ndarray, dirty: np.ndarray) -> np.ndarray:
    """Give dirty pixels the mean of clean neighbours on their own surface, from the clean side on."""
    mended, clean = picture.copy(), ~dirty
    for _ in range(REACH):
        places = np.nonzero(~clean)
        total = np.zeros((len(places[0]), picture.shape[2]), np.float32)
        count = np.zeros(len(places[0]), np.float32)
        for y, x, v, u in _around(places, dirty.shape):
            same = np.linalg.norm(flow[v, u] - flow[y, x], axis=1) <= JUMP
            usable = (same & clean[v, u] & (filled[v, u] == filled[y, x])).astype(np.float32)
            total += mended[v, u] * usable[:, None]
            count += usable
        found = count > 0
        rows, columns = places[0][found], places[1][found]
        mended[rows, columns] = total[found] / count[found, None]
        clean[rows, columns] = True
    return mended


def _around(
    places: tuple[np.ndarray, ...], shape: tuple[int, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Rows and columns of places, and of their neighbours, one direction after the other."""
    y, x = places
    for dy, dx in NEIGHBOURS:
        yield y, x, np.clip(y + dy, 0, shape[0] - 1), np.clip(x + dx, 0, shape[1] - 1)
