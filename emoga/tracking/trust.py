"""How far each landmark of a scheme is to be believed."""

from __future__ import annotations

import numpy as np
import torch

from emoga.capture.landmarks import CHIN, FOREHEAD, Landmarks

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
LID_RIMS = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
)  # fmt: skip
IRISES = tuple(range(468, 478))

# Spread of each kind of point relative to an ordinary one; outlines slide along the cheek as a head turns.
MEDIAPIPE_SPREAD = ((OVAL, 2.5), (INNER_LIPS, 0.5), (OUTER_LIPS, 0.8), (LID_RIMS, 0.5), (IRISES, 0.7))
IBUG_SPREAD = ((range(17), 2.5), (range(60, 68), 0.5), (range(48, 60), 0.8), (range(36, 48), 0.5))


POINT_SPREAD = 0.8e-3  # metres by which a detector places an ordinary point beside the truth
MOST_UNUSUAL = 5.0  # times its usual spread by which a point is doubted at most
# Closed lids are stated 1.7 to 2 times as vague as open ones (emoga's detector on drawn faces), along the rim: how far
# they part is seen better than ever.
VAGUE_RIMS = 2.0


def relative_spread(scheme: str) -> torch.Tensor:
    """Spread [L] of each landmark's error relative to an ordinary landmark's."""
    count, groups = (478, MEDIAPIPE_SPREAD) if scheme == "mediapipe478" else (68, IBUG_SPREAD)
    spread = torch.ones(count, dtype=torch.float64)
    for points, value in groups:
        spread[list(points)] = value
    return spread


def vagueness(landmarks: Landmarks, model: torch.Tensor) -> torch.Tensor:
    """How many times the usual spread of its kind a detector states for each point [L], 1 to MOST_UNUSUAL; 1 where it
    states none, and on rims: no picture's detail says how lids and lips move, so believed less they would not move.

    model [L,3]: the points of the mean head, metres.
    """
    usual = relative_spread(landmarks.scheme) * POINT_SPREAD
    if landmarks.spread is None or not landmarks.valid.any():
        return torch.ones_like(usual)
    height = (model[FOREHEAD] - model[CHIN]).norm()
    stated = torch.from_numpy(_usual_share(landmarks)).to(usual) * height
    return (stated / usual).clamp(1.0, MOST_UNUSUAL).masked_fill(rims(landmarks.scheme), 1.0)


def _usual_share(landmarks: Landmarks) -> np.ndarray:
    """The median [L] over frames of what a detector states as spread, over the face's height."""
    return np.median(_stated_share(landmarks)[landmarks.valid], axis=0)


def _stated_share(landmarks: Landmarks) -> np.ndarray:
    """Stated spreads [C,T,L] over the face's height."""
    height = np.linalg.norm(landmarks.points[..., FOREHEAD, :] - landmarks.points[..., CHIN, :], axis=-1)
    return landmarks.spread / np.maximum(height, 1e-3)[..., None]


def unusual_spread(landmarks: Landmarks) -> torch.Tensor:
    """How many times less sure than usual the detector is of each point [C,T,L]; 1 where it does not say.

    What is usual of a point is its median over the frames, so that points which are always vague keep the weight of
    their kind, and hidden, blurred or covered ones lose theirs. Rims are doubted from VAGUE_RIMS on: who doubts every
    closed lid makes blinks smaller.
    """
    if landmarks.spread is None or not landmarks.valid.any():
        return torch.ones(1, dtype=torch.float64).expand(*landmarks.points.shape[:3])
    usual = np.maximum(_usual_share(landmarks), 1e-9)
    usual = np.where(rims(landmarks.scheme).numpy(), VAGUE_RIMS * usual, usual)
    times = np.clip(_stated_share(landmarks) / usual, 1.0, MOST_UNUSUAL)
    return torch.from_numpy(np.where(landmarks.valid[..., None], times, 1.0)).double()


def rims(scheme: str) -> torch.Tensor:
    """Which landmarks [L] lie on rims of lids or lips, where the surface faces anywhere."""
    chosen = torch.zeros(478 if scheme == "mediapipe478" else 68, dtype=torch.bool)
    chosen[[*LID_RIMS, *INNER_LIPS, *IRISES] if scheme == "mediapipe478" else list(range(36, 68))] = True
    return chosen


def irises(scheme: str) -> torch.Tensor:
    """Which landmarks [L] are irises: they tell gaze, and are left out of the landmark error."""
    chosen = torch.zeros(478 if scheme == "mediapipe478" else 68, dtype=torch.bool)
    if scheme == "mediapipe478":
        chosen[list(IRISES)] = True
    return chosen
