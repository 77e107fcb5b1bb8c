"""`emoga export`: an avatar into its other format, into standard splat files of a pose, or a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emoga_cli.options import OverwriteOption
from emoga_cli.session import PLAIN, Session, verb

Format = Literal["ply", "h5", "3dgs", "splat", "gaussianavatars", "vhap", "obj", "glb"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "export", common=PLAIN)
    def export(
        session: Session,
        avatar: Annotated[
            str, typer.Argument(help="Avatar (.ply or .h5), - reads stdin; for vhap a track (.h5).")
        ],
        output: Annotated[
            str, typer.Option("--output", "-o", help="File or folder to write; - writes to stdout.")
        ],
        format: Annotated[
            Format | None, typer.Option("--format", help="What to write.  [default: by the suffix]")
        ] = None,
        motion: Annotated[
            Path | None, typer.Option("--motion", help="Motion or track to take a pose from.")
        ] = None,
        frame: Annotated[
            int | None, typer.Option("--frame", min=0, help="Frame of the motion, or of the avatar's own.")
        ] = None,
        emotion: Annotated[
            str | None, typer.Option("--emotion", help="Emotion or mix: happy:0.6,surprised:0.3.")
        ] = None,
        calibrate: Annotated[
            bool, typer.Option(help="Carry another's motion over relative to each one's neutral face.")
        ] = True,
        like: Annotated[
            Path | None, typer.Option("--like", help="Avatar that a PLY without a rig came from.")
        ] = None,
        media: Annotated[
            Path | None, typer.Option("--media", help="Where the pictures of a track lie now.")
        ] = None,
        overwrite: OverwriteOption = False,
    ) -> None:
        """Write an avatar for other programs: ply, h5 and gaussianavatars keep it drivable, the others
        freeze one pose.

        With --format vhap, write a track as the dataset folder of VHAP and GaussianAvatars.

        Example: emoga export avatar.ply -o happy.splat --emotion happy
        """
        import emoga

        session.refuse_json_with_stream(output)
        result = emoga.export(
            avatar,
            output,
            format=format,
            motion=motion,
            frame=frame,
            emotion=emotion,
            calibrate=calibrate,
            like=like,
            media=media,
            overwrite=overwrite,
            report=session.report,
        )
        text = "" if output == "-" else f"{result.output}  {result.format}, {result.bytes / 1e6:.1f} MB"
        session.finish(vars(result), text)
