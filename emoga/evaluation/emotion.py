"""evaluate_emotion: how well an avatar shows emotions, against truth, edits, a baseline motion and itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from emoga.avatar import Avatar, load_avatar
from emoga.capture import Capture, Track, load_track
from emoga.capture.detector import require_detector
from emoga.errors import InputError
from emoga.evaluation.emotion_edits import EditArrays
from emoga.evaluation.emotion_figures import (
    skin_vertices,
)
from emoga.evaluation.emotion_material import Material, gather
from emoga.evaluation.emotion_measure import Choices, measure
from emoga.evaluation.emotion_networks import NetworkFiles, Networks, load_networks
from emoga.evaluation.emotion_play import Player
from emoga.evaluation.emotion_report import EmotionEvaluation
from emoga.evaluation.emotion_sheet import SheetRow, emotion_sheet
from emoga.evaluation.heat_map import deformation, heat_sheet
from emoga.evaluation.networks import NO_ARCFACE
from emoga.evaluation.report import write_json
from emoga.files import check_output, write_bytes
from emoga.images import write_png
from emoga.kernels import torch_on_one_thread
from emoga.motion import Motion
from emoga.motion.driving import check_same_head
from emoga.motion.motion import motion_of_track
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.scoring import evenly
from emoga.progress import Reporter, silent
from emoga.render.gsplat_kernels import resolve_device

ROWS = 3  # of the sheet, per emotion

TruthSource = Capture | Track | str | Path
ABSENT = {
    "features": "no feature network was named (--features FILE)",
    "recogniser": "no emotion recogniser was named (--recogniser FILE)",
    "arcface": NO_ARCFACE,
    "vggface": "no VGG-Face network was named (--vggface FILE)",
    "clip": "no CLIP folder was named (--clip DIR)",
}


def evaluate_emotion(
    avatar: Avatar | str | Path,
    track: Track | str | Path,
    emotions: Sequence[str],
    *,
    truth: Mapping[str, Sequence[TruthSource] | TruthSource] | None = None,
    neutral_truth: str | Path | None = None,
    edits: Mapping[str, EditArrays | str | Path] | str | Path | None = None,
    baseline: Mapping[str, Motion | str | Path] | Motion | str | Path | None = None,
    networks: NetworkFiles | None = None,
    network_views: str = "frontal",
    retrack: bool = True,
    landmark_model: str | Path | None = None,
    media: str | Path | None = None,
    views: Sequence[int] | None = None,
    frames: Sequence[int] | None = None,
    subject: str | None = None,
    output: str | Path | None = None,
    csv: str | Path | None = None,
    sheet: str | Path | None = None,
    heat_map: str | Path | None = None,
    seed: int = 0,
    backend: str = "auto",
    device: str = "cpu",
    overwrite: bool = False,
    report: Reporter = silent,
) -> EmotionEvaluation:
    """Measure an avatar's emotions in a track's views and frames, which need not show any.

    emotions: what the avatar or its head knows, each as `parse_emotion` reads it. truth: by emotion, captures or
    tracks of the performer acting it over the same speech, any of their views and frames. neutral_truth: the
    studio capture without emotion, default the one the track was made from. edits: by emotion, what it was learnt
    from; or a folder with a folder for each. baseline: by emotion, or one for all, a motion whose geometry alone
    is played by the same avatar. networks: files that the user names. network_views: "frontal" or "all". retrack:
    solve for the units again, by optical flow or with MediaPipe's `landmark_model`. views, frames: which of the
    track to look at where truth and edits do not say. subject: name in the tables. output, csv, sheet, heat_map:
    files to write as JSON, CSV (one line per true picture), PNG, PNG. seed: of KID's bootstrap.

    Raises InputError for what does not fit together, MissingComponent for a package that a network needs.
    """
    for path in (output, csv, sheet, heat_map):
        if path is not None and str(path) != "-":
            check_output(path, overwrite)
    name = subject or (Path(avatar).stem if isinstance(avatar, str | Path) else "avatar")
    avatar = avatar if isinstance(avatar, Avatar) else load_avatar(avatar)
    track = track if isinstance(track, Track) else load_track(track, media)
    if landmark_model is not None:
        require_detector(landmark_model)
    loaded = load_networks(networks or NetworkFiles())
    renderer = AvatarRenderer(avatar, device=resolve_device(device), backend=backend)
    check_same_head(motion_of_track(track), renderer.puppet.head)
    with torch_on_one_thread():
        player = Player(renderer, track)
        neutral = player.play(None)
        materials = [
            gather(
                player, neutral, emotion, truth, neutral_truth, edits, baseline, views, frames, network_views
            )
            for emotion in _named(emotions, (truth, edits, baseline))
        ]
        choices = Choices(loaded, retrack, landmark_model, seed)
        found = EmotionEvaluation(name, {}, loaded.labels, _absent(loaded))
        for material in materials:
            found.emotions[material.name] = measure(player, material, choices, report)
        if output is not None:
            write_json(output, found.to_dict(), overwrite)
        if csv is not None:
            write_bytes(csv, found.csv().encode(), overwrite)
        if sheet is not None:
            write_png(sheet, emotion_sheet(_sheet_rows(player, materials, found)), overwrite)
        if heat_map is not None:
            write_png(heat_map, _heat(player, materials, found), overwrite)
    return found


def _named(emotions: Sequence[str], sources: Sequence[object]) -> list[str]:
    """The emotions, each once. InputError when there are none or a source is of another emotion."""
    if not emotions:
        raise InputError("no emotion to evaluate; name one with --emotion")
    for source in sources:
        for name in source if isinstance(source, Mapping) else ():
            if name not in emotions:
                raise InputError(
                    f"{name!r} is given something to compare with, but is not evaluated; name it too"
                )
    return list(dict.fromkeys(emotions))


def _absent(networks: Networks) -> dict[str, str]:
    """Why figures of networks are missing, for all emotions."""
    there = {name: name in networks.loaded for name in ("features", "arcface", "vggface")}
    there |= {"recogniser": "emotions" in networks.loaded, "clip": networks.clip is not None}
    return {name: ABSENT[name] for name, here in there.items() if not here}


def _sheet_rows(player: Player, materials: list[Material], found: EmotionEvaluation) -> list[SheetRow]:
    """A few pictures per emotion: the worst against the truth, else spread over the frontal view."""
    rows = []
    for material in materials:
        truth, edits = material.truth, material.edits
        scores = sorted(found.emotions[material.name].pictures, key=lambda score: score.likeness.psnr)
        cells = [(score.view, score.frame) for score in scores[:ROWS]]
        cells = cells or evenly(material.edited or material.frontal, ROWS)
        # Pictures that are worst against the truth need not be edited ones; one of those is always shown.
        if not set(cells) & set(material.edited):
            cells += material.edited[:1]
        for cell in cells:
            view, frame = cell
            known = truth is not None and cell in truth.cells
            rows.append(
                SheetRow(
                    f"{material.name} {player.track.cameras[view].name} f{frame}",
                    material.neutral.picture(cell),
                    edits.picture(cell) if edits and cell in edits.pictures else None,
                    material.play.picture(cell),
                    material.geometry.picture(cell) if material.geometry else None,
                    truth.picture(cell) if known else None,
                    truth.mask(cell) if known else None,
                )
            )
    return rows


def _heat(player: Player, materials: list[Material], found: EmotionEvaluation) -> np.ndarray:
    """Deformation of every emotion on the resting face, and of its truth where there is one."""
    skin, mesh, rows = skin_vertices(player.head), player.resting_mesh(), []
    for material in materials:
        rows.append((material.name, mesh, found.emotions[material.name].deformation))
        truth = material.truth
        known = sorted(set(truth.vertices) & set(truth.neutral)) if truth else []
        if truth and known:
            moved = np.stack([truth.vertices[t] - truth.neutral[t] for t in known])
            rows.append((f"{material.name}, truth", mesh, deformation(moved, skin)))
    return heat_sheet(rows, player.head.faces.numpy())
