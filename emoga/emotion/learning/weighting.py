"""How much each pixel of each edit counts: weights that are set beforehand, and the thesis's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning.settings import OTHER_VIEW, VIEW_WEIGHTS, Learning
from emoga.errors import InputError


def fixed_weights(learning: Learning, edits: EmotionEdits, given: np.ndarray | None) -> np.ndarray | None:
    """float32 [P,H,W] of weights that do not depend on what edits agree on; None where they are to be worked out."""
    shape = edits.masks.shape
    if learning.weighting == "given":
        return np.ascontiguousarray(given, np.float32)
    if learning.weighting == "even":
        return np.ones(shape, np.float32)
    if learning.weighting == "views":
        views = np.array([VIEW_WEIGHTS.get(view, OTHER_VIEW) for view in edits.views.tolist()], np.float32)
        return np.broadcast_to(views[:, None, None], shape).copy()
    return None


def check_weights(
    learning: Learning, edits: Sequence[EmotionEdits], weights: Sequence[np.ndarray] | None
) -> list[np.ndarray | None]:
    """One array or None per emotion. Raises InputError when weights are missing, superfluous or do not fit."""
    if (weights is not None) != (learning.weighting == "given"):
        wanted = "needs" if learning.weighting == "given" else "takes no"
        raise InputError(f"weighting {learning.weighting!r} {wanted} weights of the caller")
    if weights is None:
        return [None] * len(edits)
    if len(weights) != len(edits):
        raise InputError(f"weights for {len(weights)} emotions given, there are {len(edits)}")
    for one, part in zip(weights, edits, strict=True):
        if one.shape != part.masks.shape:
            raise InputError(
                f"weights of {part.name} are {list(one.shape)}, its pictures {list(part.masks.shape)}"
            )
        if not (np.isfinite(one).all() and (one >= 0).all()):
            raise InputError(f"weights of {part.name} must be finite and not negative")
    return list(weights)
