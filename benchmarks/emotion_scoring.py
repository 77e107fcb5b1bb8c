"""Scores one case: a performer's learnt emotion against the truth, the edits and the peers, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from emotion_figures import beyond, changed, dilated, psnrs, views_noise_error, views_temporal_error
from emotion_films import Reel
from emotion_methods import Edited
from emotion_peers import uv_change_pictures, uv_mean_pictures
from emotion_playing import pictures_of

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.evaluation.emotion_play import Play
from emoga.head import Head
from emoga.optimize.metrics_emotion import change_outside, displacement_reached, flicker, mean_change


@dataclass(frozen=True)
class Case:
    """One performer and emotion: the person before it, and what is learnt from and scored on."""

    name: str
    emotion: str
    person: Avatar
    track: Track
    learnt_from: Reel
    scored: Reel

    @property
    def shape(self) -> tuple[int, int]:
        """Views and frames that are scored."""
        return len(self.scored.views), len(self.scored.frames)

    def stacked(self, pictures: np.ndarray) -> np.ndarray:
        """Scored pictures [P,...] as [C,T,...]."""
        return pictures.reshape(*self.shape, *pictures.shape[1:])


def picture_row(case: Case, method: str, pictures: np.ndarray, **more: Any) -> dict[str, Any]:
    """PSNR of scored pictures [P,H,W,3], in the head mask and where the emotion shows in it."""
    reel = case.scored
    whole = psnrs(pictures, reel.truth, reel.masks)
    region = psnrs(pictures, reel.truth, reel.masks & changed(reel.truth, reel.before))
    return {
        "case": case.name,
        "method": method,
        "psnr": float(whole.mean()),
        "psnr_worst_picture": float(whole.min()),
        "psnr_edited": float(np.nanmean(region)),
        **more,
    }


def edits_row(case: Case, edits: Edited, method: str) -> dict[str, Any]:
    """The edits that were learnt from against the truth of the same pictures."""
    reel = case.learnt_from
    values = psnrs(edits.record.edited, reel.truth, reel.masks)
    return {
        "case": case.name,
        "method": method,
        "psnr_on_edits": float(values.mean()),
        "psnr_on_edits_not_failed": float(values[~edits.failed].mean()),
        "failed": int(edits.failed.sum()),
        "shares": edits.report.get("shares"),
    }


def learnt_row(
    case: Case, method: str, playing: Play, pictures: np.ndarray, seconds: float
) -> dict[str, Any]:
    """A learnt avatar on the scored pictures, and on the very pictures that were edited."""
    reel = case.learnt_from
    own = psnrs(pictures_of(playing, reel.pairs), reel.truth, reel.masks)
    return picture_row(
        case, method, pictures, psnr_on_edits=float(own.mean()), seconds_to_learn=round(seconds, 1)
    )


def peer_pictures(case: Case, head: Head, edits: Edited, geometry: Play) -> dict[str, np.ndarray]:
    """Scored pictures [P,H,W,3] of both kinds of UV mean, on the learnt mesh over `geometry`'s renders."""
    train, scored, cameras = case.learnt_from, case.scored, case.track.cameras
    drawn, renders = pictures_of(geometry, scored.pairs), pictures_of(geometry, train.pairs)
    meshes = {frame: geometry.vertices(frame) for frame in {*train.frames, *scored.frames}}
    posed, wanted = ([meshes[frame] for _, frame in reel.pairs] for reel in (train, scored))
    at, to = ([cameras[view] for view, _ in reel.pairs] for reel in (train, scored))
    pictures = edits.record.edited
    return {
        "uv mean": uv_mean_pictures(head, pictures, posed, at, drawn, wanted, to),
        "uv mean of changes": uv_change_pictures(head, pictures, renders, posed, at, drawn, wanted, to),
    }


def motion_figures(
    case: Case, head: Head, pictures: np.ndarray, edits: Edited, playing: Play, still: Play
) -> dict[str, Any]:
    """Flicker and displacement. edits: of the scored pictures, made for this alone; still: without emotion."""
    reel = case.scored
    face = head.regions["face"].numpy()
    moved = np.stack([playing.vertices(frame) - still.vertices(frame) for frame in reel.frames])[:, face]
    true = (reel.emotion.vertices - reel.neutral.vertices)[:, face]
    reached = displacement_reached(moved, true)
    faces = head.faces.numpy()
    truth, masks = case.stacked(reel.truth), case.stacked(reel.masks)
    surface = (truth, masks, reel.emotion.vertices, faces, reel.emotion.cameras)
    ours = views_temporal_error(case.stacked(pictures), *surface)
    theirs = case.stacked(edits.record.edited)
    clean = views_temporal_error(theirs, *surface, usable=case.stacked(~edits.failed))
    noise = views_noise_error(reel.noise_psnr, *surface[1:])
    found = flicker(ours, clean, reached.share, noise)
    calm = pictures_of(still, reel.pairs)
    quiet = views_temporal_error(
        case.stacked(calm), case.stacked(reel.before), case.stacked(reel.neutral_masks), reel.neutral.vertices,
        faces, reel.emotion.cameras,
    )  # fmt: skip
    with_failed = flicker(ours, views_temporal_error(theirs, *surface), reached.share)
    without = flicker(quiet, clean, 1.0).ratio
    return {
        "flicker": found.ratio,
        "flicker_valid": bool(found.valid),
        "flicker_with_failed_edits": with_failed.ratio,
        "flicker_without_emotion": without,
        "flicker_of_noise": found.floor,
        "flicker_beyond_noise": beyond(found.ratio, found.floor),
        "flicker_of_emotion": beyond(found.ratio, without),
        "psnr_without_emotion": float(psnrs(calm, reel.before, reel.neutral_masks).mean()),
        "displacement_share": reached.share,
        "displacement_cosine": reached.cosine,
        "displacement_mm": reached.result_mm,
        "displacement_truth_mm": reached.truth_mm,
        "displacement_rmse_mm": reached.rmse_mm,
    }


def outside_figures(case: Case, pictures: np.ndarray, still: Play) -> dict[str, Any]:
    """Change, in levels of 255, where the truth does not change, dilated; pictures and `still` share the pose."""
    reel = case.scored
    before = pictures_of(still, reel.pairs)
    inside = dilated(changed(reel.truth, reel.before))
    true_change = mean_change(reel.truth, reel.before, inside)
    found = change_outside(pictures, before, inside, truth_change=true_change)
    in_head = change_outside(pictures, before, inside, reel.masks, true_change)
    return {
        "change_outside": found.mean,
        "change_outside_in_head": in_head.mean,
        "change_outside_valid": bool(found.valid),
        "effect_inside": found.effect,
    }
