"""Fit avatars to tracked captures and score them on held-out pictures.

    python benchmarks/fit.py TRACK.h5 [TRACK.h5 ...] --json benchmarks/results/fit.json
    python benchmarks/fit.py TRACK.h5 --preset fast --hold-out views:3 --hold-out frames:last:20%
    python benchmarks/fit.py TRACK.h5 --appearance sh --appearance color_mlp

The peers, in the same run, are three guesses without an avatar: the mean training frame, the nearest
training frame, and the nearest one warped by the tracked mesh.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import time
from pathlib import Path
from typing import Any

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import torch
from harness import write_report

from emoga.fitting import fit
from emoga.fitting.presets import APPEARANCES
from emoga.progress import Event, Note


def run_case(
    path: Path, preset: str, appearance: str, hold_out: list[str] | None, output: Path | None
) -> dict[str, Any]:
    """One fit: its report with the case's name, the process's peak memory so far, and the time of all cores."""
    begun = time.process_time()
    settings = {"preset": preset, "appearance": appearance, "hold_out": hold_out, "overwrite": True}
    _, report = fit(path, output, report=_say, **settings)
    spent = round(time.process_time() - begun, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"case": path.stem, "peak_rss_mb": round(peak), "cpu_seconds": spent, **report.as_json()}


def _say(event: Event) -> None:
    if isinstance(event, Note):
        print(f"  {event.text}", file=sys.stderr)


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table on the terminal."""
    held_out = row["held_out"]
    figures = {"case": row["case"], "appearance": row["appearance"], "seconds": row["seconds"]}
    figures |= {"cpu": row["cpu_seconds"], "MB": row["peak_rss_mb"]}
    for name in ("views", "frames", "both"):
        if held_out[name] is not None:
            figures |= {name: held_out[name]["psnr"], f"{name} SSIM": held_out[name]["ssim"]}
    return {**figures, "baseline": held_out["baseline_psnr"], "gaussians": row["gaussians"]}


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tracks", nargs="+", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--appearance", action="append", choices=APPEARANCES, help="sh, if not said")
    parser.add_argument("--hold-out", action="append")
    parser.add_argument("--avatars", type=Path, help="folder to keep the avatars in")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for path, appearance in itertools.product(options.tracks, options.appearance or ["sh"]):
        name = path.stem if appearance == "sh" else f"{path.stem}.{appearance}"
        output = None if options.avatars is None else options.avatars / f"{name}.ply"
        rows.append(run_case(path, options.preset, appearance, options.hold_out, output))
        print("  ".join(f"{name} {value}" for name, value in _figures(rows[-1]).items()), flush=True)
    write_report(rows, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
