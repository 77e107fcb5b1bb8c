"""Expression accuracy: which units an observer finds again in the pictures of an emotion.

The observer knows the person, the cameras and the neutral expression of every frame. Landmarks of the emotion come
from a detector where the user has one, else from optical flow: the neutral mesh's landmarks, projected, are followed
from the neutral picture of the same frame and view into the emotion's. Pose and units are then solved for anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import Track
from emoga.evaluation.emotion_play import Cell, Play
from emoga.evaluation.emotion_truth import Truth
from emoga.evaluation.observing import FLOW, SCHEME, detector_at, followed
from emoga.head import Head, HeadParams
from emoga.optimize.metrics_emotion import UnitAgreement, unit_agreement
from emoga.optimize.scoring import evenly
from emoga.optimize.solving import Problem, solve
from emoga.optimize.solving_landmarks import LandmarkTerm, facing, seen_weight
from emoga.optimize.solving_points import Layout, landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State

POINT_SPREAD = 0.5e-3  # metres by which flow misplaces an ordinary point
SHARED_ERROR = 0.25  # neighbouring points err together: each counts as a share of an independent one
TOLERANT, STRICT = 15.0, 4.0
ROUNDS = 10
FAR = 100  # frames between those looked at, so that they say nothing of each other
MOST_FRAMES, MOST_VIEWS = 6, 6
# An observer of what an emotion changes expects no side to follow the other.
EXPECTS = PriorWeights(settled_sparsity=0.4, asymmetry=math.inf)
MOVES = 0.05  # units that an emotion changes by less are not listed

Picturing = Callable[[Cell], np.ndarray]


def solve_units(
    head: Head, start: HeadParams, cameras: Sequence[Camera], points: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Units [T,E] that explain landmarks [C,T,L,2] pixels, valid [C,T,L], of one known person.

    start: shape, offset, and the neutral expression and pose of the T frames. Units that landmarks say nothing about
    stay as they start.
    """
    return _solve(head, start, cameras, points, valid, free_shape=False).params.expr.numpy()


def solve_rest(
    head: Head, start: HeadParams, cameras: Sequence[Camera], points: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """The rest mesh [V,3] of the person who explains the landmarks: as `solve_units`, with the shape free as well."""
    params = _solve(head, start, cameras, points, valid, free_shape=True).params
    offset = None if start.static_offset is None else start.static_offset.double().cpu()
    return head.to("cpu", torch.float64).identify(params.shape, offset).rest.numpy()


@torch.no_grad()
def _solve(
    head: Head, start: HeadParams, cameras: Sequence[Camera], points: np.ndarray, valid: np.ndarray, free_shape: bool
) -> State:  # fmt: skip
    head, params = head.to("cpu", torch.float64), start.to("cpu", torch.float64)
    if params.static_offset is not None:
        # Part of the person, and not to be solved for.
        head = replace(head, template=head.template + params.static_offset, _copies={})
    surface = landmark_points(head, SCHEME)
    viewmats, Ks = stack_cameras(cameras, dtype=torch.float64)
    zero = torch.zeros(surface.count, 3, dtype=torch.float64)
    state = State(params, zero[:1, 0], zero, zero[0, 0])
    basis = torch.zeros_like(head.template)[None]
    none = torch.zeros(surface.count, dtype=torch.bool)
    observed, known = torch.from_numpy(points).double(), torch.from_numpy(valid)
    gaps = torch.full((params.frames - 1,), FAR)
    for robust, shape in ((TOLERANT, False), (STRICT, False), *([(STRICT, True)] if free_shape else [])):
        p = state.params
        identity = head.identify(p.shape)
        vertices = identity.posed(p)
        seen = seen_weight(facing(head, surface, vertices, viewmats, none))
        depth = p.translation @ viewmats[:, 2, :3].T + viewmats[:, 2, 3]
        spread = (POINT_SPREAD * Ks[:, 0, 0] / depth.clamp_min(0.05)).T[..., None]
        weights = SHARED_ERROR * seen * known / spread**2
        term = LandmarkTerm(surface, viewmats, Ks, observed, weights, robust)
        problem = Problem(head, [term], EXPECTS, gaps, basis, solve_shape=shape)
        state, _ = solve(problem, state, ROUNDS)
    return state


def free_units(head: Head) -> list[int]:
    """Units that `solve_units` solves for."""
    return list(Layout.of(head).units)


@dataclass(frozen=True)
class Units:
    """Units that an observer finds again in the pictures, as changes from the neutral playback.

    played: what the head was told; found: what is seen in the renders; truth: the same seen in the truth's pictures.
    played_agreement compares found with played, truth_agreement with what the truth's pictures show. by_unit: mean
    change (played, found, truth or NaN) of every unit that the emotion moves. shape_mm: mean distance, over the
    face's skin, between the persons seen in the renders and in the truth's pictures when the shape is free too.
    landmarks: where they came from.
    """

    played_agreement: UnitAgreement
    truth_agreement: UnitAgreement | None
    by_unit: dict[str, tuple[float, float, float]]
    shape_mm: float
    landmarks: str
    pictures: int


def units_found(
    head: Head, play: Play, neutral: Play, cells: Sequence[Cell], track: Track, truth: Truth | None,
    skin: np.ndarray, landmark_model: str | Path | None = None,
) -> Units | None:  # fmt: skip
    """Solve for the units again from the pictures of views that share frames; None where there is no such picture.

    skin [V] bool: where shapes are compared. landmark_model: MediaPipe's, in place of optical flow.
    """
    block = _block(truth.cells if truth and truth.cells else cells)
    if block is None:
        return None
    views, frames = block
    cameras = [track.cameras[view] for view in views]
    start = neutral.params.select(frames)
    units = free_units(head)
    begun = start.expr.numpy()[:, units]
    displacement = None if landmark_model is None else detector_at(landmark_model)

    def seen_in(before: Picturing, after: Picturing) -> tuple[np.ndarray, np.ndarray]:
        return followed(
            head, start, cameras,
            lambda c, t: (before((views[c], frames[t])), after((views[c], frames[t]))),
            displacement,
        )  # fmt: skip

    def units_in(marks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return solve_units(head, start, cameras, *marks)[:, units] - begun

    played = play.params.select(frames).expr.numpy()[:, units] - begun
    marks = seen_in(neutral.picture, play.picture)
    found, true, shape_mm = units_in(marks), None, float("nan")
    if truth and {(view, frame) for view in views for frame in frames} <= set(truth.cells):
        theirs = seen_in(lambda cell: track.picture(*cell), truth.picture)
        true = units_in(theirs)
        persons = [solve_rest(head, start, cameras, *evidence)[skin] for evidence in (marks, theirs)]
        shape_mm = float(1e3 * np.linalg.norm(persons[0] - persons[1], axis=-1).mean())
    means = [
        part.mean(0) if part is not None else np.full(len(units), np.nan) for part in (played, found, true)
    ]
    listed = np.flatnonzero(np.nanmax(np.abs(means), axis=0) > MOVES)
    listed = sorted(listed, key=lambda i: -abs(means[0][i]))
    source = FLOW if landmark_model is None else f"MediaPipe ({Path(landmark_model).name})"
    return Units(
        unit_agreement(found, played),
        None if true is None else unit_agreement(found, true),
        {head.expr_names[units[i]]: tuple(float(part[i]) for part in means) for i in listed},
        shape_mm,
        source,
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
