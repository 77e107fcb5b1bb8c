"""Cuts: where a video jumps, so that nothing before says where the head is after."""

from __future__ import annotations

import numpy as np

from emoga.capture import Landmarks

JUMP = (
    0.5  # of the face's height, from one frame to the next; a head at 25 frames a second would move at 3 m/s
)
PATIENCE = 4  # frames without a face after which no jump is too large to be a movement
APART = 1000  # frames that lie between the two sides of a cut, as far as smooth motion is concerned


def find_cuts(landmarks: Landmarks, views: list[int]) -> np.ndarray:
    """The frames that begin a new shot: those where every view that sees faces on both sides sees them jump."""
    count = landmarks.valid.shape[1]
    jumps, seen = np.zeros(count, int), np.zeros(count, int)
    for view in views:
        known = np.flatnonzero(landmarks.valid[view])
        points = landmarks.points[view, known].astype(np.float64)
        height = np.ptp(points[..., 1], axis=1).clip(1.0)
        moved = np.median(np.linalg.norm(np.diff(points, axis=0), axis=-1), axis=1)
        between = np.diff(known)
        jumped = (moved > JUMP * between * np.minimum(height[1:], height[:-1])) & (between <= PATIENCE)
        seen[known[1:]] += 1
        jumps[known[1:]] += jumped
    return np.flatnonzero((jumps > 0) & (jumps == seen))


def gaps_between(frames: list[int], cuts: np.ndarray) -> np.ndarray:
    """Frames [T-1] that lie between neighbours of `frames`, where cuts count as long pauses."""
    at = np.asarray(frames)
    return np.diff(at) + APART * np.diff(np.searchsorted(cuts, at, side="right"))
