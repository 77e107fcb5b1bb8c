"""Time whole fits of tracked captures, on one thread and on all, and score them on held-out pictures.

    python benchmarks/fit.py --json benchmarks/results/fit.json
    python benchmarks/fit.py --quick --threads 2
    python benchmarks/fit.py TRACK.h5 [TRACK.h5 ...] --preset fast --hold-out views:3 --hold-out frames:last:20%
    python benchmarks/fit.py TRACK.h5 --appearance sh --appearance color_mlp

Without a track it is the painted head of `painted.py`, filmed on the spot from four sides: cheap to draw, so that
its PSNR says whether a change broke the fit, not how well fitting does. `seconds` is the whole `emoga.fit`, reading
and scoring included, `iterations_per_s` its loop alone, `cpu_seconds` the time of all cores, `peak_rss_mb` that of a
process that did nothing else; `psnr` is of held-out views. The peer, in the same run, is the best of three guesses
without an avatar: the mean training frame, the nearest training frame, and the nearest one warped by the tracked mesh.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VIEWS, FRAMES, SIZE = 4, 15, 256
QUICK = {"size": 96, "iterations": 60, "gaussians": 9000}
# The columns of the table on the terminal.
SHOWN = (
    "case",
    "threads",
    "appearance",
    "seconds",
    "cpu_seconds",
    "iterations_per_s",
    "peak_rss_mb",
    "psnr",
    "baseline_psnr",
    "gaussians",
)


@dataclass
class Clock:
    """A reporter that notes when the loop of a fit begins and ends, and passes notes on to stderr."""

    began: float = 0.0
    ended: float = 0.0
    _looping: bool = False

    def __call__(self, event: Any) -> None:
        from emoga.progress import Note, Stage, Step

        if isinstance(event, Note):
            print(f"  {event.text}", file=sys.stderr)
        elif isinstance(event, Stage):
            self._looping = event.name == "fit"
            if self._looping:
                self.began = self.ended = time.perf_counter()
        elif isinstance(event, Step) and self._looping:
            self.ended = time.perf_counter()


def fit_once(options: argparse.Namespace) -> dict[str, Any]:
    """One fit in this process, which is to do nothing else: its row."""
    import emoga  # isort: skip  before torch: it sets how torch's threads wait
    import torch

    from emoga_cli.session import peak_rss_mb

    (track,) = options.tracks
    (appearance,) = options.appearance
    name = track.stem if appearance == "sh" else f"{track.stem}.{appearance}"
    output = None if options.avatars is None else options.avatars / f"{name}.ply"
    clock = Clock()
    _, report = emoga.fit(
        track, output, preset=options.preset, hold_out=options.hold_out, iterations=options.iterations,
        gaussians=options.gaussians, appearance=appearance, device="cpu", overwrite=True, report=clock,
    )  # fmt: skip
    found = report.as_json()
    rate = report.iterations / max(clock.ended - clock.began, 1e-9)
    held_out = found["held_out"]
    views = held_out["views"] or held_out["frames"] or found["training"]
    return {
        "case": f"fit/{name}/{options.preset}",
        "threads": torch.get_num_threads(),
        "appearance": appearance,
        "seconds": found.pop("seconds"),
        "cpu_seconds": round(time.process_time(), 1),
        "iterations_per_s": round(rate, 2),
        "peak_rss_mb": peak_rss_mb(),
        "psnr": views["psnr"],
        "baseline_psnr": held_out["baseline_psnr"],
        **found,
    }


def run_apart(track: Path, appearance: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one fit, made in a process of its own with so many threads."""
    line = [sys.executable, __file__, str(track), "--once", "--preset", options.preset]
    line += ["--appearance", appearance]
    for name in ("iterations", "gaussians", "avatars"):
        if getattr(options, name) is not None:
            line += [f"--{name}", str(getattr(options, name))]
    for specification in options.hold_out or ():
        line += ["--hold-out", specification]
    limits = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "NUMBA", "OPENBLAS")}
    done = subprocess.run(line, env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def painted_track(folder: Path, size: int) -> Path:
    """The painted capture with its true track, as a file."""
    from painted import film

    from emoga.capture import save_track

    path = folder / f"painted_{size}.h5"
    save_track(film(folder / "images", VIEWS, FRAMES, size), path)
    return path


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tracks", nargs="*", type=Path)
    parser.add_argument("--preset", help="default for tracks, fast for the painted head, when not given")
    parser.add_argument("--appearance", action="append", choices=("sh", "color_mlp"), help="sh, if not said")
    parser.add_argument("--hold-out", action="append")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--gaussians", type=int)
    parser.add_argument("--threads", type=int, action="append", help="all, then one, when not given")
    parser.add_argument("--avatars", type=Path, help="folder to keep the avatars in")
    parser.add_argument("--quick", action="store_true", help="small pictures, a few iterations")
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the cases asked for."""
    options = parse_options()
    if options.once:
        print(json.dumps(fit_once(options)))
        return
    import emoga  # noqa: F401  # isort: skip  before torch: it sets how torch's threads wait
    import torch
    from harness import write_report

    from emoga.progress import silent
    from emoga.warm_up import warm_up

    warm_up(silent)  # compiled kernels are kept, so that no fit pays for them
    size, every = SIZE, torch.get_num_threads()
    options.preset = options.preset or ("default" if options.tracks else "fast")
    if options.quick:
        size = QUICK["size"]
        options.iterations = options.iterations or QUICK["iterations"]
        options.gaussians = options.gaussians or QUICK["gaussians"]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        tracks = options.tracks or [painted_track(Path(temporary), size)]
        threads = options.threads or dict.fromkeys((every, 1))
        for track, appearance, count in itertools.product(tracks, options.appearance or ["sh"], threads):
            rows.append(run_apart(track.resolve(), appearance, count, options))
            print("  ".join(f"{name} {rows[-1][name]}" for name in SHOWN), flush=True)
    write_report(rows, every, options.json)


if __name__ == "__main__":
    main()
