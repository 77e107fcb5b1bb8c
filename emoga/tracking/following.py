"""Cameras recovered from landmarks, refined by how the skin moves over time in each view by itself.

A head that turns comes nearer here and goes further there; how its skin then grows and shifts in each picture is what
tells a focal length. A place is followed against its own picture at other moments, to a quarter of a pixel, and never
looked for in another view, where light makes something else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.camera import Camera
from emoga.geometry import matrix_to_axis_angle, nearest_rotation, vertex_normals
from emoga.head import Head, HeadParams
from emoga.optimize.solving_following import Film, Followed, Motion, solve_film
from emoga.optimize.solving_points import Layout, SurfacePoints
from emoga.optimize.solving_priors import unit_motion
from emoga.optimize.solving_state import State, Views
from emoga.optimize.solving_views import ViewPrior
from emoga.tracking.sheets import Sight, follow, make_sheet
from emoga.tracking.stages import Tracker

# Skin away from all that slides over it, opens, folds or is hair.
SKIN = ("face", "forehead", "cheeks", "nose", "ears")
RESTLESS = ("eyelids", "lips", "eyeballs", "lashes", "brows", "jaw", "neck", "mouth_interior", "teeth")
AWAY = 0.004  # metres from these
STIFF = ("forehead", "nose", "ears")
MOMENTS, ROUNDS = 24, 15
SHARED = 0.15  # windows overlap and err together: each counts as this share of an independent one
ACROSS, ALONG = 0.005, 0.010  # metres by which a place may lie elsewhere on the head, along its normal more
# What may be wrong about an expression, its change with the turn of the head above all: millimetres by which a unit
# moves skin, degrees of the jaw. Units that move what is followed by less than STIRRED of that are left alone.
EXPRESSION, JAW, STIRRED = 1.0, 2.0, 0.1


@dataclass(frozen=True)
class Following:
    """Cameras that films lead to, the moments looked at with the poses and expressions of the head in them, and the
    uncertainty of each focal length's logarithm; by_films: of their common factor, were nothing else known of it.
    """

    cameras: list[Camera]
    frames: list[int]
    part: State
    focal_spreads: list[float]
    by_films: float


def follow_cameras(
    tracker: Tracker, part: State, frames: list[int], expected: Callable[[torch.Tensor], ViewPrior]
) -> Following | None:
    """Cameras before which the skin moves as films of `frames`, whose params `part` holds, show it.

    expected: the prior of focal lengths, given those a state starts at [C]. None where a view shows too little skin.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int)).tolist()
    frames, part = [frames[i] for i in chosen], replace(part, params=part.params.select(chosen))
    viewmats, Ks = tracker.seen_cameras()
    vertices = tracker.posed(part)
    turns = _head_turns(tracker.head, vertices)
    middle = int((turns * turns.mean(0)).sum((1, 2)).argmax())
    skin, sights = _skin(tracker.head), []
    for view, viewmat, K in zip(tracker.clip.views, viewmats, Ks, strict=True):
        sheet = make_sheet(tracker.head, vertices, viewmat, K, middle)
        pictures = [tracker.clip.image(view, frame) for frame in frames]
        sights.append(follow(sheet, pictures, tracker.head, skin))
        if not sights[-1].information.any():
            return None
    film, used = _film(tracker, part, vertices[middle], turns, middle, sights)
    views = Views(viewmats, torch.zeros(len(Ks), dtype=torch.float64))
    prior = expected(Ks[:, 0, 0])
    motion, views, covariance = solve_film(film, views, prior, ROUNDS)
    cameras = [
        replace(camera, K=K.numpy(), w2c=w2c.numpy())
        for camera, K, w2c in zip(tracker.cameras, views.focused(Ks), views.viewmats, strict=True)
    ]
    part = replace(part, params=_moved(Layout.of(tracker.head), part.params, motion, used))
    told = float((torch.linalg.inv(covariance) - prior.precision()).sum().clamp_min(1e-6))
    return Following(cameras, frames, part, covariance.diagonal().sqrt().tolist(), told**-0.5)


def _moved(layout: Layout, params: HeadParams, motion: Motion, used: torch.Tensor) -> HeadParams:
    """The heads after a motion, of whose unknowns of expression some, bool [E], were free."""
    step = torch.zeros(params.frames, layout.count, dtype=torch.float64)
    step[:, :3] = matrix_to_axis_angle(motion.turns)
    step[:, 3:6] = motion.shifts
    step[:, torch.nonzero(used)[:, 0] + layout.expr.start] = motion.expression
    return layout.moved(params, step)


def _film(
    tracker: Tracker,
    part: State,
    vertices: torch.Tensor,
    turns: torch.Tensor,
    middle: int,
    sights: list[Sight],
) -> tuple[Film, torch.Tensor]:
    """What views saw as evidence about heads and cameras, and which unknowns of expression, bool [E], matter in it.

    vertices [V,3] of the middle moment, turns [T,3,3] of the head.
    """
    head, identity, layout = tracker.head, tracker.identity(part), Layout.of(tracker.head)
    motion = unit_motion(head, identity)[list(layout.units)]
    jaw = torch.full((len(layout.jaw_axes),), 180 / (torch.pi * JAW), dtype=torch.float64)
    calm = torch.cat([motion / EXPRESSION, jaw]).square()
    normals = vertex_normals(vertices[None], head.faces)[0]
    seen = []
    for sight in sights:
        points = SurfacePoints(head, torch.from_numpy(sight.corners), torch.from_numpy(sight.weights))
        formed = range(layout.expr.start, layout.jaw.stop)
        places, columns = points.jacobian(identity, part.params, free=formed)
        along = torch.nn.functional.normalize(points.on_mesh(normals), dim=-1) @ turns[middle]
        allowed = torch.eye(3, dtype=torch.float64) / ACROSS**2
        allowed = allowed + (ALONG**-2 - ACROSS**-2) * along[:, :, None] * along[:, None]
        observed, information = torch.from_numpy(sight.pixels), torch.from_numpy(sight.information)
        seen.append(Followed(places, columns, turns, allowed, observed, information))
    moved = torch.stack([each.columns.norm(dim=2).amax((0, 1)) for each in seen]).amax(0)
    used = moved / calm.sqrt() > STIRRED * EXPRESSION / 1e3
    seen = [replace(each, columns=each.columns[..., used].contiguous()) for each in seen]
    return Film(seen, part.params.translation, tracker.seen_cameras()[1], calm[used], SHARED), used


def _skin(head: Head) -> torch.Tensor:
    """Faces of the mesh, bool [F], that can be followed."""
    kept = _within(head, SKIN)
    restless = _within(head, RESTLESS)
    if restless.any():
        kept &= torch.cdist(head.template, head.template[restless]).amin(1) > AWAY
    return kept[head.faces].all(1)


def _within(head: Head, names: tuple[str, ...]) -> torch.Tensor:
    """Vertices, bool [V], of some regions."""
    none = torch.zeros(len(head.template), dtype=torch.bool)
    return torch.stack([head.regions.get(name, none) for name in names]).any(0)


def _head_turns(head: Head, vertices: torch.Tensor) -> torch.Tensor:
    """Turns [T,3,3] of the head, with its neck, from the first moment on."""
    stiff = _within(head, STIFF)
    stiff = vertices[:, stiff if stiff.any() else head.regions["face"]]
    stiff = stiff - stiff.mean(1, keepdim=True)
    return nearest_rotation(stiff.mT @ stiff[0])
