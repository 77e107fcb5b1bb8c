"""Score an avatar against the pictures of a track: one protocol for fit's report and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from emoga.camera import Camera
from emoga.capture import HeldOut, Track
from emoga.head import HeadParams
from emoga.optimize.backdrop import backdrops
from emoga.optimize.metrics import Likeness, PictureLikeness, average, binary_mask, compare
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.regions import EYES, MOUTH, region_mask, visible_faces
from emoga.progress import Reporter, Stage, Step, silent

Item = TypeVar("Item")

SPLITS = ("training", "views", "frames", "both")
PROTOCOL = (
    "head mask: foreground above the neck boundary, hair in, clothing out, alpha of at least one half",
    "PSNR: 8-bit sRGB, MSE over mask pixels x 3, per picture, then averaged (not full frame)",
    "SSIM: Gaussian sigma 1.5, 11x11, data range 1, white outside the mask, averaged over it",
    "mouth, eyes: PSNR inside the mask where the mesh shows lips and mouth interior, lids and eyeballs",
    "the avatar is drawn over the view's own backdrop colour (median outside the foreground mask)",
)


@dataclass(frozen=True)
class PictureScore:
    """Figures of one picture of a track."""

    view: int
    frame: int
    likeness: PictureLikeness


@dataclass(frozen=True)
class Comparison:
    """One picture, drawn and compared: truth and result uint8 [H,W,3], mask bool [H,W]."""

    score: PictureScore
    truth: np.ndarray
    result: np.ndarray
    mask: np.ndarray


def split_pictures(held_out: HeldOut, views: int, frames: int) -> dict[str, list[tuple[int, int]]]:
    """(view, frame) pairs of the training pictures and of each held-out kind."""
    training_views, training_frames = held_out.training_views(views), held_out.training_frames(frames)
    pairs = {
        "training": (training_views, training_frames),
        "views": (held_out.views, training_frames),
        "frames": (training_views, held_out.tested_frames),
        "both": (held_out.views, held_out.tested_frames),
    }
    return {name: [(v, f) for v in vs for f in fs] for name, (vs, fs) in pairs.items()}


def evenly(values: Sequence[Item], most: int | None) -> list[Item]:
    """At most `most` of the values, spread evenly over them."""
    if most is None or len(values) <= most:
        return list(values)
    return [values[index] for index in np.linspace(0, len(values) - 1, most).round().astype(int)]


def head_mask(track: Track, view: int, frame: int) -> np.ndarray:
    """bool [H,W] where likeness is measured: the head mask, else the foreground, else everything."""
    for masks in (track.head_masks, track.masks):
        if masks is not None:
            return binary_mask(masks[view, frame])
    camera = track.cameras[view]
    return np.ones((camera.height, camera.width), bool)


def compare_pictures(
    renderer: AvatarRenderer,
    track: Track,
    pairs: Sequence[tuple[int, int]],
    *,
    params: HeadParams | None = None,
    cameras: Sequence[Camera] | None = None,
) -> Iterator[Comparison]:
    """Draw the avatar in every (view, frame) of `pairs` and compare it with the track's picture.

    params, cameras: refined ones to use in place of the track's.
    """
    params = track.params if params is None else params
    head = renderer.puppet.head
    colors, _ = backdrops(track)
    # Frames outside, views inside: a posed mesh serves all its views.
    for view, frame in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        camera = (cameras or track.cameras)[view]
        truth = track.picture(view, frame)
        result = renderer.picture(params, frame, camera, colors[view])
        seen = visible_faces(head, renderer.puppet.pose(params, frame).vertices, camera)
        mouth, eyes = (region_mask(head, seen, names) for names in (MOUTH, EYES))
        mask = head_mask(track, view, frame)
        likeness = compare(result, truth, mask, mouth, eyes)
        yield Comparison(PictureScore(view, frame, likeness), truth, result, mask)


def score_split(
    renderer: AvatarRenderer,
    track: Track,
    pairs: Sequence[tuple[int, int]],
    *,
    params: HeadParams | None = None,
    cameras: Sequence[Camera] | None = None,
    name: str = "score",
    report: Reporter = silent,
) -> tuple[Likeness, list[PictureScore]]:
    """Average figures over `pairs`, and those of every picture."""
    report(Stage(name, len(pairs)))
    scores = []
    for comparison in compare_pictures(renderer, track, pairs, params=params, cameras=cameras):
        scores.append(comparison.score)
        report(Step(len(scores), {"psnr": comparison.score.likeness.psnr}))
    return average(score.likeness for score in scores), scores
