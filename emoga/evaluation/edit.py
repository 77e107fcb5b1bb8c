"""evaluate_edit: an edited avatar beside the one it was made from: words, truth, agreement, locality, identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emoga.avatar import Avatar, load_avatar
from emoga.capture import Capture, Track, load_track
from emoga.errors import InputError
from emoga.evaluation.clip import Clip
from emoga.evaluation.edit_measure import (
    change_outside,
    clip_of_change,
    cross_view,
    identity_distance,
    likeness,
    temporal_ratio,
)
from emoga.evaluation.edit_report import EditEvaluation
from emoga.evaluation.emotion_play import Play, Player
from emoga.evaluation.emotion_truth import read_truth
from emoga.evaluation.networks import ARCFACE, NO_ARCFACE, arcface_file, load_network
from emoga.evaluation.perceptual import load_lpips
from emoga.evaluation.report import write_json
from emoga.files import check_output, write_bytes
from emoga.kernels import torch_on_one_thread
from emoga.motion import Motion, load_motion
from emoga.motion.driving import check_same_head
from emoga.motion.motion import motion_of_track
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.scoring import evenly, split_pictures
from emoga.progress import Reporter, Stage, Step, silent

MOST_VIEWS, MOST_FRAMES = 4, 6  # of each kind that are looked at


def evaluate_edit(
    edited: Avatar | str | Path,
    original: Avatar | str | Path,
    track: Track | str | Path,
    *,
    prompt: str = "",
    words: tuple[str, str] | None = None,
    truth: Sequence[Capture | Track | str | Path] = (),
    regions: Sequence[str] = (),
    motion: Motion | str | Path | None = None,
    clip: str | Path | None = None,
    arcface: str | Path | None = None,
    weights: str | Path | None = None,
    media: str | Path | None = None,
    output: str | Path | None = None,
    csv: str | Path | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> EditEvaluation:
    """Measure an edit in a track's views and frames, both avatars played alike.

    prompt: what was asked; words: descriptions before and after for CLIP, made of the prompt if None. truth: captures
    or tracks of the performer with the true edit, over the same speech. regions: of the head that the edit names,
    outside of which nothing should change. motion: another's, for cross-reenactment. clip: a folder of transformers;
    arcface: an ONNX network; weights: folder of LPIPS' backbone. output, csv: files to write.

    Raises InputError for what does not fit together, MissingComponent for a package that a network needs.
    """
    for path in (output, csv):
        if path is not None and str(path) != "-":
            check_output(path, overwrite)
    name = Path(edited).stem if isinstance(edited, str | Path) else "avatar"
    after, before = (a if isinstance(a, Avatar) else load_avatar(a) for a in (edited, original))
    track = track if isinstance(track, Track) else load_track(track, media)
    found = EditEvaluation(name, prompt)
    model = None if clip is None else Clip(clip)
    arcface = arcface_file(arcface)
    network = None if arcface is None else load_network(arcface, ARCFACE)
    with torch_on_one_thread():
        players = [Player(AvatarRenderer(avatar), track) for avatar in (after, before)]
        for player in players:
            check_same_head(motion_of_track(track), player.head)
        _check_regions(regions, players[0].head.region_names)
        pair = players[0].play(None), players[1].play(None)
        views, frames = _chosen(track)
        report(Stage("measure the edit", 5))
        texts = words or (_described(prompt) if prompt else None)
        _clip_rows(found, model, texts, players, pair, track, views, frames, motion)
        report(Step(1))
        if truth:
            known = read_truth(list(truth), track)
            distance, found.missing["lpips"] = load_lpips(weights)
            if not found.missing["lpips"]:
                del found.missing["lpips"]
            found.likeness, found.pictures = likeness(known, pair, track, distance)
        else:
            found.missing["likeness"] = "no truth was named (--truth DIR)"
        report(Step(2))
        cells = [(view, frame) for view in views for frame in frames]
        found.cross_view = cross_view(players[0].head, pair, track, views, frames)
        found.temporal = temporal_ratio(players[0].head, pair, track, views, track.frame_count)
        report(Step(3))
        if regions:
            found.outside = change_outside(players, pair, track, cells, tuple(regions))
        else:
            found.missing["outside"] = "no region was named (--region lips,cheeks)"
        report(Step(4))
        if network is not None:
            found.identity = identity_distance(network, players[0].head, pair, track, cells)
        else:
            found.missing["identity"] = NO_ARCFACE
        report(Step(5))
    if output is not None:
        write_json(output, found.to_dict(), overwrite)
    if csv is not None:
        write_bytes(csv, found.csv().encode(), overwrite)
    return found


def _described(prompt: str) -> tuple[str, str]:
    """What a picture shows before and after: CLIP compares descriptions, and an instruction is half of one."""
    return "a photo of a person", f"a photo of a person, {prompt}"


def _chosen(track: Track) -> tuple[list[int], list[int]]:
    """Some held-out views and frames, or any where none is held out."""
    views = list(track.held_out.views) or list(range(len(track.cameras)))
    frames = track.held_out.tested_frames or list(range(track.frame_count))
    return evenly(views, MOST_VIEWS), evenly(frames, MOST_FRAMES)


def _clip_rows(
    found: EditEvaluation, model: Clip | None, texts: tuple[str, str] | None, players: list[Player],
    pair: tuple[Play, Play], track: Track, views: list[int], frames: list[int], motion: Motion | str | Path | None,
) -> None:  # fmt: skip
    if model is None or texts is None:
        found.missing["clip"] = (
            "no CLIP folder was named (--clip DIR)" if model is None else "no words were given (--prompt)"
        )
        return
    split = split_pictures(track.held_out, len(track.cameras), track.frame_count)
    training = evenly(sorted({frame for _, frame in split["training"]}), MOST_FRAMES)
    own = evenly(sorted({view for view, _ in split["training"]}), MOST_VIEWS)
    found.clip["novel view"] = clip_of_change(model, texts, pair, views, training)
    found.clip["self-reenactment"] = clip_of_change(model, texts, pair, own, frames)
    if motion is None:
        found.missing["clip, cross-reenactment"] = "no motion of another was named (--motion FILE)"
        return
    other = motion if isinstance(motion, Motion) else load_motion(motion)
    driven = tuple(player.play_motion(_as_long(other, track.frame_count)) for player in players)
    found.clip["cross-reenactment"] = clip_of_change(model, texts, driven, own, frames)


def _as_long(motion: Motion, frames: int) -> Motion:
    """So many frames of a motion, from its beginning and over again."""
    rows = [frame % motion.frame_count for frame in range(frames)]
    return replace(motion, params=motion.params.select(rows))


def _check_regions(regions: Sequence[str], names: Sequence[str]) -> None:
    for region in regions:
        if region not in names:
            raise InputError(f"--region {region}: no region of this head; known: {', '.join(names)}")
