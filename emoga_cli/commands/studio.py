"""`emoga studio`: captures of a synthetic performer, with the truth beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emoga_cli.options import DryRunOption, OverwriteOption, ResumeOption
from emoga_cli.session import Session, verb

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Capture folder to write.")]
KindOption = Annotated[
    Literal["rig", "single"],
    typer.Option("--kind", help="Many cameras, or one before a moving head."),
]
PerformerOption = Annotated[int, typer.Option("--performer", min=0, help="Which person, any number.")]
InModelOption = Annotated[
    bool, typer.Option("--in-model", help="A person the head model can express exactly.")
]
EmotionOption = Annotated[str | None, typer.Option("--emotion", help="Act this emotion throughout.")]
IntensityOption = Annotated[
    float, typer.Option("--intensity", min=0, max=1.5, help="How strongly the emotion is acted.")
]
SizeOption = Annotated[int, typer.Option("--size", min=16, help="Pixels on a side.")]
ViewsOption = Annotated[int, typer.Option("--views", min=1, help="Cameras of the rig.")]
FramesOption = Annotated[
    int | None, typer.Option("--frames", min=1, help="Frames.  [default: 24, single 120]")
]
SamplesOption = Annotated[
    int, typer.Option("--samples", min=1, help="Samples per pixel; held-out pictures get four times.")
]
HoldOutOption = Annotated[
    list[str] | None,
    typer.Option("--hold-out", help="Pictures filmed for measuring: views:3,9 or frames:last:20%."),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", help="Film only these of them: views:0,8 or frames:last:6."),
]
ChangeOption = Annotated[
    str | None,
    typer.Option("--change", help="The same performer, but older, heavier, flushed or with lighter-hair."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "studio", checkpoints=True)
    def studio(
        session: Session,
        output: OutputOption,
        kind: KindOption = "rig",
        performer: PerformerOption = 0,
        in_model: InModelOption = False,
        emotion: EmotionOption = None,
        intensity: IntensityOption = 1.0,
        size: SizeOption = 512,
        views: ViewsOption = 16,
        frames: FramesOption = None,
        samples: SamplesOption = 20,
        hold_out: HoldOutOption = None,
        only: OnlyOption = None,
        change: ChangeOption = None,
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Film a synthetic performer whose every parameter is known: pictures, masks, landmarks, truth.

        Example: emoga studio -o capture --size 64 --views 2 --frames 3 --samples 4
        """
        session.stay_on_cpu()
        views = 1 if kind == "single" else views
        frames = frames or (120 if kind == "single" else 24)
        held_out = _default_hold_out(views, frames) if hold_out is None else tuple(hold_out)
        if dry_run:
            from emoga.files import check_output_folder
            from emoga_cli.plans import plan_studio

            check_output_folder(output, overwrite or resume)
            session.plan(plan_studio(output, size, views, frames, samples, held_out, tuple(only or ())))
            return
        from emoga.studio import capture

        folder = capture(
            output,
            kind=kind,
            performer=performer,
            in_model=in_model,
            emotion=emotion,
            intensity=intensity,
            size=size,
            views=views,
            frames=frames,
            samples=samples,
            seed=session.seed,
            hold_out=held_out,
            only=tuple(only or ()),
            change=change,
            overwrite=overwrite,
            resume=resume,
            report=session.report,
        )
        from emoga.describe import describe

        found = describe(folder)
        session.finish(
            {"output": str(folder), **found.facts},
            f"{folder}  {found.facts['cameras']} cameras, {found.facts['frames']} frames, "
            f"{found.facts['size']}, truth in truth.track.h5",
        )


def _default_hold_out(views: int, frames: int) -> tuple[str, ...]:
    """Two views of a full rig or one of a small one, and the last frames; never all of them."""
    chosen = "views:3,9" if views > 9 else f"views:{views // 2}"
    share = "25%" if views > 1 else "20%"
    return (*([chosen] if views > 1 else []), *([f"frames:last:{share}"] if frames > 1 else []))
