"""Figures of an emotion against the truth, from pictures and meshes alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from emoga.camera import Camera
from emoga.images import from_uint8
from emoga.optimize.metrics import masked_psnr
from emoga.optimize.metrics_emotion import Motion, TemporalError, noise_error, temporal_error
from emoga.optimize.surface_pictures import surface_motion

CHANGED = 10 / 255  # a blurred difference between true pictures beyond this is the emotion, not noise
BLUR = 1.5  # pixels
GAP = 0.02  # of the height: differences this near to each other belong to one changed region
MARGIN = 0.03  # of the height: how far masks are dilated before anything counts as outside
ORACLE_ERROR = 0.04  # error of an edit at which the oracle trusts it half


def psnrs(results: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """PSNR in dB [P] of uint8 pictures [P,H,W,3] over bool masks [P,H,W]; NaN for an empty one."""
    return np.array([masked_psnr(*parts) for parts in zip(results, truth, masks, strict=True)])


def changed(truth: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Where the emotion shows: bool [P,H,W] from true uint8 pictures [P,H,W,3] with and without it.

    What moved differs in stripes along its edges; the gaps between them belong to it.
    """
    disc, out = _disc(GAP * truth.shape[1]), []
    for a, b in zip(truth, before, strict=True):
        difference = cv2.GaussianBlur(from_uint8(a) - from_uint8(b), (0, 0), BLUR)
        differs = (np.abs(difference).max(-1) > CHANGED).astype(np.uint8)
        out.append(cv2.morphologyEx(differs, cv2.MORPH_CLOSE, disc) > 0)
    return np.stack(out)


def dilated(masks: np.ndarray) -> np.ndarray:
    """Masks [P,H,W] bool with a margin."""
    disc = _disc(MARGIN * masks.shape[1])
    return np.stack([cv2.dilate(mask.astype(np.uint8), disc) > 0 for mask in masks])


def oracle_weights(edits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights [P,H,W] in 0..1 of uint8 edits [P,H,W,3] by their true error, seen through a small window."""
    out = []
    for a, b in zip(edits, truth, strict=True):
        error = np.abs(from_uint8(a) - from_uint8(b)).mean(-1)
        out.append(1 / (1 + (cv2.GaussianBlur(error, (0, 0), BLUR) / ORACLE_ERROR) ** 2))
    return np.stack(out).astype(np.float32)


def views_temporal_error(
    pictures: np.ndarray,
    truth: np.ndarray,
    masks: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    cameras: Iterable[Camera],
    usable: np.ndarray | None = None,
) -> TemporalError:
    """`temporal_error` against truth added up over C views of consecutive frames.

    pictures, truth uint8 [C,T,H,W,3]; masks bool [C,T,H,W]; vertices [T,V,3] of the true mesh. usable [C,T]
    bool: pictures that count; steps from or to others do not.
    """
    total = TemporalError()
    for (view, t), motion in _steps(vertices, faces, cameras):
        if usable is None or usable[view, t : t + 2].all():
            step = (view, slice(t, t + 2))
            total += temporal_error(pictures[step], truth[step], masks[step], [motion])
    return total


def views_noise_error(
    psnr: float, masks: np.ndarray, vertices: np.ndarray, faces: np.ndarray, cameras: Iterable[Camera]
) -> TemporalError:
    """`noise_error` of a truth that is noisy by so many dB, added up as in `views_temporal_error`."""
    total = TemporalError()
    for (view, t), motion in _steps(vertices, faces, cameras):
        total += noise_error(10 ** (-psnr / 20), masks[view, t : t + 2], [motion])
    return total


def _steps(
    vertices: np.ndarray, faces: np.ndarray, cameras: Iterable[Camera]
) -> Iterator[tuple[tuple[int, int], Motion]]:
    """(view, frame) and the surface's motion to the next frame, for all views and frames but the last."""
    for view, camera in enumerate(cameras):
        for t in range(len(vertices) - 1):
            yield (view, t), surface_motion(vertices[t], vertices[t + 1], faces, camera)


def summarise(cases: list[dict[str, float]], better: str) -> dict[str, float | None]:
    """Mean and worst of one figure over cases; better: "high" or "low". None where nothing was measured."""
    values = np.array([case for case in cases if case is not None and np.isfinite(case)], np.float64)
    if not len(values):
        return {"mean": None, "worst": None, "cases": 0}
    worst = values.min() if better == "high" else values.max()
    return {"mean": round(float(values.mean()), 3), "worst": round(float(worst), 3), "cases": len(values)}


def beyond(whole: float, part: float) -> float:
    """What is left of an error when an independent part of it is taken away: errors add up in squares."""
    return float(np.sqrt(max(whole**2 - part**2, 0.0)))


def _disc(radius: float) -> np.ndarray:
    reach = max(1, round(radius))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
