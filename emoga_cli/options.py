"""Options that several verbs share, so that they read and behave alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Literal["auto", "cpu", "cuda"]
Preset = Literal["fast", "default", "best"]

DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: all cores]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]

OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
ScoredHoldOutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hold-out",
        help="Score these as held out: views:3,9 or frames:last:20%. Repeatable.  [default: what the fit held out]",
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan with time, memory and disk estimates, do nothing.")
]
PresetOption = Annotated[Preset, typer.Option("--preset", help="Speed against quality.")]
MediaOption = Annotated[
    Path | None, typer.Option("--media", help="Folder the pictures or video of a track were moved to.")
]
HoldOutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hold-out", help="Keep from training: views:3,9 or frames:last:20% or frames:0-4,17. Repeatable."
    ),
]
FailBelowOption = Annotated[
    float | None, typer.Option("--fail-below", help="Exit with 4 when the PSNR (dB) stays below this.")
]

ReportOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON here.")]
TruthTableOption = Annotated[
    Path | None, typer.Option("--csv", help="Write one line per picture with a truth here.")
]
ClipOption = Annotated[Path | None, typer.Option("--clip", help="Folder of a CLIP model of transformers.")]
ArcfaceOption = Annotated[
    Path | None,
    typer.Option("--arcface", help="ArcFace network (.onnx).  [default: the one that emoga assets keeps]"),
]
