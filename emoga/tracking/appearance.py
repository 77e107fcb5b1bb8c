"""The light on a tracked head, and how well skin of one colour under it explains every picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from emoga.optimize.lighting import fit_light, shaded
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.tracking.alignment import SKIN, spread_points
from emoga.tracking.crops import make_crops, sampled, shown
from emoga.tracking.stages import Tracker, key_frames

POINTS = 1000
BLUR = 1.5  # crop pixels
AT_ONCE = 16  # frames


def fit_appearance(tracker: Tracker, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Light [9,3] from training frames, and the root mean square colour error of the skin per frame [T]."""
    points = spread_points(tracker.head, SKIN, POINTS)
    colors, share, normals = _look(tracker, points, state, key_frames(tracker, state))
    normals = normals[None].expand(len(colors), -1, -1, -1)
    light, albedo = fit_light(colors.flatten(0, 1), share.flatten(0, 1), normals.flatten(0, 1))
    errors = []
    for frames in torch.arange(state.params.frames).split(AT_ONCE):
        colors, share, normals = _look(tracker, points, state, frames.tolist())
        squared = (colors - shaded(albedo, light, normals)).square().mean(-1)
        errors.append((squared * share).sum((0, 2)) / share.sum((0, 2)).clamp_min(1e-9))
    return light.numpy(), torch.cat(errors).sqrt().numpy()


def _look(
    tracker: Tracker, points: SurfacePoints, state: State, frames: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colours [C,T,N,3], how well each is seen [C,T,N] and normals [T,N,3] in some frames."""
    part = replace(state, params=state.params.select(frames))
    crops = make_crops(tracker, points, part, frames, BLUR)
    share, normals = shown(tracker, points, part, crops)
    return sampled(tracker, points, part, crops), share, normals
