"""Which foreground belongs to the head: everything above the collar, hair included, clothing not."""

from __future__ import annotations

import cv2
import numpy as np

from emoga.images import color_mean

NECK_REACH = 0.03  # of the head's height: how far beside the mesh's neck skin may still show
BORDER = 0.008  # of the head's height: how far beside cloth its shadow and blur still show
# How far a neck pixel may be from the middle of the face's colours, in logarithms of ratios and of brightness.
CHROMA_REACH, DARKEST, BRIGHTEST = 0.3, -1.1, 0.4


def head_alpha(
    alpha: np.ndarray, picture: np.ndarray, region: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Head alpha uint8 [H,W] of foreground alpha uint8 [H,W] and its float picture [H,W,3].

    region [H,W] int: the head region each pixel sees of the projected mesh, an index into `names`, -1 beside
    it. Pixels beside the mesh belong to what they are nearest to; around the neck that is clothing.
    """
    covered = region >= 0
    if not covered.any():
        return np.zeros_like(alpha)
    distance, nearest = _nearest_region(region, covered)
    rows = np.flatnonzero(covered.any(1))
    reach = NECK_REACH * (rows[-1] - rows[0] + 1)
    below = np.isin(nearest, [names.index(n) for n in ("shoulders", "boundary") if n in names])
    neck = nearest == names.index("neck")
    row = np.arange(len(region))[:, None]
    # Beside the mesh and below the mouth there is clothing (or hair on shoulders, which is lost with it).
    beside = (distance > reach) & (neck | (row > _lowest_row(region == names.index("lips"))))
    # Closer by, and up to the nose where a turned jaw meets a shoulder, colour tells.
    doubtful = neck | (~covered & (row > _lowest_row(region == names.index("nose"))))
    cloth = _grown(doubtful & _unlike_skin(picture, region, names), BORDER * (rows[-1] - rows[0] + 1))
    kept = ~below & ~beside & ~(doubtful & cloth)
    kept = _attached(_without_teeth(kept & (alpha > 0), reach))
    # A soft edge a pixel wide, so that the cut does not show as stairs.
    soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 0.7)
    inside = cv2.erode(kept.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.minimum(alpha, (255 * np.where(inside, 1, soft)).astype(np.uint8))


def _lowest_row(area: np.ndarray) -> int:
    rows = np.flatnonzero(area.any(1))
    return int(rows[-1]) if len(rows) else len(area)


def _grown(area: np.ndarray, radius: float) -> np.ndarray:
    """The area [H,W] with a border of some pixels around it."""
    size = 2 * max(1, round(radius)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(area.astype(np.uint8), disc) > 0


def _without_teeth(kept: np.ndarray, reach: float) -> np.ndarray:
    """The area [H,W] with the saw of triangle corners along its cut filed off."""
    radius = max(1, round(0.6 * reach))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    # Only the cut is filed: the outline of hair against the background keeps its detail.
    opened = cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    rows = np.flatnonzero(kept.any(1))
    lower = np.arange(len(kept))[:, None] > rows[0] + 0.6 * (rows[-1] - rows[0]) if len(rows) else True
    return np.where(lower, opened, kept)


def _nearest_region(region: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the mesh in pixels and the region of its nearest pixel, both [H,W]."""
    distance, labels = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lookup = np.zeros(labels.max() + 1, np.int64)
    lookup[labels[covered]] = region[covered]
    return distance, lookup[labels]


def _unlike_skin(picture: np.ndarray, region: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Pixels [H,W] whose chroma is not the face's: shirts and collars over the neck."""
    skin = np.isin(
        region, [names.index(n) for n in ("face", "cheeks", "jaw", "nose", "forehead") if n in names]
    )
    if skin.sum() < 50:
        return np.zeros(region.shape, bool)
    smooth = cv2.GaussianBlur(np.ascontiguousarray(picture, np.float32), (0, 0), 1.5)
    # Logarithms of ratios: shade leaves them alone, cloth does not. Brightness tells where colour does not.
    color = np.log(smooth + 0.04)
    chroma = np.stack([color[..., 0] - color[..., 1], color[..., 1] - color[..., 2]], -1)
    away = np.abs(chroma - np.median(chroma[skin], 0))
    away = np.maximum(away[..., 0], away[..., 1])
    brightness = color_mean(color)
    brightness = brightness - np.median(brightness[skin])
    return (away > CHROMA_REACH) | (brightness < DARKEST) | (brightness > BRIGHTEST)


def _attached(kept: np.ndarray) -> np.ndarray:
    """The largest connected piece: scraps of collar that look like skin are dropped."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=4)
    if count <= 2:
        return kept
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.concatenate([[False], areas >= areas.max() / 20])[labels]
