"""`emoga reenact`: an avatar driven by motion, emotions and cameras, as video or pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoga_cli.options import DryRunOption, OverwriteOption
from emoga_cli.session import Session, verb
from emoga_cli.values import parse_camera, parse_colour, parse_size

if TYPE_CHECKING:
    from emoga.reenactment import Reenactment

AvatarArgument = Annotated[str, typer.Argument(help="Avatar (.ply or .h5); - reads stdin.")]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", help=".mp4, .y4m, a folder for PNG with alpha, or - for y4m.")
]
MotionOption = Annotated[
    str,
    typer.Option("--motion", help="own, none, or a track, motion, ARKit CSV, .npz or flame_param folder."),
]
EmotionOption = Annotated[
    str | None,
    typer.Option(
        "--emotion", help="Intensities, mixed: happy:0.6,surprised:0.3; over time: happy@0s:0,happy@2s:1."
    ),
]
AffectOption = Annotated[
    str | None,
    typer.Option(
        "--valence-arousal", help="Instead of names, a mood: 0.6,0.3, or over time 0,0@0s;0.8,0.5@2s."
    ),
]
OrbitOption = Annotated[
    str | None, typer.Option("--orbit", help="Swing the camera: degrees or degrees/seconds.")
]
CameraOption = Annotated[
    str | None, typer.Option("--camera", help="Look from camera N of a track: track.h5:N.")
]
SizeOption = Annotated[str | None, typer.Option("--size", help="Picture size: 512 or 640x480.")]
FpsOption = Annotated[float | None, typer.Option("--fps", help="Frames per second of the result.")]
StartOption = Annotated[int, typer.Option("--start", min=0, help="First frame of the motion.")]
EndOption = Annotated[int | None, typer.Option("--end", min=1, help="Frame of the motion to stop before.")]
BackgroundOption = Annotated[
    str | None, typer.Option("--background", help="white, black, grey, #rrggbb or none.")
]
CalibrateOption = Annotated[
    bool, typer.Option(help="Carry another's motion over relative to each one's neutral face.")
]
PoseOption = Annotated[
    Literal["auto", "relative", "absolute", "still"],
    typer.Option("--pose", help="How another's head movement is carried over."),
]
AudioOption = Annotated[Path | None, typer.Option("--audio", help="Video whose sound goes into the mp4.")]
PicturesResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with a folder of pictures.")]
MarkOption = Annotated[bool, typer.Option(help="Say in the metadata that the pictures are synthetic.")]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "reenact")
    def reenact(
        session: Session,
        avatar: AvatarArgument,
        output: OutputOption,
        motion: MotionOption = "own",
        emotion: EmotionOption = None,
        valence_arousal: AffectOption = None,
        orbit: OrbitOption = None,
        camera: CameraOption = None,
        size: SizeOption = None,
        fps: FpsOption = None,
        start: StartOption = 0,
        end: EndOption = None,
        background: BackgroundOption = None,
        calibrate: CalibrateOption = True,
        pose: PoseOption = "auto",
        audio: AudioOption = None,
        mark: MarkOption = True,
        resume: PicturesResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Draw an avatar doing what a motion and emotions say.

        Example: emoga reenact avatar.ply -o happy.mp4 --emotion happy:0.6,surprised:0.3

        Example: emoga reenact avatar.ply -o mood.mp4 --valence-arousal -0.6,0.3
        """
        session.refuse_json_with_stream(output)
        driver = None if motion == "none" else motion
        if dry_run:
            from emoga.reenactment.outputs import check_reenact_output
            from emoga_cli.plans_of_avatars import plan_reenact

            check_reenact_output(output, overwrite, resume, sound=audio is not None)
            plan = plan_reenact(
                avatar, output, driver, emotion, valence_arousal, orbit, parse_camera(camera), parse_size(size),
                start=start, end=end, fps=fps,
            )  # fmt: skip
            session.plan(plan)
            return
        import emoga

        result = emoga.reenact(
            avatar, output, motion=driver, emotion=emotion,
            valence_arousal=valence_arousal, orbit=orbit, camera=parse_camera(camera), size=parse_size(size),
            fps=fps, start=start, end=end, background=parse_colour(background), calibrate=calibrate, pose=pose,
            audio_from=audio, mark=mark, device=session.torch_device(), overwrite=overwrite, resume=resume,
            report=session.report,
        )  # fmt: skip
        session.finish(asdict(result), "" if output == "-" else _text(output, result))


def _text(output: str, result: Reenactment) -> str:
    size = f"{result.width}x{result.height}"
    return f"{output}  {result.frames} frames, {size}, {result.fps:g} per second"
