"""Photometric refinement: skin keeps its colour under one light, in every picture that may be looked at."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.lighting import fit_light
from emoga.optimize.solving import solve
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_photometric import Crops, PhotometricTerm, shaded
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.optimize.solving_warp import spread_out
from emoga.progress import Stage, Step
from emoga.render import rasterize_mesh
from emoga.tracking.stages import LASTING_ERROR, STRICT, Tracker, key_frames, spread, training_first

POINTS = 1000
CROP = 192  # pixels of a crop's side
MARGIN = 0.12  # of the face's size around it
SKIN = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "lips", "eyelids")
COLOR_SPREAD = 0.06  # how far skin strays from albedo times light
SHARED_COLOR = 0.1  # neighbouring points err together: each counts as this share of an independent one
FACING = (0.35, 0.65)
HIDDEN = 0.004  # metres behind the surface at which a point counts as occluded
BLURS = (2.5, 1.2)  # crop pixels, coarse to fine


def skin_points(head: Head) -> SurfacePoints:
    """Vertices spread evenly over the skin of the face."""
    skin = torch.stack([head.regions[name] for name in SKIN if name in head.regions]).any(0)
    chosen = spread_out(head.template.double(), skin, POINTS)
    return SurfacePoints(head, chosen[:, None], torch.ones(len(chosen), 1))


def refine(tracker: Tracker, state: State) -> State:
    """Shape (from key frames, several views only) and then motion, by landmarks and pictures together."""
    points = skin_points(tracker.head)
    keys = key_frames(tracker, state)
    tracker.report(Stage("photometric refinement", len(BLURS)))
    for level, blur in enumerate(BLURS, start=1):
        if len(tracker.clip.views) > 1:
            state = _refine_shape(tracker, points, state, keys, blur)
        state = _refine_motion(tracker, points, state, keys, blur)
        tracker.report(Step(level))
    return state


def _refine_shape(
    tracker: Tracker, points: SurfacePoints, state: State, keys: list[int], blur: float
) -> State:
    part = replace(state, params=state.params.select(keys))
    crops = make_crops(tracker, part, keys, blur)
    albedo, light = skin_colors(tracker, points, part, crops)
    skin = skin_term(tracker, points, part, crops, albedo, light)
    marks = tracker.term(part, keys, STRICT, LASTING_ERROR)
    problem = tracker.problem(keys, [marks, skin], shape=True, focal=False, habits=True)
    part, _ = solve(problem, part, tracker.effort.photometric_rounds)
    return spread(state, part, keys)


def _refine_motion(
    tracker: Tracker, points: SurfacePoints, state: State, keys: list[int], blur: float
) -> State:
    part = replace(state, params=state.params.select(keys))
    albedo, light = skin_colors(tracker, points, part, make_crops(tracker, part, keys, blur))

    def step(part: State, frames: list[int], fixed: torch.Tensor | None) -> State:
        crops = make_crops(tracker, part, frames, blur)
        skin = skin_term(tracker, points, part, crops, albedo, light)
        problem = tracker.problem(frames, [tracker.term(part, frames), skin], shape=False, focal=False)
        problem.fixed = fixed
        return solve(problem, part, tracker.effort.photometric_rounds)[0]

    return training_first(tracker, state, step)


def fit_appearance(tracker: Tracker, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Light [9,3] from training frames, and the root mean square colour error of the skin per frame [T]."""
    points = skin_points(tracker.head)
    keys = key_frames(tracker, state)
    part = replace(state, params=state.params.select(keys))
    albedo, light = skin_colors(tracker, points, part, make_crops(tracker, part, keys, BLURS[-1]))
    errors = []
    for frame in range(state.params.frames):
        part = replace(state, params=state.params.select([frame]))
        crops = make_crops(tracker, part, [frame], BLURS[-1])
        skin = skin_term(tracker, points, part, crops, albedo, light)
        pixels = project(points.on_mesh(tracker.posed(part)), skin.viewmats, skin.Ks, float(state.log_focal))[
            0
        ]
        squared = (skin.crops.sample(pixels, slice(0, 1))[0] - skin.expected).square().mean(-1)
        errors.append((squared * skin.weights).sum() / skin.weights.sum().clamp_min(1e-9))
    return light.numpy(), torch.stack(errors).sqrt().numpy()


def make_crops(tracker: Tracker, state: State, frames: list[int], blur: float) -> Crops:
    """Blurred crops of the training views around the face at `state`, whose params are those of `frames`."""
    clip = tracker.clip
    viewmats, Ks = tracker.seen_cameras()
    face = tracker.posed(state)[:, tracker.head.regions["face"]]
    pixels = project(face, viewmats, Ks, float(state.log_focal))[0]
    low, high = pixels.amin(2), pixels.amax(2)
    side = (high - low).amax(-1) * (1 + 2 * MARGIN)
    corner, step = 0.5 * (low + high) - 0.5 * side[..., None], side / CROP
    stack = np.zeros((len(clip.views), len(frames), 3, CROP, CROP), np.float32)
    for c, view in enumerate(clip.views):
        for t, frame in enumerate(frames):
            scale, (x, y) = float(step[c, t]), corner[c, t].tolist()
            picture = cv2.GaussianBlur(clip.image(view, frame), (0, 0), max(blur * scale, 0.3))
            # From crop to picture, both with pixel centres at whole numbers, as OpenCV has them.
            matrix = np.array([[scale, 0, x + 0.5 * scale - 0.5], [0, scale, y + 0.5 * scale - 0.5]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            crop = cv2.warpAffine(picture, matrix, (CROP, CROP), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            stack[c, t] = crop.transpose(2, 0, 1)
    return Crops(torch.from_numpy(stack), corner, step)


def _seen(tracker: Tracker, points: SurfacePoints, vertices: torch.Tensor, crops: Crops, state: State):
    """Weights [C,T,N] in 0..1 of points that face a camera unhidden, and normals [T,N,3]."""
    viewmats, Ks = tracker.seen_cameras()
    Ks = Ks.clone()
    Ks[:, :2, :2] *= torch.exp(state.log_focal)
    normals = torch.nn.functional.normalize(
        points.on_mesh(vertex_normals(vertices, tracker.head.faces)), dim=-1
    )
    places = points.on_mesh(vertices)
    centres = -(viewmats[:, :3, :3].transpose(1, 2) @ viewmats[:, :3, 3:])[..., 0]
    towards = torch.nn.functional.normalize(centres[:, None, None] - places, dim=-1)
    share = (((towards * normals).sum(-1) - FACING[0]) / (FACING[1] - FACING[0])).clamp(0, 1)
    for c in range(len(viewmats)):
        for t in range(len(vertices)):
            share[c, t] *= _unhidden(tracker.head, vertices[t], places[t], viewmats[c], Ks[c], crops, c, t)
    return share, normals


def _unhidden(head: Head, vertices, places, viewmat, K, crops: Crops, c: int, t: int) -> torch.Tensor:
    """Which points [N] no part of the head stands before, by the depth of the mesh in the crop."""
    step = crops.step[c, t]
    K = K.clone()
    K[:2, 2] -= crops.corner[c, t]
    K[:2] /= step
    depth = rasterize_mesh(vertices, head.faces, viewmat[None], K[None], CROP, CROP).depth[0]
    local = places @ viewmat[:3, :3].T + viewmat[:3, 3]
    at = (local[:, :2] / local[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]).long().clamp(0, CROP - 1)
    before = depth[at[:, 1], at[:, 0]]
    return ((before == 0) | (local[:, 2] < before + HIDDEN)).double()


def skin_colors(
    tracker: Tracker, points: SurfacePoints, state: State, crops: Crops
) -> tuple[torch.Tensor, torch.Tensor]:
    """Albedo [N,3] and light [9,3] from the frames of `state`, which must be training frames."""
    vertices = tracker.posed(state)
    share, normals = _seen(tracker, points, vertices, crops, state)
    viewmats, Ks = tracker.seen_cameras()
    pixels = project(points.on_mesh(vertices), viewmats, Ks, float(state.log_focal))[0]
    colors, _ = crops.sample(pixels, slice(0, len(vertices)))
    normals = normals[None].expand(len(viewmats), -1, -1, -1)
    light, albedo = fit_light(colors.flatten(0, 1), share.flatten(0, 1), normals.flatten(0, 1))
    return albedo, light


def skin_term(
    tracker: Tracker,
    points: SurfacePoints,
    state: State,
    crops: Crops,
    albedo: torch.Tensor,
    light: torch.Tensor,
) -> PhotometricTerm:
    """Photometric evidence for the frames of `state`."""
    vertices = tracker.posed(state)
    share, normals = _seen(tracker, points, vertices, crops, state)
    viewmats, Ks = tracker.seen_cameras()
    weights = share * SHARED_COLOR / COLOR_SPREAD**2
    return PhotometricTerm(points, viewmats, Ks, crops, shaded(albedo, light, normals), weights)
