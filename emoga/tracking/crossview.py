"""Cameras recovered from landmarks, refined by the pictures themselves: fine detail of the skin meets over the views.

Landmarks are too coarse to tell a focal length: 3 % of it move one by a tenth of a pixel, a detector's own idea of a
face by more. Pores, spots and edges have no idea of a face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from emoga.camera import Camera
from emoga.geometry import axis_angle_to_matrix
from emoga.optimize.solving_crossview import CrossView, solve_views
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import VIEW, State, Views
from emoga.optimize.solving_views import ViewPrior
from emoga.optimize.solving_warp import smooth_modes
from emoga.tracking.alignment import around_lips, spread_points
from emoga.tracking.crops import make_crops, shown
from emoga.tracking.stages import Tracker

SKIN = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "ears", "neck")
POINTS, MOMENTS, ROUNDS = 2000, 6, 8
# Hair stands off the skin, lids and eyes move past each other: metres within which points are left out.
AWAY = {"brows": 0.005, "eyeballs": 0.010}
FACING = (0.5, 0.8)
# Blur in crop pixels, and metres over which what surrounds a point is averaged. Coarser detail moves with highlights.
LEVELS = ((2.0, 0.005), (1.5, 0.003))
# By how much a place strays in two pictures. It is less, but believing so makes wrong places of the first hold.
DETAIL_SPREAD = 0.02
SHARED_DETAIL = 0.25  # neighbouring points err together: each counts as this share of an independent one
MODES, MODE_LENGTH, MODE_SPREAD = 40, 0.03, 0.7e-3  # what may be wrong about the head, metres


def refine_cameras(
    tracker: Tracker, part: State, frames: list[int], expected: Callable[[torch.Tensor], ViewPrior]
) -> tuple[list[Camera], list[float]] | None:
    """Cameras that let the pictures of `frames`, whose params `part` holds, agree; and their focals' log uncertainty.

    expected: the prior of focal lengths, given those a state starts at [C]. None where no two views see the same skin.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int)).tolist()
    frames, part = [frames[i] for i in chosen], replace(part, params=part.params.select(chosen))
    points = _points(tracker)
    turns = axis_angle_to_matrix(part.params.rotation)
    modes = points.on_mesh(smooth_modes(tracker.head, MODES, MODE_LENGTH, MODE_SPREAD))
    directions = torch.einsum("tij,gnj->tnig", turns, modes)
    places = points.on_mesh(tracker.posed(part))
    crops = make_crops(tracker, points, part, frames, LEVELS[0][0])
    weights, _ = shown(tracker, points, part, crops, FACING)
    weights = weights * ((weights > 0).sum(0) > 1)
    if not bool((weights > 0).any((1, 2)).all()):
        return None
    template = points.on_mesh(tracker.head.template)
    apart = torch.cdist(template, template)
    viewmats, Ks = tracker.seen_cameras()
    for blur, reach in LEVELS:
        crops = make_crops(tracker, points, part, frames, blur)
        colors = crops.values(project(places, viewmats, Ks, 0.0)[0], slice(0, len(frames)))
        # What moments have in common is wrong in all of them: together they count as one.
        strength = weights * SHARED_DETAIL / (len(frames) * DETAIL_SPREAD**2)
        near = torch.exp(-0.5 * (apart / reach) ** 2)
        seen = CrossView(crops, _ground(near, weights, colors), Ks, strength)
        views = Views(viewmats, torch.zeros(len(Ks), dtype=torch.float64))
        places, views, covariance = solve_views(
            seen, places, directions, views, expected(Ks[:, 0, 0]), ROUNDS
        )
        viewmats, Ks = views.viewmats, views.focused(Ks)
    cameras = [
        replace(camera, K=K.numpy(), w2c=w2c.numpy())
        for camera, K, w2c in zip(tracker.cameras, Ks, viewmats, strict=True)
    ]
    return cameras, covariance.diagonal()[VIEW - 1 :: VIEW].sqrt().tolist()


def _points(tracker: Tracker) -> SurfacePoints:
    head = tracker.head
    kept = ~around_lips(head)
    for name, reach in AWAY.items():
        if name in head.regions and head.regions[name].any():
            kept &= torch.cdist(head.template, head.template[head.regions[name]]).amin(1) > reach
    return spread_points(head, SKIN, POINTS, kept)


def _ground(near: torch.Tensor, weights: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
    """Mean values [C,T,N,K] around each point, over the surface and where it is seen; near [N,N]."""
    total = (weights @ near).clamp_min(1e-9)[..., None]
    return near @ (weights[..., None] * colors) / total
