"""`emoga fit`: from a track to an avatar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emoga.errors import QualityError
from emoga_cli.options import (
    DryRunOption,
    FailBelowOption,
    HoldOutOption,
    MediaOption,
    OverwriteOption,
    PresetOption,
    ResumeOption,
)
from emoga_cli.session import Session, verb

if TYPE_CHECKING:
    from emoga.fitting import FitReport

TrackArgument = Annotated[Path, typer.Argument(help="Track (.h5) made by emoga track.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Avatar to write (.ply or .h5).")]
IterationsOption = Annotated[int | None, typer.Option("--iterations", min=1, help="Instead of the preset's.")]
GaussiansOption = Annotated[int | None, typer.Option("--gaussians", min=1, help="At most so many Gaussians.")]
ShDegreeOption = Annotated[
    int | None, typer.Option("--sh-degree", min=0, max=3, help="Detail of view-dependent colour.")
]
AppearanceOption = Annotated[
    Literal["sh", "color_mlp"],
    typer.Option(
        "--appearance",
        help="Colours as SH, or from a network that emotions can change, fitted with patches.",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", envvar="EMOGA_WEIGHTS", help="Folder with VGG weights, to compare patches by."),
]
RefineMotionOption = Annotated[
    bool | None,
    typer.Option(
        "--refine-motion/--keep-motion",
        help="Correct the training frames' pose and expression; by default with several cameras.",
    ),
]
LightOption = Annotated[
    bool,
    typer.Option("--light/--no-light", help="Let colours follow the light in which the head turns, or not."),
]
RigOption = Annotated[
    Literal["smooth", "ga"], typer.Option("--rig", help="Triangle frames: ours, or GaussianAvatars'.")
]
KeepShouldersOption = Annotated[
    bool, typer.Option("--keep-shoulders", help="Keep what lies below the collar.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "fit", checkpoints=True)
    def fit(
        session: Session,
        track: TrackArgument,
        output: OutputOption,
        media: MediaOption = None,
        hold_out: HoldOutOption = None,
        preset: PresetOption = "default",
        iterations: IterationsOption = None,
        gaussians: GaussiansOption = None,
        sh_degree: ShDegreeOption = None,
        appearance: AppearanceOption = "sh",
        weights: WeightsOption = None,
        refine_motion: RefineMotionOption = None,
        light: LightOption = True,
        rig: RigOption = "smooth",
        keep_shoulders: KeepShouldersOption = False,
        fail_below: FailBelowOption = None,
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Fit Gaussians to the head of a track and write a drivable avatar.

        Example: emoga fit track.h5 -o avatar.ply --preset fast
        """
        if dry_run:
            from emoga.avatar.files import check_avatar_output
            from emoga_cli.plans import plan_fit

            check_avatar_output(output, overwrite)
            session.plan(
                plan_fit(
                    track, output, preset, media, iterations, gaussians, refine_motion, appearance, light
                )
            )
            return
        import emoga

        _, found = emoga.fit(
            track,
            output,
            media=media,
            hold_out=hold_out,
            preset=preset,
            iterations=iterations,
            gaussians=gaussians,
            sh_degree=sh_degree,
            appearance=appearance,
            weights=weights,
            refine_motion=refine_motion,
            light=light,
            rig=rig,
            keep_shoulders=keep_shoulders,
            device=session.torch_device(),
            seed=session.seed,
            resume=resume,
            overwrite=overwrite,
            report=session.report,
        )
        session.finish({"output": str(output), **found.as_json()}, _text(output, found))
        if fail_below is not None:
            _gate(found, fail_below)


def _text(output: Path, found: FitReport) -> str:
    lines = [f"{output}  {found.gaussians} Gaussians, {found.iterations} iterations, {found.seconds:.0f} s"]
    for name, likeness in _measured(found).items():
        lines.append(f"  {name:16} PSNR {likeness.psnr:6.2f} dB   SSIM {likeness.ssim:.4f}")
    if found.baseline_psnr == found.baseline_psnr:
        lines.append(f"  {'baseline':16} PSNR {found.baseline_psnr:6.2f} dB   (best guess without an avatar)")
    return "\n".join(lines)


def _measured(found: FitReport) -> dict[str, Any]:
    splits = {
        "training": found.training,
        **{f"held-out {name}": part for name, part in found.held_out.items()},
    }
    return {name: likeness for name, likeness in splits.items() if likeness is not None}


def _gate(found: FitReport, bound: float) -> None:
    """Raise QualityError when a held-out split, or training where nothing is held out, stays below."""
    measured = _measured(found)
    held_out = {name: likeness for name, likeness in measured.items() if name != "training"}
    for name, likeness in (held_out or measured).items():
        if not likeness.psnr >= bound:
            raise QualityError(f"PSNR of {name} is {likeness.psnr:.2f} dB, below --fail-below {bound:g}")
