"""What an emotion is measured on: how it is played, truth, edits and baseline, and which views and frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoga.errors import InputError
from emoga.evaluation.emotion_edits import Edits, read_edits
from emoga.evaluation.emotion_play import Cell, Play, Player
from emoga.evaluation.emotion_truth import Truth, read_truth
from emoga.motion import Motion, read_motion
from emoga.optimize.scoring import evenly

MOST_FRAMES, MOST_VIEWS = 12, 5


@dataclass
class Material:
    """One emotion's sources: how it is played, without it, the baseline, the truth and the edits, where there are."""

    name: str
    play: Play
    neutral: Play
    geometry: Play | None
    truth: Truth | None
    edits: Edits | None
    cells: list[Cell]
    frontal: list[Cell]
    edited: list[Cell]


def gather(
    player: Player, neutral: Play, emotion: str, truth: Mapping | None, neutral_truth: str | Path | None,
    edits: Mapping | str | Path | None, baseline: object, views: Sequence[int] | None, frames: Sequence[int] | None,
    network_views: str,
) -> Material:  # fmt: skip
    """Everything about one emotion, read and matched with the track."""
    track = player.track
    real = made = geometry = None
    if truth and emotion in truth:
        sources = truth[emotion]
        real = read_truth(sources if isinstance(sources, list | tuple) else [sources], track, neutral_truth)
    if isinstance(edits, str | Path):
        made = read_edits(Path(edits) / emotion, track)
    elif edits and emotion in edits:
        made = read_edits(edits[emotion], track)
    motion = baseline.get(emotion) if isinstance(baseline, Mapping) else baseline
    if motion is not None:
        motion = motion if isinstance(motion, Motion) else read_motion(motion, player.head.name)
        geometry = player.play_motion(motion)
    cells = _cells(player, real, made, views, frames)
    frontal, edited = _network_cells(player, cells, made, network_views)
    return Material(emotion, player.play(emotion), neutral, geometry, real, made, cells, frontal, edited)


def _cells(
    player: Player, truth: Truth | None, edits: Edits | None, views: Sequence[int] | None,
    frames: Sequence[int] | None,
) -> list[Cell]:  # fmt: skip
    """(view, frame) to look at: those asked for, else frames of truth and edits, in the frontal and some views."""
    track = player.track
    for kind, asked, count in (("view", views, len(track.cameras)), ("frame", frames, track.frame_count)):
        for index in asked or ():
            if not 0 <= index < count:
                raise InputError(f"{kind} {index} is out of range, the track has {count} (0 to {count - 1})")
    if frames is None:
        known = {frame for source in (truth, edits) if source for _, frame in source.cells}
        frames = evenly(sorted(known) or list(range(track.frame_count)), MOST_FRAMES)
    if views is None:
        views = evenly(range(len(track.cameras)), MOST_VIEWS - 1)
        views = sorted({*views, player.frontal_view()})
    return [(view, frame) for frame in frames for view in views]


def _network_cells(
    player: Player, cells: list[Cell], edits: Edits | None, wanted: str
) -> tuple[list[Cell], list[Cell]]:
    """What networks look at, and what of it is edited: one view, the most frontal that was edited, or all."""
    if wanted not in ("frontal", "all"):
        raise InputError(f"network views {wanted!r} is unknown; known: frontal, all")
    if wanted == "all":
        return cells, edits.cells if edits else []
    if edits is None:
        view = player.frontal_view({view for view, _ in cells})
        return [cell for cell in cells if cell[0] == view], []
    view = player.frontal_view(sorted({view for view, _ in edits.cells}))
    frames = sorted({frame for _, frame in cells})
    return [(view, frame) for frame in frames], [cell for cell in edits.cells if cell[0] == view]
