"""Whether known cameras agree with the faces they saw, and if not, what was meant: convention, mirroring, unit.

Each view alone tells where the head is before its camera, whatever the world is called. Placed into the world by
the cameras as they were read, these heads must fall together; if they do so much better under another reading,
that is how the cameras are written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import CONVENTIONS, Landmarks
from emoga.capture.calibration import reread
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head
from emoga.optimize.solving_points import landmark_points
from emoga.tracking.inputs import Clip
from emoga.tracking.start import Pose, pose_from_view

OURS = "opencv-w2c"  # of capture folders, always
FRAMES, VIEWS = 5, 8  # how many are looked at, spread over all
# Disagreement as a share of the face's height. Honest cameras leave 0.02 to 0.03 for a foreign face and a noisy
# detector; another reading is believed when it leaves less than BETTER of what is there.
SUSPECT, BETTER, HOPELESS = 0.05, 0.4, 0.12
NOWHERE = 99.0
# Faces differ in size by less than this factor; cameras that ask for more are not in metres. It takes views from
# different sides to tell: heads must lie apart by this share of their distance when cameras were all in one place.
UNIT, SPREAD = 1.6, 0.15
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
UPSIDE_DOWN = -0.5  # cosine between the head's up and the world's


def check_cameras(clip: Clip, head: Head, stated: bool) -> None:
    """Refuse cameras of several views that contradict the landmarks, naming what they look like.

    stated: the user gave the convention; then one view alone, which cannot contradict itself, is believed.
    """
    if clip.cameras is None:
        return
    model = landmark_points(head, clip.landmarks.scheme).on_mesh(head.template).numpy()
    views = [view for view in clip.views if clip.landmarks.valid[view].any()]
    convention = clip.capture.convention or OURS
    if len(views) < 2:
        if not stated and clip.capture.convention is not None:
            _check_upright(clip, model, views, convention)
        return
    views = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, VIEWS).round().astype(int))]
    seen = clip.landmarks.valid[views].sum(0)
    best = np.flatnonzero(seen == seen.max())  # the frames that most views see
    frames = best[np.unique(np.linspace(0, len(best) - 1, FRAMES).round().astype(int))]
    where = clip.capture.path
    given, factor = _fit(clip.cameras, clip.landmarks, views, frames, model)
    if given > SUSPECT:
        errors = {
            name: _fit(change(clip.cameras), clip.landmarks, views, frames, model)[0]
            for name, change in _readings(convention).items()
        }
        name = min(errors, key=errors.__getitem__)
        if errors[name] < BETTER * given and errors[name] < HOPELESS:
            raise InputError(f"{where}: {_told(name, clip.capture.convention)}")
    if given > HOPELESS:
        raise InputError(
            f"{where}: its cameras contradict each other about where the face is, in every known convention; check "
            "that cameras and pictures belong together"
        )
    if not 1 / UNIT < factor < UNIT:
        raise InputError(
            f"{where}: its cameras stand about {_unit(factor)} times as far apart as the faces say in metres; divide "
            f"the translations by {_unit(factor)}"
        )


def _told(name: str, convention: str | None) -> str:
    if name == "mirrored":
        return (
            "the pictures are mirrored left to right against their cameras, or the cameras' names are swapped; flip "
            "the pictures back, or put the names right"
        )
    if convention is None:
        return f"its cameras do not look at one face; they look like {name}: write them as {OURS}"
    looks = f"they look like {name}: pass --convention {name}"
    return f"its cameras, read as {convention}, do not look at one face; {looks}"


def _unit(factor: float) -> str:
    """A factor in words; close to a power of ten, as of millimetres, it is that."""
    power = 10.0 ** round(np.log10(max(factor, 1e-6)))
    return f"{power:g}" if 0.75 < factor / power < 1.33 else f"{factor:.2g}"


def _readings(convention: str) -> dict[str, Callable[[list[Camera]], list[Camera]]]:
    """Other things the cameras may have meant."""
    found: dict[str, Callable[[list[Camera]], list[Camera]]] = {
        other: lambda cameras, other=other: reread(cameras, convention, other)
        for other in CONVENTIONS
        if other != convention
    }
    return {**found, "mirrored": lambda cameras: [_mirrored(camera) for camera in cameras]}


def _mirrored(camera: Camera) -> Camera:
    """The camera that sees the mirrored world in the mirrored picture."""
    K = camera.K.copy()
    K[0, 2] = camera.width - K[0, 2]
    return replace(camera, K=K, w2c=MIRROR @ camera.w2c @ MIRROR)


def _fit(
    cameras: list[Camera], landmarks: Landmarks, views: list[int], frames: np.ndarray, model: np.ndarray
) -> tuple[float, float]:
    """How far views disagree about the face, as a share of its height, and the size that suits them best.

    Both are medians over the frames; a size of 1 is that of the model [L,3] in metres.
    """
    errors, sizes = [], []
    for frame in frames:
        poses = {
            view: pose_from_view(cameras[view], landmarks.points[view, frame], model)
            for view in views
            if landmarks.valid[view, frame]
        }
        found = {view: pose for view, pose in poses.items() if pose is not None}
        if len(found) < 2:
            continue
        size = _size([cameras[view].position for view in found], [found[view][1] for view in found])
        marks = {view: landmarks.points[view, frame] for view in found}
        errors.append(_disagreement(cameras, found, marks, size, model) if size > 0 else NOWHERE)
        sizes.append(size)
    return (float(np.median(errors)), float(np.median(sizes))) if errors else (0.0, 1.0)


def _size(centres: list[np.ndarray], heads: list[np.ndarray]) -> float:
    """By how much heads must grow, their pictures staying the same, for all views to place them at one point."""
    place, reach = np.stack(centres), np.stack(heads) - np.stack(centres)
    apart, sides = place - place.mean(0), reach - reach.mean(0)
    if np.sqrt((sides**2).sum(1).mean()) < SPREAD * np.linalg.norm(reach, axis=1).mean():
        return 1.0
    return float(-(sides * apart).sum() / (sides**2).sum())


def _disagreement(
    cameras: list[Camera],
    poses: dict[int, Pose],
    marks: dict[int, np.ndarray],
    size: float,
    model: np.ndarray,
) -> float:
    """Reprojection error over face height, median over points and views, of the view's pose that suits most."""
    errors = []
    for view, (turn, place) in poses.items():
        centre = cameras[view].position
        world = size * model @ axis_angle_to_matrix(torch.from_numpy(turn)).numpy().T
        world = world + centre + size * (place - centre)
        shares = []
        for other, points in marks.items():
            pixels, depth = cameras[other].project(world)
            error = np.median(np.linalg.norm(pixels - points, axis=-1)) / max(np.ptp(points[:, 1]), 1.0)
            shares.append(min(error, NOWHERE) if (depth > 0).all() else NOWHERE)
        # A view's own points fit it whatever the cameras are.
        errors.append(np.median(sorted(shares)[1:]))
    return float(min(errors))


def _check_upright(clip: Clip, model: np.ndarray, views: list[int], convention: str) -> None:
    """One camera cannot contradict itself, but a head upside down in the world tells of flipped axes."""
    given = _up(clip, clip.cameras or [], model, views)
    if given is None or given > UPSIDE_DOWN:
        return
    axes, direction = convention.split("-")
    other = f"{'opencv' if axes == 'opengl' else 'opengl'}-{direction}"
    turned = _up(clip, reread(clip.cameras or [], convention, other), model, views)
    if turned is not None and turned > -UPSIDE_DOWN:
        raise InputError(
            f"{clip.capture.path}: read as {convention}, the head stands upside down in the world; its camera "
            f"looks like {other}: pass --convention {other}, or --convention {convention} if it is right"
        )


def _up(clip: Clip, cameras: list[Camera], model: np.ndarray, views: list[int]) -> float | None:
    """How far the head's up points along the world's, -1 to 1: median over frames."""
    found = []
    for view in views:
        frames = np.flatnonzero(clip.landmarks.valid[view])
        for frame in frames[np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))]:
            pose = pose_from_view(cameras[view], clip.landmarks.points[view, frame], model)
            if pose is not None:
                found.append(axis_angle_to_matrix(torch.from_numpy(pose[0])).numpy()[1, 1])
    return float(np.median(found)) if found else None
