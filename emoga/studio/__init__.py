"""The studio: path-traced captures of synthetic performers whose every parameter is known."""

from __future__ import annotations

from pathlib import Path

from emoga.errors import InputError
from emoga.progress import Reporter, silent
from emoga.studio.acting import Performance, perform
from emoga.studio.capturing import Plan, capture_rig, capture_single, estimate
from emoga.studio.performer import Performer, make_performer

__all__ = [
    "Performance",
    "Performer",
    "Plan",
    "capture",
    "capture_rig",
    "capture_single",
    "estimate",
    "make_performer",
    "perform",
]

KINDS = ("rig", "single")


def capture(
    output: str | Path,
    kind: str = "rig",
    performer: int = 0,
    in_model: bool = False,
    emotion: str | None = None,
    intensity: float = 1.0,
    size: int = 512,
    views: int = 16,
    frames: int | None = None,
    samples: int = 20,
    seed: int = 0,
    hold_out: tuple[str, ...] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
) -> Path:
    """Film a synthetic performer into a capture folder; `kind` is "rig" or "single".

    Raises InputError for bad values or a folder in the way, MissingComponent without Mitsuba.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of capture {kind!r}; known: {', '.join(KINDS)}")
    common = {
        "performer": performer, "in_model": in_model, "emotion": emotion, "intensity": intensity, "size": size,
        "samples": samples, "seed": seed, "overwrite": overwrite, "resume": resume, "report": report,
    }  # fmt: skip
    if hold_out is not None:
        common["hold_out"] = hold_out
    if kind == "single":
        return capture_single(output, frames=frames or 120, **common)
    return capture_rig(output, cameras=views, frames=frames or 24, **common)
