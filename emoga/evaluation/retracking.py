"""Expression accuracy: which units an observer finds again in the pictures of an emotion.

The observer knows the person, the cameras and the neutral expression of every frame. Landmarks of the emotion come
from a detector where the user has one, else from optical flow: the neutral mesh's landmarks, projected, are followed
from the neutral picture of the same frame and view into the emotion's. Pose and units are then solved for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.head import Head, HeadParams
from emoga.optimize.metrics_landmarks import project_landmarks
from emoga.optimize.solving import Problem, solve
from emoga.optimize.solving_landmarks import LandmarkTerm, facing, seen_weight
from emoga.optimize.solving_points import Layout, landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State

SCHEME = "mediapipe478"
POINT_SPREAD = 0.5e-3  # metres by which flow misplaces an ordinary point
SHARED_ERROR = 0.25  # neighbouring points err together: each counts as a share of an independent one
TOLERANT, STRICT = 15.0, 4.0
ROUNDS = 10
FINEST = 512  # pixels of the pictures in which flow is sought


def solve_units(
    head: Head, start: HeadParams, cameras: Sequence[Camera], points: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Units [T,E] that explain landmarks [C,T,L,2] pixels, valid [C,T,L], of one known person.

    start: shape, offset, and the neutral expression and pose of the T frames. Units that landmarks say nothing about
    stay as they start.
    """
    head = head.to("cpu", torch.float64)
    params = start.to("cpu", torch.float64)
    surface = landmark_points(head, SCHEME)
    viewmats, Ks = stack_cameras(cameras, dtype=torch.float64)
    offset = params.static_offset
    basis = torch.zeros_like(head.template)[None] if offset is None else offset[None]
    state = State(
        params,
        torch.ones(1, dtype=torch.float64),
        torch.zeros(surface.count, 3, dtype=torch.float64),
        torch.zeros((), dtype=torch.float64),
    )
    identity = head.identify(params.shape, offset)
    with torch.no_grad():
        for robust in (TOLERANT, STRICT):
            p = state.params
            vertices = identity.pose(p.expr, p.rotation, p.neck, p.jaw, p.eyes, p.translation)
            none = torch.zeros(surface.count, dtype=torch.bool)
            seen = seen_weight(facing(head, surface, vertices, viewmats, none))
            depth = p.translation @ viewmats[:, 2, :3].T + viewmats[:, 2, 3]
            spread = (POINT_SPREAD * Ks[:, 0, 0] / depth.clamp_min(0.05)).T[..., None]
            weights = SHARED_ERROR * seen * torch.from_numpy(valid) / spread**2
            term = LandmarkTerm(surface, viewmats, Ks, torch.from_numpy(points).double(), weights, robust)
            gaps = torch.full((params.frames - 1,), 100)  # frames far apart in time say nothing of each other
            problem = Problem(head, [term], PriorWeights(), gaps, basis, solve_shape=False)
            state, _ = solve(problem, state, ROUNDS)
    return state.params.expr.numpy()


def free_units(head: Head) -> list[int]:
    """Units that `solve_units` solves for."""
    return list(Layout.of(head).units)


def followed(
    head: Head,
    neutral: HeadParams,
    cameras: Sequence[Camera],
    pictures: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [C,T,L,2] of the emotion by optical flow, and whether each faces its camera [C,T,L].

    neutral: of the T frames. pictures(c, t): the neutral and the emotional uint8 [H,W,3] of one view and frame.
    """
    at, towards = project_landmarks(head.to("cpu", torch.float32), neutral, cameras, SCHEME)
    for c in range(at.shape[0]):
        for t in range(at.shape[1]):
            at[c, t] += flow_at(*pictures(c, t), at[c, t])
    return at, towards


def flow_at(before: np.ndarray, after: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far (x, y) what is at pixels [L,2] of one picture uint8 [H,W,3] has moved in another, [L,2]."""
    factor = max(1.0, FINEST / max(before.shape[:2]))
    grey = [
        cv2.resize(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        for part in (before, after)
    ]  # fmt: skip
    seeker = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = seeker.calc(*grey, None)
    where = (points * factor - 0.5).astype(np.float32).reshape(-1, 1, 2)
    found = cv2.remap(flow, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 2) / factor
