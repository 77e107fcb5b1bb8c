"""`emoga track`: from a face video or a calibrated capture to pose, expression and shape over time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import emoga
from emoga.camera import Camera
from emoga.capture import Track, save_track
from emoga.errors import InputError
from emoga.files import check_output
from emoga.head import Head, HeadParams, load_head
from emoga.optimize.outline import fit_outline
from emoga.optimize.solving_points import landmark_points
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.progress import Note, Reporter, silent
from emoga.tracking.alignment import SKIN, WHOLE, align
from emoga.tracking.appearance import fit_appearance
from emoga.tracking.calibrated import check_cameras
from emoga.tracking.checkpoint import checkpoint_path, fingerprint, load_checkpoint, save_checkpoint
from emoga.tracking.downscaling import fit_to_memory, free_memory_mb
from emoga.tracking.given import take_over
from emoga.tracking.inputs import Clip, open_clip
from emoga.tracking.lids import lids_as_seen
from emoga.tracking.likeness import align_to_portrait, portrait_for
from emoga.tracking.lips import lips_as_shown
from emoga.tracking.outline import Outline
from emoga.tracking.overlay import write_overlay, write_quality_plot
from emoga.tracking.quality import error_per_frame, landmark_errors, landmark_figures
from emoga.tracking.report import closed_mouth_error, jitter, never_seen, summary
from emoga.tracking.silhouettes import make_masks
from emoga.tracking.stages import EFFORTS, Tracker, solve_motion, solve_shape, start_state
from emoga.tracking.start import guess_camera
from emoga.tracking.texture import unwrap
from emoga.tracking.torso import torso_at_rest
from emoga.tracking.uncalibrated import recover_cameras

PORTRAITS = 2


def track(
    source: str | Path,
    output: str | Path,
    *,
    landmarks: str | Path | None = None,
    landmark_model: str | Path | None = None,
    masks: str | Path | None = None,
    head: str = "open",
    hold_out: Sequence[str] = (),
    preset: str = "default",
    start: int | None = None,
    end: int | None = None,
    fov: float | None = None,
    convention: str | None = None,
    as_given: bool = False,
    overlay: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter = silent,
) -> Track:
    """Track one head through a video, an image, a capture or a dataset folder and write `output` (track.h5).

    landmarks: .npz file (one camera) or a folder of <camera>.npz; without it the capture's own, else those of
    MediaPipe with `landmark_model` or with the file that the user added, else those of emoga's own detector. masks:
    folder of alpha pictures. start, end: frames of the source, end exclusive. fov: vertical field of view in
    degrees of an uncalibrated video, else estimated. convention: one
    of emoga.capture.CONVENTIONS, when a dataset's cameras are not written in that of its layout. as_given: take the
    FLAME parameters that a VHAP folder brings as they are, without landmarks and without solving anything. Writes
    `<stem>.overlay.mp4` and `<stem>.quality.png` beside the output unless `overlay` is false.

    Solving runs on the CPU in float64 whatever `device` says, and draws random numbers from fixed seeds only, so
    `seed` changes nothing.

    Raises InputError for unusable input, MissingComponent when `landmark_model` is given without MediaPipe.
    """
    begun = time.monotonic()
    output = check_output(output, overwrite)
    beside = _companions(output, overlay, overwrite)
    if preset not in EFFORTS:
        raise InputError(f"unknown preset {preset!r}; known: {', '.join(EFFORTS)}")
    model = load_head(head).to("cpu", torch.float64)
    if as_given:
        result = take_over(source, model, hold_out, start, end, convention, report)
        save_track(result, output, overwrite)
        if overlay:
            vertices = model.vertices(result.params.to(dtype=torch.float64))
            write_overlay(result, model, vertices, beside[0], overwrite, report)
        return result
    clip = open_clip(source, landmarks, landmark_model, masks, hold_out, start, end, convention, report)
    clip = fit_to_memory(clip, free_memory_mb(), report)
    if clip.landmarks.scheme not in model.landmarks:
        raise InputError(f"the {head} head has no embedding for {clip.landmarks.scheme} landmarks")
    check_cameras(clip, model, stated=convention is not None)
    if len(clip.capture.pictures) > 1 and not clip.calibrated:
        recover_cameras(clip, model, EFFORTS[preset], fov, report)
    tracker = Tracker(
        clip, model, _cameras(clip, model, fov), EFFORTS[preset], PriorWeights(), report,
        fov is not None,
    )  # fmt: skip
    if len(tracker.cuts):
        words = ", ".join(str(clip.frames[cut]) for cut in tracker.cuts[:10])
        report(
            Note(f"{source}: the face jumps at frame {words}: taken for cuts, over which nothing is smoothed")
        )
    mark = fingerprint(
        {
            "preset": preset,
            "head": model.checksum,
            "fov": fov,
            "convention": convention,
            "hold_out": list(hold_out),
            "version": emoga.__version__,
        },
        [clip.landmarks.points, clip.landmarks.valid, clip.frames],
    )
    with torch.no_grad():
        state, figures = _run_stages(tracker, checkpoint_path(output), mark, resume)
        result = _result(tracker, state)
        vertices = model.vertices(result.params.to(dtype=torch.float64))
        result.masks, result.head_masks = make_masks(clip, model, result.cameras, vertices, report)
        if len(clip.views) == 1:
            result, state = _follow_outline(tracker, result, state)
            vertices = model.vertices(result.params.to(dtype=torch.float64))
        light, error = fit_appearance(tracker, state)
        result = replace(result, lighting=light, quality=result.quality | {"photometric": error})
        result.texture = unwrap(result, model, vertices)
        _add_quality(result, model, vertices, figures, clip.recovered, tracker.cuts)
        result.provenance.update(
            preset=preset,
            detector=clip.landmarks.source,
            seed=seed,
            seconds=round(time.monotonic() - begun, 2),
        )
        save_track(result, output, overwrite)
        if overlay:
            with ThreadPoolExecutor(1, thread_name_prefix="emoga-plot") as beside_it:
                plot = beside_it.submit(write_quality_plot, result, beside[1], overwrite)
                write_overlay(result, model, vertices, beside[0], overwrite, report)
                plot.result()
    checkpoint_path(output).unlink(missing_ok=True)
    return result


def _companions(output: Path, wanted: bool, overwrite: bool) -> list[Path]:
    files = [output.with_name(f"{output.stem}.overlay.mp4"), output.with_name(f"{output.stem}.quality.png")]
    return [check_output(file, overwrite) for file in files] if wanted else files


def _cameras(clip: Clip, head: Head, fov: float | None) -> list[Camera]:
    if clip.cameras is not None:
        return clip.cameras
    source = clip.capture.pictures[0]
    model = landmark_points(head, clip.landmarks.scheme).on_mesh(head.template).numpy()
    return [guess_camera(clip.landmarks, model, source.width, source.height, fov, clip.capture.names[0])]


def _run_stages(
    tracker: Tracker, checkpoint: Path, mark: str, resume: bool
) -> tuple[State, dict[str, float]]:
    """Run the stages that are not in the checkpoint yet; each one's state is stored exactly."""
    found = load_checkpoint(checkpoint, mark) if resume else None
    done, figures = 0, {"focal_log_spread": 0.0}
    if found is None:
        state = start_state(tracker)
    else:
        done, state, extra = found
        figures["focal_log_spread"] = float(extra["focal_log_spread"][0])
        tracker.report(Note(f"resuming after stage {done} of {len(STAGES)}"))
    for number, stage in enumerate(STAGES, start=1):
        if number <= done:
            continue
        state = stage(tracker, state, figures)
        extra = {
            "focal_log_spread": torch.tensor([figures["focal_log_spread"]], dtype=torch.float64),
        }
        save_checkpoint(checkpoint, mark, number, state, extra)
    return state, figures


def _shape_stage(tracker: Tracker, state: State, figures: dict[str, float]) -> State:
    state, figures["focal_log_spread"] = solve_shape(tracker, state)
    return state


def _motion_stage(tracker: Tracker, state: State, figures: dict[str, float]) -> State:
    return solve_motion(tracker, state)


def _alignment_stage(tracker: Tracker, state: State, figures: dict[str, float]) -> State:
    aligned = align(tracker, state, SKIN, "align the face", tracker.effort.face_passes)
    return lids_as_seen(tracker, state, aligned)


def _torso_stage(tracker: Tracker, state: State, figures: dict[str, float]) -> State:
    return torso_at_rest(tracker, state)


STAGES = (_shape_stage, _motion_stage, _alignment_stage, _torso_stage)


def _follow_outline(tracker: Tracker, result: Track, state: State) -> tuple[Track, State]:
    """Bring skull, hair and ears to the outline of the training masks, then align the whole head.

    One camera's landmarks say little about small turns, which hair and ears show well. What they look like off
    the mesh is learnt last, and again from poses that are better for it.
    """
    shown = result.held_out.training_frames(result.frame_count)
    pairs = [(tracker.clip.views[0], frame) for frame in shown]
    params = fit_outline(tracker.head, result, result.params, pairs, tracker.report)
    outline = Outline.of(tracker, result.head_masks) if tracker.effort.outline else None
    before = tracker.with_form(state, params.static_offset)
    aligned = align(tracker, before, WHOLE, "align the head", tracker.effort.head_passes, outline)
    state = lids_as_seen(tracker, before, aligned)

    def tracked() -> Track:
        return replace(_result(tracker, state), masks=result.masks, head_masks=result.head_masks)

    for _ in range(PORTRAITS):
        portrait = portrait_for(tracker, tracked())
        if portrait is None:
            return tracked(), state
        state = lids_as_seen(tracker, state, align_to_portrait(tracker, tracked(), portrait, state))
    # One learnt from lips moved by a portrait would see them where that one did.
    state = lips_as_shown(tracker, tracked(), portrait, state)
    return tracked(), state


def _result(tracker: Tracker, state: State) -> Track:
    """The track a state stands for, its focal length put into the camera, in float32."""
    clip, head = tracker.clip, tracker.head
    params, cameras = state.params, tracker.cameras
    if not clip.calibrated:
        params, cameras = _centred(params, cameras, float(torch.exp(state.log_focal)))
    # Far from the face offsets vanish; rounded to a nanometre they vanish alike in every run.
    offset = torch.tensordot(state.warp, tracker.warp_basis, 1).mul(1e9).round().div(1e9)
    params = replace(params, static_offset=offset).to(dtype=torch.float32)
    return Track(
        head.name, head.version, head.checksum, params, cameras,
        [pictures.path for pictures in clip.capture.pictures], clip.frames, clip.capture.fps or 25.0,
        landmarks=clip.landmarks, held_out=clip.held_out,
        calibrated=clip.calibrated and clip.recovered is None, downscaled=clip.downscaled,
        opened=dict(enumerate(clip.capture.pictures)),
    )  # fmt: skip


def _centred(params: HeadParams, cameras: list[Camera], factor: float) -> tuple[HeadParams, list[Camera]]:
    """Put the world's origin at the head's middle place along the axis, and the solved focal into K."""
    camera = cameras[0]
    K, w2c = camera.K.copy(), camera.w2c.copy()
    K[0, 0] *= factor
    K[1, 1] *= factor
    shift = params.translation[:, 2].median()
    w2c[2, 3] -= float(shift)
    translation = params.translation.clone()
    translation[:, 2] -= shift
    return replace(params, translation=translation), [replace(camera, K=K, w2c=w2c)]


def _add_quality(
    result: Track,
    head: Head,
    vertices: torch.Tensor,
    figures: dict[str, Any],
    recovered: Sequence[float] | None,
    cuts: np.ndarray,
) -> None:
    error, counts = landmark_errors(result, head, vertices)
    training = result.held_out.training_views(len(result.cameras))
    marks = result.landmarks
    per_frame = error_per_frame(error, counts)
    result.quality["landmark_error_px"] = per_frame
    height = None
    if marks.scheme == "mediapipe478" and marks.valid[training].any():
        height = replace(marks, points=marks.points[training], valid=marks.valid[training]).face_height()
    result.quality["confidence"] = _confidence(per_frame[training], height)
    result.quality["jitter_px"] = jitter(result.cameras, head, vertices)
    if height is not None:
        result.quality["closed_mouth_error"] = closed_mouth_error(result, head, vertices, height)
    report = {
        "landmarks": landmark_figures(error[training], counts[training], height),
        "quality": summary(result.quality, never_seen(result, head, vertices)),
    }
    if not result.calibrated:
        spreads = [figures["focal_log_spread"]] if recovered is None else recovered
        report["focal"] = _focal_figures(result.cameras, spreads)
    result.provenance.update(
        report, cuts=[int(cut) for cut in cuts], version=emoga.__version__, threads=torch.get_num_threads()
    )


def _focal_figures(cameras: list[Camera], spreads: Sequence[float]) -> dict[str, Any]:
    """Focal lengths as they were estimated: of the only camera, else one of each."""
    figures = {
        "pixels": [float(camera.K[0, 0]) for camera in cameras],
        "relative_uncertainty": [float(spread) for spread in spreads],
        "fov_y_degrees": [float(np.degrees(camera.fov_y)) for camera in cameras],
    }
    return figures if len(cameras) > 1 else {name: value[0] for name, value in figures.items()}


def _confidence(error: np.ndarray, height: float | None) -> np.ndarray:
    """1 at no error, 0.5 at three hundredths of a face height, 0 without a face; [T]."""
    scale = 0.03 * (height or 200.0)
    best = np.nanmin(np.where(np.isnan(error), np.inf, error), axis=0)
    return np.where(np.isfinite(best), 1 / (1 + (best / scale) ** 2), 0.0)
