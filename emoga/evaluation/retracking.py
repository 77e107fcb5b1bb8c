"""Expression accuracy: which units an observer finds again in the pictures of an emotion.

The observer knows the person, the cameras and the neutral expression of every frame. Landmarks of the emotion come
from a detector where the user has one, else from optical flow: the neutral mesh's landmarks, projected, are followed
from the neutral picture of the same frame and view into the emotion's. Pose and units are then solved for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import Track
from emoga.evaluation.emotion_play import Cell, Play
from emoga.evaluation.emotion_truth import Truth
from emoga.head import Head, HeadParams
from emoga.optimize.metrics_emotion import UnitAgreement, unit_agreement
from emoga.optimize.metrics_landmarks import project_landmarks
from emoga.optimize.scoring import evenly
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
MOST_FRAMES, MOST_VIEWS = 6, 6
MOVES = 0.05  # units that an emotion changes by less are not listed

Picturing = Callable[[Cell], np.ndarray]


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


@dataclass(frozen=True)
class Units:
    """Units that an observer finds again in the pictures, as changes from the neutral playback.

    played: what the head was told; found: what is seen in the renders; truth: the same seen in the truth's pictures.
    played_agreement compares found with played, truth_agreement with what the truth's pictures show. by_unit: mean
    change (played, found, truth or NaN) of every unit that the emotion moves. landmarks: where they came from.
    """

    played_agreement: UnitAgreement
    truth_agreement: UnitAgreement | None
    by_unit: dict[str, tuple[float, float, float]]
    landmarks: str
    pictures: int


def units_found(
    head: Head, play: Play, neutral: Play, cells: Sequence[Cell], track: Track, truth: Truth | None
) -> Units | None:
    """Solve for the units again from the pictures of views that share frames; None where there is no such picture."""
    block = _block(truth.cells if truth and truth.cells else cells)
    if block is None:
        return None
    views, frames = block
    cameras = [track.cameras[view] for view in views]
    start = neutral.params.select(frames)
    units = free_units(head)
    begun = start.expr.numpy()[:, units]

    def seen_in(before: Picturing, after: Picturing) -> np.ndarray:
        points, valid = followed(
            head, start, cameras,
            lambda c, t: (before((views[c], frames[t])), after((views[c], frames[t]))),
        )  # fmt: skip
        return solve_units(head, start, cameras, points, valid)[:, units] - begun

    played = play.params.select(frames).expr.numpy()[:, units] - begun
    found = seen_in(neutral.picture, play.picture)
    true = None
    if truth and set((v, t) for v in views for t in frames) <= set(truth.cells):
        true = seen_in(lambda cell: track.picture(*cell), truth.picture)
    means = [
        part.mean(0) if part is not None else np.full(len(units), np.nan) for part in (played, found, true)
    ]
    listed = np.flatnonzero(np.nanmax(np.abs(means), axis=0) > MOVES)
    listed = sorted(listed, key=lambda i: -abs(means[0][i]))
    return Units(
        unit_agreement(found, played),
        None if true is None else unit_agreement(found, true),
        {head.expr_names[units[i]]: tuple(float(part[i]) for part in means) for i in listed},
        "optical flow from the neutral pictures of the same views and frames",
        len(views) * len(frames),
    )


def _block(cells: Sequence[Cell]) -> tuple[list[int], list[int]] | None:
    """Views and frames all of whose pictures are among the cells: the frames of most views first."""
    frames: dict[int, set[int]] = {}
    for view, frame in cells:
        frames.setdefault(frame, set()).add(view)
    if not frames:
        return None
    widest = max(frames.values(), key=len)
    shared = [frame for frame, views in sorted(frames.items()) if views >= widest]
    return evenly(sorted(widest), MOST_VIEWS), evenly(shared, MOST_FRAMES)
