"""The studio: path-traced captures of synthetic performers whose every parameter is known."""

from __future__ import annotations

from pathlib import Path

from emoga.errors import InputError
from emoga.progress import Reporter, silent
from emoga.studio.acting import Performance, perform
from emoga.studio.capturing import capturer, run_plan
from emoga.studio.performer import Performer, make_performer
from emoga.studio.plans import Plan, plan_rig, plan_single

__all__ = [
    "Performance",
    "Performer",
    "Plan",
    "capture",
    "capture_rig",
    "capture_single",
    "make_performer",
    "perform",
    "plan_capture",
    "plan_rig",
    "plan_single",
    "run_plan",
]

KINDS = ("rig", "single")
capture_rig = capturer(plan_rig)
capture_single = capturer(plan_single)


def plan_capture(
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
    only: tuple[str, ...] = (),
    change: str | None = None,
) -> Plan:
    """The plan `capture` would film; `plan.seconds()` says how long that takes. Raises InputError."""
    if kind not in KINDS:
        raise InputError(f"unknown kind of capture {kind!r}; known: {', '.join(KINDS)}")
    choices = {
        "performer": performer, "in_model": in_model, "emotion": emotion, "intensity": intensity, "size": size,
        "samples": samples, "seed": seed, "only": only, "change": change,
    }  # fmt: skip
    if hold_out is not None:
        choices["hold_out"] = hold_out
    if kind == "single":
        return plan_single(frames=frames or 120, **choices)
    return plan_rig(cameras=views, frames=frames or 24, **choices)


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
    only: tuple[str, ...] = (),
    change: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
    workers: int | None = None,
) -> Path:
    """Film a synthetic performer into a capture folder and return it; `kind` is "rig" or "single".

    hold_out: pictures that get four times the samples, as `--hold-out` writes them. only: what of the rig and
    the performance is filmed, written alike; everything when empty. change: what is different about the performer
    (older, heavier, flushed, lighter-hair), all else alike. `resume` continues the same capture, or
    keeps it when it is complete. Raises InputError for bad values or a folder in the way, MissingComponent
    without Mitsuba.
    """
    plan = plan_capture(
        kind,
        performer,
        in_model,
        emotion,
        intensity,
        size,
        views,
        frames,
        samples,
        seed,
        hold_out,
        only,
        change,
    )
    return run_plan(plan, output, overwrite, resume, report, workers)
