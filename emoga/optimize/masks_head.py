"""Which foreground belongs to the head: everything above the collar, hair included, clothing not."""

from __future__ import annotations

import cv2
import numpy as np

NECK_REACH = 0.03  # of the head's height: how far beside the mesh's neck skin may still show
SKIN_SPREADS = 4.5  # standard deviations within which a neck pixel still has the face's colour


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
    kept = ~below & ~(neck & (distance > reach))
    kept &= ~(neck & _unlike_skin(picture, region, names))
    kept = _attached(kept & (alpha > 0))
    # A soft edge a pixel wide, so that the cut does not show as stairs.
    soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 0.7)
    return (alpha * np.where(cv2.erode(kept.astype(np.uint8), np.ones((3, 3))) > 0, 1, soft)).astype(np.uint8)


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
    # Logarithms of ratios: shade leaves them alone, cloth does not.
    color = np.log(smooth + 0.04)
    chroma = np.stack([color[..., 0] - color[..., 1], color[..., 1] - color[..., 2]], -1)
    middle = np.median(chroma[skin], 0)
    spread = 1.4826 * np.median(np.abs(chroma[skin] - middle), 0) + 0.03
    return (np.abs(chroma - middle) / spread).max(-1) > SKIN_SPREADS


def _attached(kept: np.ndarray) -> np.ndarray:
    """The largest connected piece: scraps of collar that look like skin are dropped."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=4)
    if count <= 2:
        return kept
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.concatenate([[False], areas >= areas.max() / 20])[labels]
