"""Which pictures of a track are edited: the views that see the face, frames that show much of what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import HeldOut, Track
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head, HeadParams

MOST_VIEWS, MOST_FRAMES, MOST_FRAMES_OF_ONE = 10, 8, 32
# Beyond this turn away from the camera a view shows a profile or less, of which editors know little.
OBLIQUE = np.radians(60)
FRONTAL = np.radians(20)
# A lid counts as blinking when it is closed this far, beyond what it is most of the time.
BLINK, LEAST_BLINK = 0.25, 0.4
# One unit of spread over the frames: the whole film, a turn of the head, a face that moved so far.
TURN, MOVE = 0.35, 0.004


@dataclass(frozen=True)
class Choice:
    """Pictures of a track to edit: every view of `views` in every frame of `frames`, indices into the track."""

    views: tuple[int, ...]
    frames: tuple[int, ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(view, frame) of every picture, frame by frame."""
        return [(view, frame) for frame in self.frames for view in self.views]


def choose_pictures(
    track: Track,
    head: Head,
    params: HeadParams,
    held_out: HeldOut,
    views: Sequence[int] | None = None,
    frames: Sequence[int] | None = None,
) -> Choice:
    """The views and frames asked for, else views spread around the front and frames over time and expression.

    params: of the track's frames. Raises InputError for one that is held out, does not exist or is named twice.
    """
    count = (len(track.cameras), track.frame_count)
    turned = angles(head, params, track.cameras)
    if views is None:
        views = _spread_views(track, turned, held_out.training_views(count[0]))
    else:
        _check("view", views, held_out.views, count[0])
    if frames is None:
        most = MOST_FRAMES if len(track.cameras) > 1 else MOST_FRAMES_OF_ONE
        frames = _spread_frames(track, head, params, held_out, views, turned, most)
    else:
        _check("frame", frames, held_out.frames, count[1])
    sizes = {(track.cameras[view].width, track.cameras[view].height) for view in views}
    if len(sizes) > 1:
        raise InputError(f"the chosen views have {len(sizes)} picture sizes; choose views of one size")
    return Choice(tuple(sorted(views)), tuple(sorted(frames)))


def angles(head: Head, params: HeadParams, cameras: Sequence[Camera]) -> np.ndarray:
    """Radians [C,T] between where the face looks and where each camera stands."""
    turn = (axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck)).double().numpy()
    forward = turn[:, :, 2]
    middle = params.translation.double().numpy()
    result = np.empty((len(cameras), len(middle)))
    for row, camera in zip(result, cameras, strict=True):
        towards = camera.position - middle
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        row[:] = np.arccos(np.clip((towards * forward).sum(1), -1, 1))
    return result


def _spread_views(track: Track, turned: np.ndarray, allowed: Sequence[int]) -> list[int]:
    """The most frontal view and at most nine others far from one another, none of them a profile if possible."""
    typical = np.median(turned, axis=1)
    frontal = min(allowed, key=lambda view: typical[view])
    candidates = [view for view in allowed if typical[view] < OBLIQUE]
    if frontal not in candidates:
        return [frontal]
    places = np.stack([camera.position for camera in track.cameras])
    chosen = [frontal]
    while len(chosen) < min(MOST_VIEWS, len(candidates)):
        distance = np.linalg.norm(places[:, None] - places[chosen], axis=2).min(1)
        chosen.append(
            max((view for view in candidates if view not in chosen), key=lambda view: distance[view])
        )
    return chosen


def _spread_frames(
    track: Track,
    head: Head,
    params: HeadParams,
    held_out: HeldOut,
    views: Sequence[int],
    turned: np.ndarray,
    most: int,
) -> list[int]:
    """At most `most` training frames far from one another in time, pose and expression; none that blinks."""
    training = np.array(held_out.training_frames(track.frame_count))
    usable = ~_blinks(head, params) & (turned[list(views)].min(0) < OBLIQUE) & _trusted(track, views)
    candidates = training[usable[training]]
    if not len(candidates):
        candidates = training
    features = _features(head, params)[candidates]
    # The first is the most usual one; each further one is farthest from those there are.
    chosen = [int(np.linalg.norm(features - np.median(features, 0), axis=1).argmin())]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < min(most, len(candidates)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return [int(candidates[index]) for index in chosen]


def _blinks(head: Head, params: HeadParams) -> np.ndarray:
    """bool [T]: frames in which a lid closes further than it usually is."""
    names = [f"eyeBlink{side}" for side in ("Left", "Right")]
    if not set(names) <= set(head.expr_names):
        return np.zeros(params.frames, bool)
    closed = params.expr[:, [head.unit(name) for name in names]].numpy()
    usual = np.quantile(closed, 0.3, axis=0)
    return (closed > np.maximum(usual + BLINK, LEAST_BLINK)).any(1)


def _trusted(track: Track, views: Sequence[int]) -> np.ndarray:
    """bool [T]: frames that the tracker is as sure of as of most."""
    confidence = track.quality.get("confidence")
    if confidence is None:
        return np.ones(track.frame_count, bool)
    confidence = np.asarray(confidence)
    if confidence.ndim == 2:
        confidence = confidence[list(views)].mean(0)
    return confidence >= 0.8 * np.median(confidence)


def _features(head: Head, params: HeadParams) -> np.ndarray:
    """Coordinates [T,D] in which frames one unit apart differ worth showing both."""
    marks = head.landmarks["mediapipe478"]
    with torch.no_grad():
        identity = head.identify(params.shape, params.static_offset)
        face = marks.points(identity.pose(params.expr, jaw=params.jaw)).numpy()
    moved = (face - face.mean(0)).reshape(len(face), -1)
    # Root mean square over the points, metres.
    moved = moved / np.sqrt(face.shape[1])
    time = np.linspace(0, 1, len(face))[:, None]
    turn = (params.rotation + params.neck).numpy()
    return np.concatenate([time, turn / TURN, moved / MOVE], 1)


def _check(kind: str, chosen: Sequence[int], held_out: Sequence[int], count: int) -> None:
    if not chosen:
        raise InputError(f"no {kind} is chosen")
    for index in chosen:
        if not 0 <= index < count:
            raise InputError(f"--{kind}s {index}: the track has {kind}s 0 to {count - 1}")
        if index in held_out:
            raise InputError(f"--{kind}s {index}: this {kind} is held out from training; choose another")
    if len(set(chosen)) != len(chosen):
        raise InputError(f"--{kind}s: {kind} {max(chosen, key=list(chosen).count)} is named twice")
