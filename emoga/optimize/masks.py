"""Foreground alpha: by a flat background, else GrabCut seeded by where the head is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emoga.images import color_dot, color_length

FLAT_DISTANCE = 0.09  # colour distance within which a pixel may still be background
FLAT_SHARE = 0.72  # of the upper border must look like one colour for the background to count as flat
BAND_LEVEL = 0.03  # rows and columns darker than this everywhere are letterbox bands, not pictures
BLANK_LEVEL, BLANK_SHARE = 0.016, 0.9  # pixels so near to one colour, in so large a share, show no face


@dataclass(frozen=True)
class Backdrop:
    """A flat background: colour [3] in 0..1, whether it is saturated (a screen), picture rows and columns."""

    color: np.ndarray
    screen: bool
    rows: slice
    columns: slice


def find_backdrop(pictures: list[np.ndarray]) -> Backdrop | None:
    """The flat backdrop of some float pictures [H,W,3] of one camera, or None when there is none."""
    rows, columns = _picture_area(np.max(pictures, axis=(0, 3)))
    border = np.concatenate([_border(picture[rows, columns]) for picture in pictures])
    color = np.median(border, axis=0)
    share = (np.linalg.norm(border - color, axis=1) < FLAT_DISTANCE).mean()
    if share < FLAT_SHARE:
        return None
    return Backdrop(color.astype(np.float32), float(np.ptp(color)) > 0.15, rows, columns)


def _picture_area(brightest: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the picture inside black bands; brightest [H,W] over time."""
    lit_rows = np.flatnonzero(brightest.max(1) > BAND_LEVEL)
    lit_columns = np.flatnonzero(brightest.max(0) > BAND_LEVEL)
    if not len(lit_rows):
        return slice(0, brightest.shape[0]), slice(0, brightest.shape[1])
    return slice(int(lit_rows[0]), int(lit_rows[-1]) + 1), slice(
        int(lit_columns[0]), int(lit_columns[-1]) + 1
    )


def _border(picture: np.ndarray) -> np.ndarray:
    """Pixels along the top and the upper half of both sides: shoulders fill the rest."""
    height, width = picture.shape[:2]
    edge = max(2, min(height, width) // 80)
    parts = picture[:edge], picture[: height // 2, :edge], picture[: height // 2, -edge:]
    return np.concatenate([part.reshape(-1, 3) for part in parts])


def backdrop_alpha(picture: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """Foreground alpha float32 [H,W] of a float picture [H,W,3] in front of a flat backdrop."""
    inner = np.ascontiguousarray(picture[backdrop.rows, backdrop.columns], np.float32)
    local = _local_backdrop(inner, backdrop)
    distance = color_length(inner - local)
    background = _connected_background(distance, backdrop.screen)
    solid = _solid_foreground(distance, background)
    alpha = _mix_by_nearest(inner, local, solid)
    alpha[background & (distance < FLAT_DISTANCE * 0.6)] = 0
    alpha[solid] = 1
    whole = np.zeros(picture.shape[:2], np.float32)
    whole[backdrop.rows, backdrop.columns] = _without_specks(alpha)
    return whole


def _local_backdrop(picture: np.ndarray, backdrop: Backdrop) -> np.ndarray:
    """The backdrop's colour at every pixel: screens are lit unevenly, so it is averaged around."""
    near = (color_length(picture - backdrop.color) < FLAT_DISTANCE).astype(np.float32)
    size = max(picture.shape[0] // 8, 3) | 1
    share = cv2.blur(near, (size, size))[..., None]
    total = cv2.blur(picture * near[..., None], (size, size))
    weight = np.minimum(share * 4, 1)
    return weight * total / np.maximum(share, 1e-4) + (1 - weight) * backdrop.color


def _connected_background(distance: np.ndarray, screen: bool) -> np.ndarray:
    """Pixels of the backdrop's colour that the backdrop reaches; a white shirt is not a white wall."""
    similar = (distance < FLAT_DISTANCE).astype(np.uint8)
    count, labels = cv2.connectedComponents(similar, connectivity=4)
    reached = np.zeros(count, bool)
    half = distance.shape[0] * 2 // 3
    for edge in (labels[0], labels[:half, 0], labels[:half, -1]):
        reached[np.unique(edge)] = True
    if screen:
        # A saturated screen showing through loops of hair is background wherever it appears.
        reached |= np.bincount(labels.ravel(), minlength=count) >= 12
    reached[labels[similar == 0]] = False
    return reached[labels] & (similar > 0)


def _solid_foreground(distance: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Pixels that are foreground without doubt: deeper than mattes and blur reach."""
    inside = cv2.distanceTransform((~background).astype(np.uint8), cv2.DIST_L2, 5)
    return ~background & (inside > max(3.0, distance.shape[0] / 80))


def _mix_by_nearest(picture: np.ndarray, local: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Alpha that mixes the backdrop and the nearest solid foreground colour into each pixel."""
    if not solid.any():
        return np.zeros(solid.shape, np.float32)
    # Colours just inside the outline still hold some backdrop: look them up a little deeper.
    core = cv2.erode(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    seeds = core if core.any() else solid
    far, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((labels.max() + 1, 3), np.float32)
    colors[labels[seeds]] = cv2.blur(picture, (3, 3))[seeds]
    span = colors[labels] - local
    alpha = color_dot(picture - local, span) / np.maximum(color_dot(span, span), 1e-3)
    # Flyaway strands end somewhere: nothing is foreground far from anything solid.
    reach = np.clip(2 - far / max(picture.shape[0] / 24, 4), 0, 1)
    return np.clip(alpha, 0, 1) * reach


def _without_specks(alpha: np.ndarray) -> np.ndarray:
    """Keep the largest piece and what is at least a hundredth of it."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.1).astype(np.uint8))
    if count <= 2:
        return alpha
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = np.concatenate([[True], areas >= areas.max() / 100])
    return alpha * kept[labels]


def grabcut_alpha(picture: np.ndarray, head: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Foreground alpha float32 [H,W] by GrabCut around a projected head (bool [H,W]) and what hangs below it.

    The inside of the head is certain; around it, hair above and shoulders below are possible.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, 320 / max(height, width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    silhouette = cv2.resize(
        head.astype(np.uint8), (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA
    )
    labels = _grabcut_seeds(silhouette > 0)
    if not (labels == cv2.GC_FGD).any() or not (labels == cv2.GC_BGD).any() or _blank(small):
        return head.astype(np.float32)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    image = (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)
    cv2.grabCut(image, labels, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    found = cv2.GaussianBlur(found, (0, 0), 0.8)
    return _without_specks(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR))


def _blank(picture: np.ndarray) -> bool:
    """Whether a picture [h,w,3] is of one colour but for specks: a fade, a flash, a title.

    There is nothing to cut along, and GrabCut searches for minutes or for ever.
    """
    usual = np.median(picture, axis=(0, 1))
    return bool((np.abs(picture - usual).max(2) < BLANK_LEVEL).mean() > BLANK_SHARE)


def _grabcut_seeds(head: np.ndarray) -> np.ndarray:
    """GrabCut's labels [h,w]: sure inside the head, probable nearby and below, sure background far away."""
    labels = np.full(head.shape, cv2.GC_PR_BGD, np.uint8)
    if not head.any():
        return labels
    rows, columns = np.nonzero(head)
    size = rows.max() - rows.min() + 1
    far = cv2.distanceTransform((~head).astype(np.uint8), cv2.DIST_L2, 5)
    labels[far > size * 0.45] = cv2.GC_BGD
    labels[far <= size * 0.12] = cv2.GC_PR_FGD
    below = np.arange(head.shape[0])[:, None] > rows.max() - size * 0.1
    labels[below & (labels == cv2.GC_BGD)] = cv2.GC_PR_BGD
    middle = (np.arange(head.shape[1]) > columns.min()) & (np.arange(head.shape[1]) < columns.max())
    labels[below & middle] = cv2.GC_PR_FGD
    labels[cv2.erode(head.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] = cv2.GC_FGD
    return labels
