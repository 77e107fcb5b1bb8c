"""Crops of the pictures around the head, and which points of it they show."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import torch

from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.outline import signed_distance
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_photometric import Crops
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.render import rasterize_mesh
from emoga.threads import finish, in_order, threads_for_pictures
from emoga.tracking.stages import Tracker

CROP = 256  # pixels of a crop's side
MARGIN = 0.06  # of the head's size around it
FACING = (0.35, 0.65)
HIDDEN = 0.004  # metres behind the surface at which a point counts as occluded


def make_crops(
    tracker: Tracker,
    points: SurfacePoints,
    state: State,
    frames: list[int],
    blur: float,
    detail: float | None = None,
    size: int = CROP,
) -> Crops:
    """Crops of the training views around `points` at `state`, whose params are those of `frames`.

    blur: crop pixels; detail: crop pixels over which brightness is averaged and taken off, so that only what
    is finer stays. size: crop pixels of a side.
    """
    clip = tracker.clip
    corner, step = _windows(tracker, points, state, size)
    stack = np.zeros((len(clip.views), len(frames), 3, size, size), np.float32)

    def cut(one: tuple[int, int, np.ndarray]) -> None:
        c, t, picture = one
        crop = _blurred(picture, corner[c, t].tolist(), float(step[c, t]), blur, size)
        if detail is not None:
            crop = crop - cv2.GaussianBlur(crop, (0, 0), detail)
        stack[c, t] = crop.transpose(2, 0, 1)

    each = itertools.product(enumerate(clip.views), enumerate(frames))
    pictures = ((c, t, clip.image(view, frame)) for (c, view), (t, frame) in each)
    first = clip.capture.pictures[0]
    finish(pictures, cut, threads_for_pictures(first.width, first.height))
    return Crops(torch.from_numpy(stack), corner, step)


def _blurred(picture: np.ndarray, corner: list[float], scale: float, blur: float, size: int) -> np.ndarray:
    """A crop [size,size,3], blurred by `blur` of its pixels."""
    return _cut(cv2.GaussianBlur(picture, (0, 0), max(blur * scale, 0.3)), corner, scale, size)


def outline_crops(
    tracker: Tracker, points: SurfacePoints, state: State, frames: list[int], masks: np.ndarray
) -> Crops:
    """Crops, around `points`, of the distance in pixels to the outline of masks uint8 [views,T,H,W]."""
    views = tracker.clip.views
    corner, step = _windows(tracker, points, state, CROP)
    stack = np.zeros((len(views), len(frames), 1, CROP, CROP), np.float32)

    def cut(one: tuple[tuple[int, int], tuple[int, int]]) -> None:
        (c, view), (t, frame) = one
        distance = signed_distance(masks[view, frame])
        stack[c, t, 0] = _cut(distance, corner[c, t].tolist(), float(step[c, t]), CROP)

    each = itertools.product(enumerate(views), enumerate(frames))
    finish(each, cut, threads_for_pictures(masks.shape[3], masks.shape[2]))
    return Crops(torch.from_numpy(stack), corner, step)


def _windows(
    tracker: Tracker, points: SurfacePoints, state: State, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Corner [C,T,2] and width of a crop pixel [C,T], in pixels, of a square around the points."""
    viewmats, Ks = tracker.seen_cameras()
    pixels = project(points.on_mesh(tracker.posed(state)), viewmats, Ks, float(state.log_focal))[0]
    low, high = pixels.amin(2), pixels.amax(2)
    side = (high - low).amax(-1) * (1 + 2 * MARGIN)
    return 0.5 * (low + high) - 0.5 * side[..., None], side / size


def _cut(picture: np.ndarray, corner: list[float], scale: float, size: int) -> np.ndarray:
    """A square of `size` pixels, each `scale` pixels of the picture wide."""
    x, y = corner
    # From crop to picture, both with pixel centres at whole numbers, as OpenCV has them.
    matrix = np.array([[scale, 0, x + 0.5 * scale - 0.5], [0, scale, y + 0.5 * scale - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def shown(
    tracker: Tracker,
    points: SurfacePoints,
    state: State,
    crops: Crops,
    cosines: tuple[float, float] = FACING,
) -> tuple[torch.Tensor, torch.Tensor]:
    """How well each crop shows each point, 0..1 [C,T,N], and the points' normals [T,N,3].

    cosines: of the angle to the camera, between which a point comes to count.
    """
    viewmats, Ks = tracker.seen_cameras()
    Ks = Ks.clone()
    Ks[:, :2, :2] *= torch.exp(state.log_focal)
    vertices = tracker.posed(state)
    normals = torch.nn.functional.normalize(
        points.on_mesh(vertex_normals(vertices, tracker.head.faces)), dim=-1
    )
    places = points.on_mesh(vertices)
    towards = torch.nn.functional.normalize(tracker.positions[:, None, None] - places, dim=-1)
    share = (((towards * normals).sum(-1) - cosines[0]) / (cosines[1] - cosines[0])).clamp(0, 1)

    def take_hidden_off(one: tuple[int, int]) -> None:
        c, t = one
        share[c, t] *= _unhidden(tracker.head, vertices[t], places[t], viewmats[c], Ks[c], crops, c, t)

    finish(itertools.product(range(len(viewmats)), range(len(vertices))), take_hidden_off)
    return share, normals


def _unhidden(head: Head, vertices, places, viewmat, K, crops: Crops, c: int, t: int) -> torch.Tensor:
    """Which points [N] no part of the head stands before, by the depth of the mesh in the crop."""
    step = crops.step[c, t]
    K = K.clone()
    K[:2, 2] -= crops.corner[c, t]
    K[:2] /= step
    size = crops.pixels.shape[-1]
    depth = rasterize_mesh(vertices, head.faces, viewmat[None], K[None], size, size).depth[0]
    local = places @ viewmat[:3, :3].T + viewmat[:3, 3]
    at = (local[:, :2] / local[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]).long().clamp(0, size - 1)
    before = depth[at[:, 1], at[:, 0]]
    return ((before == 0) | (local[:, 2] < before + HIDDEN)).double()


def sampled(tracker: Tracker, points: SurfacePoints, state: State, crops: Crops) -> torch.Tensor:
    """What the crops show [C,T,N,3] where the points are."""
    viewmats, Ks = tracker.seen_cameras()
    pixels = project(points.on_mesh(tracker.posed(state)), viewmats, Ks, float(state.log_focal))[0]
    return crops.values(pixels, slice(0, state.params.frames))


def sampled_from(
    draw: Callable[[int], np.ndarray],
    tracker: Tracker,
    points: SurfacePoints,
    state: State,
    crops: Crops,
    blur: float,
) -> torch.Tensor:
    """What other pictures of a single view show [1,T,N,3] where the points are, cropped and blurred like `crops`.

    draw gives the picture float32 [H,W,3] of one of the T frames; none of them is kept.
    """
    viewmats, Ks = tracker.seen_cameras()
    pixels = project(points.on_mesh(tracker.posed(state)), viewmats, Ks, float(state.log_focal))[0]
    size = crops.pixels.shape[-1]

    def values(t: int) -> torch.Tensor:
        here = slice(t, t + 1)
        corner, step = crops.corner[:, here], crops.step[:, here]
        crop = _blurred(draw(t), corner[0, 0].tolist(), float(step), blur, size).transpose(2, 0, 1)
        drawn = Crops(torch.from_numpy(np.ascontiguousarray(crop))[None, None], corner, step)
        return drawn.values(pixels[:, here], slice(0, 1))

    first = tracker.clip.capture.pictures[0]
    threads = threads_for_pictures(first.width, first.height)
    return torch.cat(list(in_order(range(state.params.frames), values, threads)), 1)
