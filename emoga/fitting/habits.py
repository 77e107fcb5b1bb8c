"""A tracker's habits: what its poses get wrong in the same way in every frame, learnt on training frames."""

from __future__ import annotations

from itertools import pairwise

import torch

from emoga.fitting.refinement import MotionRefinement
from emoga.head import HeadParams

POSE = ("rotation", "neck", "translation")
FOLDS = 5
FEWEST_FRAMES = 30
RIDGES = (1.0, 10.0, 100.0, 1000.0)
GAIN = 0.2  # share of a correction's variance that must be foretold on unseen stretches of the clip
FARTHEST = 2.5  # standard deviations beyond the training poses to which the map is trusted


def foretell_corrections(motion: MotionRefinement, training: list[int], others: list[int]) -> None:
    """Give frames that did not train the pose correction that training frames of like pose were given.

    The correction is a linear map of the tracked pose, one ridge regression per component, kept only where
    it foretells left-out stretches of the training frames. It uses nothing of the other frames but their
    tracked pose.
    """
    if len(training) < FEWEST_FRAMES or not others:
        return
    features = pose_features(motion.base)
    middle, spread = features[training].mean(0), features[training].std(0) + 1e-6
    features = ((features - middle) / spread).clamp(-FARTHEST, FARTHEST)
    for name in POSE:
        corrections = motion.corrections[name]
        wanted = corrections[training].double()
        for axis in range(3):
            ridge = _best_ridge(features[training], wanted[:, axis])
            if ridge is not None:
                weights = _solve(features[training], wanted[:, axis], ridge)
                corrections[others, axis] = (features[others] @ weights).to(corrections)


def pose_features(params: HeadParams) -> torch.Tensor:
    """What the map reads of each frame, [T,9] float64: turns of root and neck, place."""
    return torch.cat([getattr(params, name) for name in POSE], 1).double()


def _best_ridge(features: torch.Tensor, wanted: torch.Tensor) -> float | None:
    """The ridge that foretells left-out stretches best, or None when none does well enough."""
    count = len(wanted)
    bounds = [count * fold // FOLDS for fold in range(FOLDS + 1)]
    errors = torch.zeros(len(RIDGES), dtype=torch.float64)
    for start, end in pairwise(bounds):
        kept = torch.ones(count, dtype=torch.bool)
        kept[start:end] = False
        for index, ridge in enumerate(RIDGES):
            guess = features[~kept] @ _solve(features[kept], wanted[kept], ridge)
            errors[index] += (guess - wanted[~kept]).square().sum()
    best = int(errors.argmin())
    return RIDGES[best] if errors[best] < (1 - GAIN) * wanted.square().sum() else None


def _solve(features: torch.Tensor, wanted: torch.Tensor, ridge: float) -> torch.Tensor:
    eye = torch.eye(features.shape[1], dtype=features.dtype)
    return torch.linalg.solve(features.T @ features + ridge * eye, features.T @ wanted)
