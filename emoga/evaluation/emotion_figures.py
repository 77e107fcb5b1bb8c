"""Figures of one emotion that need no network, each from pictures and meshes of the same views and frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Track
from emoga.evaluation.emotion_edits import Edits
from emoga.evaluation.emotion_play import Cell, Play
from emoga.evaluation.emotion_truth import Truth
from emoga.head import Head
from emoga.optimize.metrics import compare
from emoga.optimize.metrics_emotion import (
    ChangeOutside,
    CrossView,
    Displacement,
    Flicker,
    TemporalError,
    change_outside,
    cross_view_spread,
    displacement_reached,
    flicker,
    mean_change,
    noise_error,
    temporal_error,
)
from emoga.optimize.regions import EYES, MOUTH, region_mask, visible_faces
from emoga.optimize.scoring import PictureScore, evenly, head_mask
from emoga.optimize.surface_pictures import lift, surface_motion

SKIN = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "eyelids", "lips")
# What an emotion may change of a picture.
EXPRESSIVE = (*SKIN, "mouth_interior", "teeth", "tongue", "eyeballs", "irises", "lashes")
DILATION = 0.02  # of the picture's height: how far beside a mask a change still counts as inside
MOST_SPREAD_FRAMES, MOST_SPREAD_VIEWS = 4, 8
MOST_CHANGED = 24

Pictures = Callable[[Cell], np.ndarray]


def skin_vertices(head: Head) -> np.ndarray:
    """bool [V]: the skin of the face, where an emotion's displacement is measured."""
    chosen = [head.regions[name].cpu().numpy() for name in SKIN if name in head.regions]
    return np.logical_or.reduce(chosen)


def compare_with_truth(
    pictures: Pictures, truth: Truth, cells: Sequence[Cell], regions: Callable[[Cell], tuple]
) -> list[PictureScore]:
    """PSNR and SSIM of pictures by cell against the truth, in its head mask; regions: mouth and eyes bool [H,W]."""
    return [
        PictureScore(*cell, compare(pictures(cell), truth.picture(cell), truth.mask(cell), *regions(cell)))
        for cell in cells
    ]


def mouth_and_eyes(head: Head, play: Play, cell: Cell, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where the mesh of a play shows mouth and eyes, bool [H,W] each."""
    seen = visible_faces(head, torch.from_numpy(play.vertices(cell[1])), camera)
    return region_mask(head, seen, MOUTH), region_mask(head, seen, EYES)


def displacement_of(head: Head, play: Play, neutral: Play, truth: Truth) -> Displacement | None:
    """Displacement reached over the skin, in frames with a true face; None where there is none."""
    frames = sorted(set(truth.vertices) & set(truth.neutral))
    if not frames:
        return None
    skin = skin_vertices(head)
    ours = np.stack([play.vertices(t)[skin] - neutral.vertices(t)[skin] for t in frames])
    theirs = np.stack([truth.vertices[t][skin] - truth.neutral[t][skin] for t in frames])
    return displacement_reached(ours, theirs)


@dataclass(frozen=True)
class Steps:
    """Temporal errors over successive frames: how much the pictures change where the surface stays the same.

    ratio: that of the emotion over that of the neutral playback. It says whether the emotion adds flicker, and is
    not DESIGN's flicker, which needs truth and edits.
    """

    emotion: float
    neutral: float
    ratio: float
    pixels: int


def temporal_change(
    play: Play, neutral: Play, cells: Sequence[Cell], track: Track, faces: np.ndarray
) -> Steps | None:
    """Change over successive frames of an emotion and of the neutral playback, each along its own mesh."""
    sums = {}
    for name, source in (("emotion", play), ("neutral", neutral)):
        total = TemporalError()
        for view, frames in by_view(cells).items():
            motions = _motions(source.vertices, frames, faces, track.cameras[view])
            pictures = np.stack([source.picture((view, t)) for t in frames])
            masks = np.stack([head_mask(track, view, t) for t in frames])
            total += temporal_error(pictures, None, masks, motions)
        sums[name] = total
    emotion, rest = sums["emotion"], sums["neutral"]
    if not emotion.pixels or not rest.pixels:
        return None
    ratio = emotion.mean / rest.mean if rest.mean else float("nan")
    return Steps(emotion.mean, rest.mean, ratio, emotion.pixels)


def flicker_of(
    play: Play,
    truth: Truth,
    edits: Edits,
    displacement: Displacement | None,
    cameras: Sequence[Camera],
    faces: np.ndarray,
) -> Flicker | None:
    """Flicker over the pictures that are both edited and known; None where there are no two frames of a view."""
    result, theirs, noise = TemporalError(), TemporalError(), TemporalError()
    mesh = truth.vertices.get
    for view, frames in by_view(sorted(set(truth.cells) & set(edits.cells))).items():
        cells = [(view, t) for t in frames]
        motions = _motions(
            lambda t: play.vertices(t) if mesh(t) is None else mesh(t), frames, faces, cameras[view]
        )
        true = np.stack([truth.picture(cell) for cell in cells])
        masks = np.stack([truth.mask(cell) for cell in cells])
        noise += noise_error(truth.noise, masks, motions)
        for source in (play, edits):
            error = temporal_error(np.stack([source.picture(cell) for cell in cells]), true, masks, motions)
            if source is play:
                result += error
            else:
                theirs += error
    if not result.pixels:
        return None
    return flicker(result, theirs, displacement.share if displacement else float("nan"), noise)


def by_view(cells: Sequence[Cell]) -> dict[int, list[int]]:
    """Frames of every view that has two or more of them, in order."""
    frames: dict[int, list[int]] = {}
    for view, frame in sorted(cells):
        frames.setdefault(view, []).append(frame)
    return {view: found for view, found in frames.items() if len(found) > 1}


def _motions(
    vertices: Callable[[int], np.ndarray], frames: list[int], faces: np.ndarray, camera: Camera
) -> list:
    return [
        surface_motion(vertices(before), vertices(after), faces, camera)
        for before, after in itertools.pairwise(frames)
    ]


@dataclass(frozen=True)
class Agreement:
    """Agreement between views of the same pictures: `pictures` as they are, `change` against the neutral ones.

    What is left in `change` is not the shading that turns with the view.
    """

    pictures: CrossView
    change: CrossView


def cross_view(
    pictures: Pictures,
    mesh: Callable[[int], tuple[np.ndarray, np.ndarray]],
    neutral: Pictures,
    neutral_mesh: Callable[[int], tuple[np.ndarray, np.ndarray]],
    cells: Sequence[Cell],
    track: Track,
    faces: np.ndarray,
) -> Agreement | None:
    """Spread over views of the same surface point; meshes give vertices and normals [V,3] of a frame.

    neutral, neutral_mesh: the same views and frames without the emotion. None where no frame has two views.
    """
    frames: dict[int, list[int]] = {}
    for view, frame in cells:
        frames.setdefault(frame, []).append(view)
    several = [frame for frame, views in sorted(frames.items()) if len(views) > 1]
    if not several:
        return None
    shown, changed = [], []
    for frame in evenly(several, MOST_SPREAD_FRAMES):
        views = evenly(sorted(frames[frame]), MOST_SPREAD_VIEWS)
        cameras = [track.cameras[view] for view in views]
        masks = [head_mask(track, view, frame) for view in views]
        values, seen = lift([pictures((v, frame)) for v in views], masks, *mesh(frame), faces, cameras)
        before, known = lift(
            [neutral((v, frame)) for v in views], masks, *neutral_mesh(frame), faces, cameras
        )
        shown.append((values, seen))
        changed.append((values - before, seen & known))
    return Agreement(*(_pooled(parts) for parts in (shown, changed)))


def _pooled(parts: list[tuple[np.ndarray, np.ndarray]]) -> CrossView:
    """The spread over the points of several frames."""
    found = [cross_view_spread(*part) for part in parts]
    found = [one for one in found if one.points]
    points = sum(one.points for one in found)
    if not points:
        return CrossView(float("nan"), 0)
    return CrossView(float(np.sqrt(sum(one.spread**2 * one.points for one in found) / points)), points)


def change_beside(
    head: Head, play: Play, neutral: Play, cells: Sequence[Cell], track: Track, edits: Edits | None, truth: Truth | None
) -> ChangeOutside:  # fmt: skip
    """Change outside the dilated masks, over what the avatar covers; masks of the edits, else of the face's mesh.

    The effect inside is compared with the truth's over the cells it has.
    """
    chosen = evenly(list(cells), MOST_CHANGED)
    known = [cell for cell in truth.cells if cell in set(chosen)] if truth else []
    if truth and not known:
        known = evenly(truth.cells, MOST_CHANGED)
        chosen = known
    reach = _reach(track.cameras[chosen[0][0]].height)
    emotional, rest, inside, region = (
        _stacked(chosen, part)
        for part in (
            play.picture,
            neutral.picture,
            lambda cell: _inside(head, play, neutral, cell, track, edits, reach),
            lambda cell: play.coverage(cell) | neutral.coverage(cell),
        )
    )
    true_change = None
    if truth and known:
        at = [chosen.index(cell) for cell in known]
        where = inside[at] & np.stack([truth.mask(cell) for cell in known])
        true_change = mean_change(
            np.stack([truth.picture(cell) for cell in known]),
            np.stack([track.picture(*cell) for cell in known]),
            where,
        )
    return change_outside(emotional, rest, inside, region, true_change)


def _inside(
    head: Head, play: Play, neutral: Play, cell: Cell, track: Track, edits: Edits | None, reach: int
) -> np.ndarray:
    camera = track.cameras[cell[0]]
    mask = edits.mask(cell) if edits and cell in edits.masks else None
    if mask is None:
        seen = [visible_faces(head, torch.from_numpy(p.vertices(cell[1])), camera) for p in (play, neutral)]
        mask = region_mask(head, seen[0], EXPRESSIVE) | region_mask(head, seen[1], EXPRESSIVE)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), brush).astype(bool)


def _reach(height: int) -> int:
    return max(1, round(DILATION * height))


def _stacked(cells: Sequence[Cell], part: Pictures) -> np.ndarray:
    return np.stack([part(cell) for cell in cells])
