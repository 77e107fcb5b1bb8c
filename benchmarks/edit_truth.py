"""Edited avatars against studio truth: the same performer older, heavier, flushed, with lighter hair.

    python benchmarks/edit_truth.py [--json FILE] [--quick] [--cache DIR] [--resume]

Each performer is filmed as they are and changed, over the same speech; the unchanged film is tracked and fitted; the
changed pictures of 8 views x 6 frames are spoilt as diffusion editors spoil them and learnt from by both methods, as
`images:DIR` hands them over. Scored on 2 views and 6 frames nothing was learnt from, PSNR in the true head mask. A
contact sheet per case is written beside the JSON. With --cache DIR films, tracks and fits are kept and found again;
edited avatars are kept too, but only --resume trusts them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import emoga  # before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch
from edit_figures import NOTES, agreement_of_units, summary_of
from edit_films import PROMPTS, SEED, EditCase, EditStudio
from edit_regions import region_overlaps
from emotion_figures import psnrs
from emotion_peers import uv_change_pictures, uv_mean_pictures
from emotion_playing import pictures_of, played
from emotion_sheets import case_sheet, telling_rows
from emotion_summary import finite
from harness import cache_folder, print_figures, say, write_report
from recapture import Recapture

from emoga.avatar import Avatar
from emoga.editing.refitting import METHODS, RefitOptions, refit
from emoga.evaluation.emotion_play import Play
from emoga.guidance import plan_edit
from emoga.head import load_head
from emoga.images import write_png

IDENTITIES, QUICK_IDENTITIES = (1, 2, 3), (1,)
QUICK_CHANGES = ("older", "flushed")
# Learnt from the true pictures, and believing all that edits show: what the edits, and the words, cost and give.
ABLATIONS = ("edit3dgs fed the truth", "edit3dgs believing all")


def learnt(case: EditCase, method: str) -> Avatar:
    """The avatar a method learns."""
    name = method.split()[0]
    truth, everything = "fed the truth" in method, "believing all" in method
    edits = case.learnt_from.truth if truth else case.edits
    plan = None if truth or everything else plan_edit(case.prompt)
    return refit(case.avatar, case.motion, case.record(edits), RefitOptions(name, plan, seed=SEED), say)


def case_rows(
    case: EditCase, own_units: dict[str, float], kept: Path, options: argparse.Namespace, sheets: Path | None
) -> Iterator[dict]:
    """All rows of one case; own_units: what is found again in the unedited avatar's pictures."""
    train, scored = case.learnt_from, case.scored
    own = psnrs(case.edits, train.truth, train.masks)
    yield {
        "case": case.name, "method": "edits", "psnr": float(own.mean()),
        "psnr_not_failed": float(own[~case.failed].mean()), "failed": int(case.failed.sum()),
        "shares": case.report["shares"],
    }  # fmt: skip
    columns = {}
    for method in (*METHODS, *(() if options.quick else ABLATIONS)):
        begun = time.perf_counter()
        path = kept / f"{case.name.replace(' ', '.')}.{method.replace(' ', '_')}.h5"
        if not (options.resume and path.exists()):
            kept.mkdir(parents=True, exist_ok=True)
            emoga.save_avatar(learnt(case, method), path, overwrite=True)
        seconds = time.perf_counter() - begun
        playing = played(emoga.load_avatar(path), case.track, None)
        columns[method] = pictures_of(playing, scored.pairs)
        row = picture_row(case, method, columns[method], seconds=round(seconds, 1))
        if method in METHODS:
            row |= units_row(case, playing)
        yield row
    still = played(case.avatar, case.track, None)
    columns["unedited"] = pictures_of(still, scored.pairs)
    yield picture_row(case, "unedited", columns["unedited"]) | own_units
    first = emoga.load_avatar(kept / f"{case.name.replace(' ', '.')}.{METHODS[0]}.h5")
    moved = replace(case.avatar, shape=first.shape, static_offset=first.static_offset)
    plays = {"": still, ", our mesh": played(moved, case.track, None)}
    for name, pictures in peers(case, plays).items():
        columns[name] = pictures
        yield picture_row(case, name, pictures)
    if sheets is not None:
        write_sheet(case, columns, sheets)


def picture_row(case: EditCase, method: str, pictures: np.ndarray, **more: Any) -> dict[str, Any]:
    """PSNR of scored pictures [P,H,W,3] in the true head mask."""
    values = psnrs(pictures, case.scored.truth, case.scored.masks)
    return {
        "case": case.name, "method": method, "psnr": float(values.mean()), "psnr_worst_picture": float(values.min()),
        **more,
    }  # fmt: skip


def units_row(case: EditCase, playing: Play) -> dict[str, float]:
    """What the tracker finds again of the drive in the avatar's pictures, which shows all of it in all views."""
    head, track = load_head(case.track.head_name), case.track
    views, frames = tuple(range(len(track.cameras))), tuple(range(track.frame_count))
    with tempfile.TemporaryDirectory() as folder:
        found = Recapture(head, track.cameras, views, frames, track.fps).track_played(playing, Path(folder))
    return agreement_of_units(head, found.params.expr.numpy(), case.motion.expr.numpy())


def peers(case: EditCase, plays: dict[str, Play]) -> dict[str, np.ndarray]:
    """Scored pictures [P,H,W,3] of both kinds of UV mean over each of `plays` by name, in the unedited colours."""
    train, scored, cameras = case.learnt_from, case.scored, case.track.cameras
    head, found = load_head(case.track.head_name), {}
    at, to = ([cameras[view] for view, _ in reel.pairs] for reel in (train, scored))
    for name, play in plays.items():
        drawn, renders = pictures_of(play, scored.pairs), pictures_of(play, train.pairs)
        meshes = {frame: play.vertices(frame) for frame in {*train.frames, *scored.frames}}
        posed, wanted = ([meshes[frame] for _, frame in reel.pairs] for reel in (train, scored))
        found[f"uv mean{name}"] = uv_mean_pictures(head, case.edits, posed, at, drawn, wanted, to)
        found[f"uv mean of changes{name}"] = uv_change_pictures(
            head, case.edits, renders, posed, at, drawn, wanted, to
        )
    return found


def write_sheet(case: EditCase, columns: dict[str, np.ndarray], sheets: Path) -> None:
    """The contact sheet of one case into a folder."""
    ours = columns[METHODS[0]]
    rows = telling_rows(psnrs(ours, case.scored.truth, case.scored.masks), len(case.scored.views))
    names = [f"v{view} f{frame}" for view, frame in case.scored.pairs]
    sheet = case_sheet(case.scored.truth, case.scored.masks, columns, names, rows)
    write_png(sheets / f"{case.name.replace(' ', '.')}.png", sheet, overwrite=True)


def run(options: argparse.Namespace, cache: Path) -> None:
    """All cases asked for; the JSON is written again after each."""
    identities = options.identities or (QUICK_IDENTITIES if options.quick else IDENTITIES)
    changes = options.changes or (QUICK_CHANGES if options.quick else tuple(PROMPTS))
    sheets = None if options.json is None else options.json.with_suffix("")
    begun, rows = time.perf_counter(), []
    for performer in identities:
        studio = EditStudio(cache, performer, options.size, "fast" if options.quick else "default", say)
        for change in changes:
            case = EditCase(studio, performer, change)
            if change == changes[0]:
                rows.append({"case": f"p{performer}", "method": "regions", **region_overlaps(case)})
                print_figures(rows[-1], but=("shares",))
                own_units = units_row(case, played(case.avatar, case.track, None))
            for row in case_rows(case, own_units, cache / "edited", options, sheets):
                rows.append(row)
                print_figures(row, but=("shares",))
            write_report(
                finite(rows), torch.get_num_threads(), options.json, summary=summary_of(rows), notes=NOTES,
                size=options.size, identities=list(identities), changes=list(changes), seed=SEED,
                seconds=round(time.perf_counter() - begun, 1),
            )  # fmt: skip
    for name, value in summary_of(rows).items():
        print(f"{name:<40} {value}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one identity, older and flushed, 256 px")
    parser.add_argument("--size", type=int, help="pixels on a side  [default: 512, quick 256]")
    parser.add_argument("--identities", type=int, nargs="+")
    parser.add_argument("--changes", nargs="+", choices=tuple(PROMPTS))
    parser.add_argument("--cache", type=Path, help="folder to keep films, tracks and avatars of one size in")
    parser.add_argument("--resume", action="store_true", help="score avatars that --cache holds")
    options = parser.parse_args()
    options.size = options.size or (256 if options.quick else 512)
    with cache_folder(options.cache) as cache:
        run(options, cache)


if __name__ == "__main__":
    main()
