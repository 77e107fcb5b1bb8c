"""What the outline of skull and ears says about how a head is turned, where landmarks see its face alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch

from emoga.optimize.outline import FARTHEST, SEEN, rim_vertices
from emoga.optimize.solving_photometric import Crops, PhotometricTerm
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.threads import finish
from emoga.tracking.crops import outline_crops, sampled
from emoga.tracking.stages import Tracker

OUTLINE_SPREAD = 1.5e-3  # metres by which hair strays from a smooth outline
SHARED_OUTLINE = 0.5  # neighbouring vertices err together: each counts as this share of an independent one


@dataclass(frozen=True)
class Outline:
    """Head masks uint8 [views,T,H,W], and the vertices of skull and ears that can lie on their outline.

    cut: distances to the outline by frames, around heads where they were when first asked for.
    """

    points: SurfacePoints
    vertices: torch.Tensor
    masks: np.ndarray
    cut: dict[tuple[int, ...], Crops] = field(default_factory=dict)

    @classmethod
    def of(cls, tracker: Tracker, masks: np.ndarray) -> Outline:
        """The outline evidence for a tracker's head."""
        head = tracker.head
        chosen = torch.nonzero(torch.stack([head.regions[name] for name in SEEN]).any(0))[:, 0]
        return cls(SurfacePoints(head, chosen[:, None], torch.ones(len(chosen), 1)), chosen, masks)

    def term(self, tracker: Tracker, state: State, frames: list[int]) -> PhotometricTerm:
        """Evidence for `frames`, whose params `state` holds: vertices at the rim lie on the masks' outline."""
        viewmats, Ks = tracker.seen_cameras()
        if tuple(frames) not in self.cut:
            self.cut[tuple(frames)] = outline_crops(tracker, self.points, state, frames, self.masks)
        crops = self.cut[tuple(frames)]
        posed = tracker.posed(state)
        weights = torch.zeros(len(viewmats), len(frames), self.points.count, dtype=torch.float64)
        cameras = [tracker.focused(view, state) for view in tracker.clip.views]

        def weigh(one: tuple[int, int]) -> None:
            c, t = one
            rim, _, depth = rim_vertices(tracker.head, posed[t], cameras[c])
            width = OUTLINE_SPREAD * cameras[c].K[0, 0] / depth
            weights[c, t] = torch.from_numpy(rim * SHARED_OUTLINE / width**2)[self.vertices]

        finish(itertools.product(range(len(cameras)), range(len(frames))), weigh)
        distance = sampled(tracker, self.points, state, crops)
        weights *= distance[..., 0].abs() < FARTHEST * tracker.cameras[0].height
        return PhotometricTerm(self.points, viewmats, Ks, crops, torch.zeros_like(distance), weights)
