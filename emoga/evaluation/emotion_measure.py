"""All figures of one emotion, each from what is there; what cannot be had leaves its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emoga.evaluation.emotion_figures import (
    change_beside,
    compare_with_truth,
    cross_view,
    displacement_of,
    flicker_of,
    mouth_and_eyes,
    skin_vertices,
    temporal_change,
)
from emoga.evaluation.emotion_material import Material
from emoga.evaluation.emotion_networks import Networks, network_figures
from emoga.evaluation.emotion_play import Cell, Play, Player
from emoga.evaluation.emotion_report import EmotionFigures
from emoga.evaluation.heat_map import deformation
from emoga.evaluation.retracking import units_found
from emoga.optimize.metrics import average
from emoga.optimize.scoring import split_pictures
from emoga.progress import Reporter, Stage, Step, silent


@dataclass(frozen=True)
class Choices:
    """How to measure: the networks, whether (and with which detector) to solve for units again, KID's seed."""

    networks: Networks
    retrack: bool = True
    landmark_model: str | Path | None = None
    seed: int = 0


def measure(
    player: Player, material: Material, choices: Choices, report: Reporter = silent
) -> EmotionFigures:
    """All figures of one emotion; those that cannot be had leave their reason."""
    found = EmotionFigures(material.name)
    parts = (_displacement, _likeness, _over_time, _over_views, _outside, _units, _networks)
    report(Stage(f"evaluate {material.name}", len(parts)))
    for done, part in enumerate(parts, start=1):
        part(player, material, found, choices)
        report(Step(done))
    found.not_computed = _reasons(material, found, choices.retrack)
    return found


def _displacement(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    """How far the face moves, and how much of the truth's way."""
    head, play, neutral, truth = player.head, material.play, material.neutral, material.truth
    frames = sorted({frame for _, frame in material.cells})
    moved = np.stack([play.vertices(t) - neutral.vertices(t) for t in frames])
    found.deformation = deformation(moved, skin_vertices(head))
    if truth is None:
        return
    found.displacement = displacement_of(head, play, neutral, truth)
    if material.geometry is not None:
        found.geometry_displacement = displacement_of(head, material.geometry, neutral, truth)


def _likeness(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    """Likeness to the truth by split and method, and of every picture of the avatar."""
    truth, track = material.truth, player.track
    if truth is None:
        return

    def regions(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        return mouth_and_eyes(player.head, material.play, cell, track.cameras[cell[0]])

    there = set(truth.cells)
    for split, pairs in split_pictures(track.held_out, len(track.cameras), track.frame_count).items():
        cells = [cell for cell in pairs if cell in there]
        if not cells:
            continue
        edited = [cell for cell in cells if material.edits and cell in material.edits.pictures]
        sources = {"avatar": (material.play, cells), "neutral": (material.neutral, cells)}
        if material.geometry is not None:
            sources["geometry"] = (material.geometry, cells)
        if material.edits is not None and edited:
            sources["edits"] = (material.edits, edited)
            if len(edited) < len(cells):
                sources["avatar where edited"] = (material.play, edited)
        found.likeness[split] = {}
        for method, (source, where) in sources.items():
            scores = compare_with_truth(source.picture, truth, where, regions)
            found.likeness[split][method] = average(score.likeness for score in scores)
            if method == "avatar":
                found.pictures += scores


def _over_time(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    track, faces = player.track, player.head.faces.numpy()
    play, truth, edits = material.play, material.truth, material.edits
    if truth is not None and edits is not None:
        found.flicker = flicker_of(play, truth, edits, found.displacement, track.cameras, faces)
    found.temporal = temporal_change(play, material.neutral, material.cells, track, faces)


def _outside(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    found.outside = change_beside(
        player.head, material.play, material.neutral, material.cells, player.track, material.edits, material.truth
    )  # fmt: skip


def _units(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    if choices.retrack:
        found.units = units_found(
            player.head, material.play, material.neutral, material.cells, player.track, material.truth,
            skin_vertices(player.head), choices.landmark_model,
        )  # fmt: skip


def _networks(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    methods = {"avatar": material.play.picture}
    if material.geometry is not None:
        methods["geometry"] = material.geometry.picture
    if material.edits is not None:
        methods["edits"] = material.edits.picture
    found.networks = network_figures(
        choices.networks, material.name, player.head, player.track, material.play, material.neutral, methods,
        material.frontal, material.edited, choices.seed,
    )  # fmt: skip


def _over_views(player: Player, material: Material, found: EmotionFigures, choices: Choices) -> None:
    """Agreement of views: of the avatar and its neutral playback, of edits and truth with the avatar beside them."""
    play, neutral, track, faces = material.play, material.neutral, player.track, player.head.faces.numpy()

    def captured(cell: Cell) -> np.ndarray:
        return track.picture(*cell)

    def mesh(source: Play):
        return lambda frame: (source.vertices(frame), source.normals(frame))

    rendered = (neutral.picture, mesh(neutral))
    asked = {
        "avatar": (play.picture, mesh(play), *rendered, material.cells),
        "neutral": (neutral.picture, mesh(neutral), *rendered, material.cells),
    }
    if material.edits is not None:
        cells = material.edits.cells
        asked["edits"] = (material.edits.picture, mesh(play), captured, mesh(neutral), cells)
        asked["avatar where edited"] = (play.picture, mesh(play), *rendered, cells)
    truth = material.truth
    if truth is not None:
        cells = truth.cells

        def true_mesh(frame: int) -> tuple[np.ndarray, np.ndarray]:
            known = truth.vertices.get(frame)
            return mesh(play)(frame) if known is None else (known, play.normals(frame))

        asked["truth"] = (truth.picture, true_mesh, captured, mesh(neutral), cells)
        asked["avatar where true"] = (play.picture, mesh(play), *rendered, cells)
    agreed = {name: cross_view(*parts, track, faces) for name, parts in asked.items()}
    found.agreement = {name: entry for name, entry in agreed.items() if entry is not None}


def _reasons(material: Material, found: EmotionFigures, retrack: bool) -> dict[str, str]:
    """Why this emotion lacks what it lacks."""
    reasons = {}
    truth, edits = material.truth, material.edits
    if truth is None:
        reasons["likeness"] = "no truth was named (--truth EMOTION=CAPTURE)"
    elif found.displacement is None:
        reasons["displacement"] = "no true mesh of this speech without the emotion (--neutral-truth CAPTURE)"
    if found.flicker is None:
        lacking = [name for name, source in (("truth", truth), ("edits", edits)) if source is None]
        reasons["flicker"] = (
            f"needs {' and '.join(lacking)}"
            if lacking
            else "no view has two frames that are both edited and known"
        )
    elif not found.flicker.valid:
        reasons["flicker"] = (
            "invalid below 90 % of the truth's displacement: what hardly moves hardly flickers"
        )
    if found.temporal is None:
        reasons["temporal change"] = "no view has two frames"
    if "avatar" not in found.agreement:
        reasons["agreement"] = "needs two views of a frame"
    if found.outside is not None and not found.outside.pixels:
        reasons["change outside"] = "the masks leave nothing outside"
    elif found.outside is not None and not found.outside.valid:
        reasons["change outside"] = (
            "not judged: without truth nobody knows how much should change inside"
            if truth is None
            else "invalid below 80 % of the truth's change inside the masks"
        )
    if found.units is None:
        reasons["units"] = "no picture to look at" if retrack else "not asked for"
    if edits is None:
        reasons["edits"] = "none were named (--edits EMOTION=DIR)"
    if material.geometry is None:
        reasons["baseline"] = "no motion was named (--baseline MOTION)"
    return reasons
