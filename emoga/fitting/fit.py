"""`emoga fit`: from a track to an avatar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import emoga
from emoga.avatar import Avatar, save_avatar
from emoga.avatar.files import check_avatar_output
from emoga.capture import HeldOut, Track, load_track, parse_hold_out
from emoga.errors import InputError
from emoga.fitting.checkpoint import checkpoint_path, fingerprint, load_checkpoint, save_checkpoint
from emoga.fitting.presets import APPEARANCES, Appearance, Preset, for_one_camera
from emoga.fitting.presets import preset as find_preset
from emoga.fitting.report import FitReport
from emoga.fitting.session import FitSession, prepare
from emoga.kernels import torch_on_one_thread
from emoga.progress import Note, Reporter, Stage, silent
from emoga.render.gsplat_kernels import resolve_device

UNDRESS = 0.75  # of the iterations, after which clothing goes


@torch_on_one_thread()
def fit(
    track: Track | str | Path,
    output: str | Path | None,
    *,
    preset: str | Preset = "default",
    media: str | Path | None = None,
    hold_out: Sequence[str] | None = None,
    iterations: int | None = None,
    gaussians: int | None = None,
    sh_degree: int | None = None,
    appearance: Appearance | None = None,
    weights: str | Path | None = None,
    refine_motion: bool | None = None,
    light: bool | None = None,
    keep_shoulders: bool = False,
    rig: str = "smooth",
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter = silent,
) -> tuple[Avatar, FitReport]:
    """Fit an avatar to a tracked capture and write it to `output` (.ply or .h5; None writes nothing).

    track: record or file; media: where its pictures lie now. preset: a name (a single camera gets a lesser
    one by that name) or one's own. hold_out: specifications as on the command line; by default what the
    track held out. iterations, gaussians (budget), sh_degree (0 to 3) override the
    preset. appearance: "sh", or "color_mlp" for colours from a network of latents and an emotion, which is
    fitted with patches compared by VGG's features, where they are in the folder `weights` or a usual place, or
    by bands of frequency. refine_motion corrects pose and expression of the training frames along the way
    (when None, with several cameras); light finds the light in which the head turns and lets its colours follow, as
    presets do when it is None. keep_shoulders keeps the layer below the collar. resume continues from
    the checkpoint beside the output. device: "auto" takes a GPU where everything it needs works.

    Raises InputError for unusable tracks, heads, presets or outputs, MissingComponent when CUDA is asked for
    and not usable.
    """
    started = time.monotonic()
    if output is not None:
        check_avatar_output(output, overwrite)
    device = resolve_device(device)
    known = find_preset(preset) if isinstance(preset, str) else preset
    name = preset if isinstance(preset, str) else "own"
    track = track if isinstance(track, Track) else load_track(track, media)
    if isinstance(preset, str) and len(track.cameras) == 1:
        known = for_one_camera(known)
    chosen = _overridden(known, iterations, gaussians, sh_degree, appearance, refine_motion, light)
    if hold_out is not None:
        held_out = parse_hold_out(hold_out, len(track.cameras), track.frame_count)
        track = replace(track, held_out=held_out)
    held_out = track.held_out
    session = prepare(track, held_out, chosen, rig, seed, report, device, weights)
    checkpoint = None if output is None else checkpoint_path(output)
    identity = fingerprint(track, held_out, chosen, rig, seed, session.perceptual, keep_shoulders)
    _train(session, checkpoint, identity, resume, keep_shoulders, report)
    avatar = session.avatar(keep_shoulders)
    avatar.provenance = {
        "made_by": f"emoga {emoga.__version__} fit",
        "preset": name,
        "iterations": chosen.iterations,
        "seed": seed,
        "hold_out": _specifications(held_out),
    }
    if output is not None:
        save_avatar(avatar, output, overwrite)
        checkpoint.unlink(missing_ok=True)
    found = session.report(avatar, name, report)
    found.seconds = round(time.monotonic() - started, 2)
    for note in found.notes:
        report(Note(note))
    return avatar, found


def _train(
    session: FitSession,
    checkpoint: Path | None,
    identity: str,
    resume: bool,
    keep_shoulders: bool,
    report: Reporter,
) -> None:
    """Run to the end, from the checkpoint when asked to, saving one now and then.

    Clothing goes while there is still time for what stays to cover the edge.
    """
    trainer = session.trainer
    if resume and checkpoint is not None and checkpoint.exists():
        load_checkpoint(trainer, identity, checkpoint)
        report(Note(f"resumed at iteration {trainer.iteration} of {trainer.preset.iterations}"))
    last, every = trainer.preset.iterations, trainer.preset.checkpoint_every
    undress_at = None if keep_shoulders else round(UNDRESS * last)
    stops = sorted({*range(every, last, every), last, undress_at or last})
    report(Stage("fit", last))
    for stop in stops:
        if stop <= trainer.iteration:
            continue
        trainer.run(stop, report)
        if stop == undress_at:
            session.undress()
        if checkpoint is not None:
            save_checkpoint(trainer, identity, checkpoint)


def _overridden(
    chosen: Preset,
    iterations: int | None,
    gaussians: int | None,
    sh_degree: int | None,
    appearance: str | None,
    refine_motion: bool | None,
    light: bool | None,
) -> Preset:
    asked = {"iterations": iterations, "gaussians": gaussians, "sh_degree": sh_degree}
    for name, (low, high) in {"iterations": (1, 10**7), "gaussians": (1, 10**7), "sh_degree": (0, 3)}.items():
        if asked[name] is not None and not low <= asked[name] <= high:
            raise InputError(f"{name} {asked[name]} is out of range; {low} to {high} are possible")
    if appearance is not None and appearance not in APPEARANCES:
        raise InputError(f"unknown appearance {appearance!r}; known: {', '.join(APPEARANCES)}")
    asked |= {"refine_motion": refine_motion, "light": light, "appearance": appearance}
    return replace(chosen, **{name: value for name, value in asked.items() if value is not None})


def _specifications(held_out: HeldOut) -> list[str]:
    """`--hold-out` values that name these views and frames."""
    parts = {"views": held_out.views, "frames": held_out.frames}
    return [f"{kind}:{','.join(map(str, indices))}" for kind, indices in parts.items() if indices]
