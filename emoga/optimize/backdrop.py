"""The colour behind a tracked head in each view, so that results and truth are compared on one ground."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emoga.capture.track import Track

CERTAIN_EMPTY, CERTAIN_FULL = 8, 247  # 8-bit alpha outside of which a matte counts as certain
FLAT = 0.06  # colour distance from the backdrop that a flat background keeps to
PICTURES = 6
RIM = 0.015  # of the picture's height
VIVID = 0.1  # by which a backdrop's strongest channel exceeds the others so that it can be told from hair and skin
FRINGE = 0.08  # of the picture's height: how deep into hair a backdrop shines
NOISE = 0.02  # of that excess in hair that nothing shines through
EVEN = 8  # levels by which the pixels of a bar along the picture's border differ


def backdrops(track: Track, frames: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Median background colour of every view [C,3] float32 in 0..1, and whether it is flat [C] bool.

    Looks at a few of `frames` (all by default). White, and not flat, where a view has no mask or shows no
    background.
    """
    frames = range(track.frame_count) if frames is None else frames
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(PICTURES, len(frames))).astype(int))
    colors, flat = np.ones((len(track.cameras), 3), np.float32), np.zeros(len(track.cameras), bool)
    if track.masks is None:
        return colors, flat
    for view in range(len(track.cameras)):
        empty = [track.picture(view, frames[i])[track.masks[view, frames[i]] < CERTAIN_EMPTY] for i in chosen]
        pixels = np.concatenate(empty).astype(np.float32) / 255
        if len(pixels) < 100:
            continue
        pixels = pixels[:: max(1, len(pixels) // 200_000)]
        colors[view] = np.median(pixels, axis=0)
        flat[view] = np.quantile(np.linalg.norm(pixels - colors[view], axis=1), 0.8) < FLAT
    return colors, flat


def on_backdrop(picture: np.ndarray, mask: np.ndarray | None, color: np.ndarray, flat: bool) -> np.ndarray:
    """A uint8 picture [H,W,3] with what is certainly background painted in `color` [3] in 0..1.

    On a flat background the surroundings of the foreground stay as they are: there the picture knows the
    outline better than the matte does; but bars along its borders are no part of the scene.
    """
    if mask is None:
        return picture
    empty = mask < CERTAIN_EMPTY
    if flat:
        reach = max(2, round(RIM * picture.shape[0]))
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        empty = cv2.erode(empty.astype(np.uint8), brush).astype(bool) | (empty & bars(picture))
    painted = (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.where(empty[..., None], painted, picture)


def seen_through(picture: np.ndarray, mask: np.ndarray, color: np.ndarray) -> np.ndarray:
    """The matte uint8 [H,W] less what shines through of a backdrop in a vivid `color` [3]; as it is for a dull one.

    Mattes call the fringe of hair full. With share a of hair, a pixel is a F + (1 - a) B; of all a that leave F no
    excess in the backdrop's strongest channel and none of its channels below zero, this is the least. Far from the
    outline nothing shines through.
    """
    strongest = int(np.argmax(color))
    others = [channel for channel in range(3) if channel != strongest]
    excess = color[strongest] - color[others].max()
    if excess < VIVID:
        return mask
    pixels = picture.astype(np.float32) / 255
    spill = pixels[..., strongest] - pixels[..., others].max(-1) - NOISE
    through = np.minimum(spill / excess, (pixels / np.maximum(color, 1e-3)).min(-1)).clip(0, 1)
    reach = max(1, round(FRINGE * picture.shape[0]))
    inner = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5) > reach
    return np.where(inner, mask, np.minimum(mask, np.round(255 * (1 - through)).astype(np.uint8)))


def bars(picture: np.ndarray) -> np.ndarray:
    """bool [H,W]: rows and columns along the borders of a uint8 picture [H,W,3] that are of one colour throughout."""
    found = np.zeros(picture.shape[:2], bool)
    for lines, across in ((found, picture), (found.T, picture.transpose(1, 0, 2))):
        even = np.ptp(across, axis=1).max(-1) <= EVEN
        first, last = (int(np.argmin(np.append(order, False))) for order in (even, even[::-1]))
        lines[:first], lines[len(even) - last :] = True, True
    return found


def certain_matte(mask: np.ndarray) -> np.ndarray:
    """bool [H,W]: pixels whose matte, and that of their neighbours, is clearly empty or clearly full."""
    certain = (mask < CERTAIN_EMPTY) | (mask > CERTAIN_FULL)
    low, high = cv2.erode(mask, np.ones((3, 3), np.uint8)), cv2.dilate(mask, np.ones((3, 3), np.uint8))
    return certain & ((high < CERTAIN_EMPTY) | (low > CERTAIN_FULL))
