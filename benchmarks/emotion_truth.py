"""Emotions learnt from pseudo-edits, scored against the truth of studio performers who never showed them.

    python benchmarks/emotion_truth.py --json benchmarks/results/emotion_truth.json
    python benchmarks/emotion_truth.py --json quick.json --quick
    python benchmarks/emotion_truth.py --json ablations.json --ablations

Each performer is filmed neutral and acting every emotion over the same speech; the neutral film is tracked and
fitted; the emotion pictures of 10 views x 8 frames are spoilt as diffusion editors spoil them, and learnt from.
Scored on 2 views and 6 frames nothing was learnt from, PSNR in the head mask. A contact sheet per case is written
beside the JSON. With --cache DIR films, tracks and fits are kept and found again; avatars that learnt emotions are
kept too, but only --resume trusts them: learning may have changed since.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import torch
from emotion_ablations import ABLATIONS
from emotion_figures import psnrs
from emotion_films import SCORED_FRAMES, SCORED_VIEWS, Studio
from emotion_methods import METHODS, SEED, Method, edited
from emotion_person import Lessons, Person
from emotion_playing import pictures_of, played
from emotion_scoring import (
    Case,
    edits_row,
    learnt_row,
    motion_figures,
    outside_figures,
    peer_pictures,
    picture_row,
)
from emotion_sheets import case_sheet, telling_rows
from emotion_summary import NOTES, finite, summary_of
from harness import cache_folder, print_figures, say, write_report

from emoga.avatar import Avatar
from emoga.head import load_head
from emoga.images import write_png

IDENTITIES, EMOTIONS = (1, 2, 3), ("happy", "sad", "angry", "surprised")
QUICK_IDENTITIES, QUICK_EMOTIONS, QUICK_ITERATIONS = (1,), ("happy", "angry"), 100


def method_rows(person: Person, method: Method) -> tuple[list[dict[str, Any]], Avatar]:
    """One row per case, and the avatar with all of them."""
    avatar, seconds = person.learn(method)
    rows = []
    for case in person.cases:
        playing = played(avatar, person.track, case.emotion)
        rows.append(learnt_row(case, method.name, playing, pictures_of(playing, case.scored.pairs), seconds))
        print_figures(rows[-1], but=("shares",))
    return rows, avatar


def case_rows(
    person: Person, index: int, ours: Avatar, geometry: Avatar | None, sheets: Path | None
) -> Iterator[dict[str, Any]]:
    """What belongs to one case and no learning: edits, peers, motion, change outside, identity."""
    case, track = person.cases[index], person.track
    edits = person.edits("spread")[index]
    for pattern in ("spread", "frontal failed"):
        yield edits_row(case, person.edits(pattern)[index], f"edits, {pattern}")
    head = load_head(track.head_name)
    playing, still = played(ours, track, case.emotion), played(ours, track, None)
    pictures, pairs = pictures_of(playing, case.scored.pairs), case.scored.pairs
    # The learnt mesh under the person's own colours, for both: the peer is given our geometry.
    bare = played(replace(ours, appearance=None), track, case.emotion)
    peers = peer_pictures(case, head, edits, bare)
    peers["preset driven"] = pictures_of(played(person.avatar, track, case.emotion), pairs)
    peers["neutral"] = pictures_of(still, pairs)
    for name, drawn in peers.items():
        yield picture_row(case, name, drawn)
    unseen = edited(case.scored, case.emotion, "spread")
    figures = {
        "case": case.name,
        "method": "figures",
        **motion_figures(case, head, pictures, unseen, playing, still),
        **outside_figures(case, pictures, still),
    }
    figures |= person.retracking.compare(playing, person.original(case)) | person.retracking.floor()
    yield figures
    if sheets is not None:
        columns = {
            "ours": pictures,
            "an edit": unseen.record.edited,
            "uv mean": peers["uv mean"],
            "preset driven": peers["preset driven"],
            "neutral": peers["neutral"],
        }
        if geometry is not None:
            columns["geometry only"] = pictures_of(played(geometry, track, case.emotion), pairs)
        write_sheet(case, columns, sheets)


def write_sheet(case: Case, columns: dict[str, Any], sheets: Path) -> None:
    """The contact sheet of one case into a folder."""
    rows = telling_rows(psnrs(columns["ours"], case.scored.truth, case.scored.masks), case.shape[0])
    names = [f"v{view} f{frame}" for view, frame in case.scored.pairs]
    sheet = case_sheet(case.scored.truth, case.scored.masks, columns, names, rows)
    write_png(sheets / f"{case.name.replace(' ', '.')}.png", sheet, overwrite=True)


def person_rows(person: Person, options: argparse.Namespace, sheets: Path | None) -> Iterator[dict[str, Any]]:
    """All rows of one performer."""
    avatars = {}
    if options.ablations:
        for case, edits in zip(person.cases, person.edits("spread"), strict=True):
            yield edits_row(case, edits, "edits, spread")
    for method in chosen_methods(options):
        rows, avatars[method.name] = method_rows(person, method)
        yield from rows
    if options.ablations or "ours" not in avatars:
        return
    for index in range(len(person.cases)):
        for row in case_rows(person, index, avatars["ours"], avatars.get("geometry only"), sheets):
            print_figures(row, but=("shares",))
            yield row


def chosen_methods(options: argparse.Namespace) -> list[Method]:
    """The methods that are compared, or those asked for by name."""
    known = {method.name: method for method in (ABLATIONS if options.ablations else METHODS)}
    unknown = [name for name in options.methods or () if name not in known]
    if unknown:
        sys.exit(f"unknown method {unknown[0]!r}; known: {', '.join(known)}")
    return [known[name] for name in options.methods or known]


def chosen_iterations(options: argparse.Namespace) -> dict[str, int]:
    """What is asked of every learning beside a method's own choices."""
    iterations = options.iterations or (QUICK_ITERATIONS if options.quick or options.ablations else None)
    return {} if iterations is None else {"iterations": iterations}


def run(options: argparse.Namespace, cache: Path) -> None:
    """All identities asked for; the JSON is written again after each row."""
    few = options.quick or options.ablations
    identities = options.identities or (QUICK_IDENTITIES if few else IDENTITIES)
    emotions = options.emotions or (QUICK_EMOTIONS if few else EMOTIONS)
    sheets = None if options.json is None else options.json.with_suffix("")
    begun, rows = time.perf_counter(), []
    learnt = cache / ("learnt" if options.appearance == "sh" else f"learnt.{options.appearance}")
    lessons = Lessons(learnt, options.resume, chosen_iterations(options))
    for performer in identities:
        preset = "fast" if options.quick else "default"
        studio = Studio(cache, performer, options.size, preset, say, options.appearance)
        person = Person(studio, performer, emotions, lessons, say)
        for row in person_rows(person, options, sheets):
            rows.append(row)
            write_report(
                finite(rows), torch.get_num_threads(), options.json, summary=summary_of(rows), notes=NOTES,
                size=options.size, identities=list(identities), emotions=list(emotions),
                scored={"views": SCORED_VIEWS, "frames": SCORED_FRAMES}, seed=SEED,
                learning=lessons.common, appearance=options.appearance, seconds=round(time.perf_counter() - begun, 1),
            )  # fmt: skip
    for name, value in summary_of(rows).items():
        print(f"{name:<40} {value}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one identity, happy and angry, 256 px")
    parser.add_argument("--ablations", action="store_true", help="one identity, happy and angry, 256 px")
    parser.add_argument("--size", type=int, help="pixels on a side  [default: 512, quick and ablations 256]")
    parser.add_argument("--identities", type=int, nargs="+")
    parser.add_argument("--emotions", nargs="+")
    parser.add_argument("--methods", nargs="+", help="only these; without ours, nothing but their pictures")
    parser.add_argument("--appearance", choices=("sh", "color_mlp"), default="sh", help="of the avatar's fit")
    parser.add_argument("--iterations", type=int, help="of the learning, per emotion")
    parser.add_argument("--cache", type=Path, help="folder to keep films, tracks and avatars of one size in")
    parser.add_argument(
        "--resume", action="store_true", help="score avatars that --cache holds; learn the others"
    )
    options = parser.parse_args()
    options.size = options.size or (256 if options.quick or options.ablations else 512)
    with cache_folder(options.cache) as cache:
        run(options, cache)


if __name__ == "__main__":
    main()
