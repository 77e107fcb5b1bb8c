"""`emoga eval edit`: measures how well an edited avatar shows its edit, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emoga_cli.options import (
    ArcfaceOption,
    ClipOption,
    MediaOption,
    OverwriteOption,
    ReportOption,
    TruthTableOption,
)
from emoga_cli.session import Session, verb
from emoga_cli.tables import format_table

if TYPE_CHECKING:
    from emoga.evaluation import EditEvaluation

COMMON = ("threads", "json", "quiet", "verbose")

AvatarArgument = Annotated[Path, typer.Argument(help="Edited avatar (.ply or .h5).")]
OriginalOption = Annotated[Path, typer.Option("--original", help="The avatar it was made from.")]
TrackOption = Annotated[Path, typer.Option("--track", help="Track whose views and frames are played.")]
PromptOption = Annotated[str, typer.Option("--prompt", "-p", help="What was asked for, in words, for CLIP.")]
BeforeOption = Annotated[
    str | None, typer.Option("--before", help="For CLIP: what pictures show before the edit.")
]
AfterOption = Annotated[str | None, typer.Option("--after", help="For CLIP: what they show after it.")]
TruthOption = Annotated[
    list[Path] | None,
    typer.Option("--truth", help="Capture of the performer with the true edit. Repeatable."),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="Regions of the head that the edit names: lips,cheeks.")
]
MotionOption = Annotated[
    Path | None, typer.Option("--motion", help="Another's motion, for cross-reenactment.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", envvar="EMOGA_WEIGHTS", help="Folder of LPIPS' backbone."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "eval-edit", common=COMMON)
    def evaluate_edit(
        session: Session,
        avatar: AvatarArgument,
        original: OriginalOption,
        track: TrackOption,
        prompt: PromptOption = "",
        before: BeforeOption = None,
        after: AfterOption = None,
        truth: TruthOption = None,
        region: RegionOption = None,
        motion: MotionOption = None,
        clip: ClipOption = None,
        arcface: ArcfaceOption = None,
        weights: WeightsOption = None,
        media: MediaOption = None,
        output: ReportOption = None,
        csv: TruthTableOption = None,
        overwrite: OverwriteOption = False,
    ) -> None:
        """Measure an edit: likeness to words and truth, agreement of views, locality, identity.

        What no network or truth was named for is marked, and says why. Also written as `emoga eval edit`.

        Example: emoga eval-edit older.ply --original avatar.ply --track track.h5 --prompt "make him older"
        """
        import emoga
        from emoga.errors import InputError

        session.refuse_json_with_stream(output)
        if (before is None) != (after is None):
            raise InputError("--before and --after belong together")
        found = emoga.evaluate_edit(
            avatar,
            original,
            track,
            prompt=prompt,
            words=None if before is None else (before, after),
            truth=truth or (),
            regions=tuple(name.strip() for name in (region or "").split(",") if name.strip()),
            motion=motion,
            clip=clip,
            arcface=arcface,
            weights=weights,
            media=media,
            output=output,
            csv=csv,
            overwrite=overwrite,
            report=session.report,
        )
        session.finish(found.to_dict(), _text(found))


def _text(found: EditEvaluation) -> str:
    lines = format_table(found.table())
    return "\n".join([*lines, *(f"{name}: not computed, {why}" for name, why in found.missing.items())])
