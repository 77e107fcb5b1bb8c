"""evaluate: an avatar against the pictures of a track; evaluate_track: a track against landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emoga.avatar import Avatar, load_avatar
from emoga.capture import Landmarks, Track, load_landmarks, load_track, parse_hold_out
from emoga.errors import InputError
from emoga.evaluation.perceptual import Distance, load_lpips
from emoga.evaluation.report import HELD_OUT, EvaluationReport, TrackReport, write_json
from emoga.evaluation.sheet import worst_sheet
from emoga.files import check_output, write_bytes
from emoga.head import load_head
from emoga.images import write_png
from emoga.kernels import torch_on_one_thread
from emoga.motion.driving import check_same_head
from emoga.motion.motion import motion_of_track
from emoga.optimize.baseline import baseline_psnr
from emoga.optimize.frame_params import frame_params
from emoga.optimize.metrics import average
from emoga.optimize.metrics_landmarks import LandmarkError, landmark_error, project_landmarks
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.scoring import (
    SPLITS,
    Comparison,
    PictureScore,
    compare_pictures,
    evenly,
    split_pictures,
)
from emoga.progress import Reporter, Stage, Step, silent
from emoga.render.gsplat_kernels import resolve_device

WORST = 6
# Pictures of the training split that are measured: they cost time and are of the least interest.
MOST_TRAINING = 64


def evaluate(
    avatar: Avatar | str | Path,
    track: Track | str | Path,
    *,
    hold_out: Sequence[str] | None = None,
    media: str | Path | None = None,
    output: str | Path | None = None,
    csv: str | Path | None = None,
    sheet: str | Path | None = None,
    max_pictures: int | None = None,
    baseline: bool = True,
    weights: str | Path | None = None,
    backend: str = "auto",
    device: str = "cpu",
    overwrite: bool = False,
    report: Reporter = silent,
) -> EvaluationReport:
    """Compare an avatar with a track's pictures, training and held out.

    avatar, track: records or files; media: where the track's media lies now. hold_out: default is what the
    avatar's fit held out, else what the track says. output, csv, sheet: files to write as JSON, CSV (one
    line per picture) and PNG (the worst pictures: truth, render, error). max_pictures: at most so many per
    split, spread evenly; default all held-out ones and 64 training ones. baseline: also measure guesses
    without an avatar. weights: folder with LPIPS weights.

    Raises InputError when avatar and track have different heads, MissingComponent for a GPU that cannot be used.
    """
    for path in (output, csv, sheet):
        if path is not None and str(path) != "-":
            check_output(path, overwrite)
    avatar = avatar if isinstance(avatar, Avatar) else load_avatar(avatar)
    track = track if isinstance(track, Track) else load_track(track, media)
    renderer = AvatarRenderer(avatar, device=resolve_device(device), backend=backend)
    check_same_head(motion_of_track(track), renderer.puppet.head)
    track = _with_hold_out(track, avatar, hold_out)
    pairs = split_pictures(track.held_out, len(track.cameras), track.frame_count)
    distance, missing = load_lpips(weights)
    splits, lpips, worst = {}, {}, []
    for name in SPLITS:
        chosen = evenly(pairs[name], max_pictures or (MOST_TRAINING if name == "training" else None))
        with torch_on_one_thread():
            scores, values, bad = _measure(renderer, avatar, track, name, chosen, distance, report)
        splits[name] = scores
        worst += bad
        if values:
            lpips[name] = float(np.mean(values))
    found = EvaluationReport(
        training=average(score.likeness for score in splits["training"]),
        held_out={
            name: average(score.likeness for score in splits[name]) if splits[name] else None
            for name in HELD_OUT
        },
        baseline_psnr=baseline_psnr(track, track.held_out) if baseline else float("nan"),
        landmarks=_landmarks_of(track, track.landmarks),
        pictures=splits,
        lpips=lpips,
        lpips_missing=missing,
    )
    _write(found, worst, output, csv, sheet, overwrite)
    return found


def evaluate_track(
    track: Track | str | Path,
    landmarks: Landmarks | str | Path | None = None,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> TrackReport:
    """Landmark error of a track against a landmark file (one camera), or against the landmarks it holds.

    A file covers the media, of which the track may use some frames. Raises InputError when they do not fit.
    """
    if output is not None and str(output) != "-":
        check_output(output, overwrite)
    track = track if isinstance(track, Track) else load_track(track)
    source = "the track"
    reference = track.landmarks
    if isinstance(landmarks, Landmarks):
        reference, source = landmarks, "given"
    elif landmarks is not None:
        reference, source = _read_landmarks(track, Path(landmarks)), str(landmarks)
    if reference is None:
        raise InputError("the track holds no landmarks; name a landmark file to compare with")
    error = _landmarks_of(track, reference)
    assert error is not None
    found = TrackReport(error, _per_frame(track, reference), source)
    if output is not None:
        write_json(output, found.to_dict(), overwrite)
    return found


def _with_hold_out(track: Track, avatar: Avatar, hold_out: Sequence[str] | None) -> Track:
    """The track with the hold-out that was asked for, else that of the avatar's fit, else its own."""
    if hold_out is None:
        hold_out = avatar.provenance.get("hold_out")
    if not hold_out:
        return track
    return replace(track, held_out=parse_hold_out(hold_out, len(track.cameras), track.frame_count))


def _measure(
    renderer: AvatarRenderer,
    avatar: Avatar,
    track: Track,
    name: str,
    pairs: list[tuple[int, int]],
    distance: Distance | None,
    report: Reporter,
) -> tuple[list[PictureScore], list[float], list[tuple[str, Comparison]]]:
    """Scores and LPIPS of every picture, and the few worst pictures themselves."""
    scores: list[PictureScore] = []
    values: list[float] = []
    worst: list[tuple[str, Comparison]] = []
    if not pairs:
        return scores, values, worst
    report(Stage(f"evaluate {name}", len(pairs)))
    for comparison in compare_pictures(renderer, track, pairs, params=frame_params(avatar, track)):
        scores.append(comparison.score)
        if distance is not None:
            values.append(distance(comparison.result, comparison.truth, comparison.mask))
        worst = sorted([*worst, (name, comparison)], key=_badness)[:WORST]
        report(Step(len(scores), {"psnr": comparison.score.likeness.psnr}))
    return scores, values, worst


def _badness(entry: tuple[str, Comparison]) -> float:
    return entry[1].score.likeness.psnr


def _landmarks_of(track: Track, reference: Landmarks | None) -> LandmarkError | None:
    if reference is None:
        return None
    head = load_head(track.head_name)
    return landmark_error(*project_landmarks(head, track.params, track.cameras, reference.scheme), reference)


def _per_frame(track: Track, reference: Landmarks) -> list[float]:
    head = load_head(track.head_name)
    points, facing = project_landmarks(head, track.params, track.cameras, reference.scheme)
    return [
        landmark_error(points[:, t : t + 1], facing[:, t : t + 1], reference.frames(np.array([t]))).mean_px
        for t in range(track.frame_count)
    ]


def _read_landmarks(track: Track, path: Path) -> Landmarks:
    if len(track.cameras) != 1:
        raise InputError(f"{path}: holds landmarks of one camera, the track has {len(track.cameras)}")
    camera = track.cameras[0]
    whole = load_landmarks(path, len(track.pictures(0)), camera.width, camera.height)
    return whole.frames(track.frames)


def _write(
    found: EvaluationReport,
    worst: list[tuple[str, Comparison]],
    output: str | Path | None,
    csv: str | Path | None,
    sheet: str | Path | None,
    overwrite: bool,
) -> None:
    if output is not None:
        write_json(output, found.to_dict(), overwrite)
    if csv is not None:
        write_bytes(csv, found.csv().encode(), overwrite)
    if sheet is not None:
        # Held-out pictures tell more; training ones are shown when there are no others.
        held_out = [entry for entry in worst if entry[0] != "training"]
        write_png(sheet, worst_sheet(sorted(held_out or worst, key=_badness)[:WORST]), overwrite)
