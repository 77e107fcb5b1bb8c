"""`emoga eval emotion`: measures how well an avatar shows emotions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoga.errors import InputError
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
from emoga_cli.values import parse_indices

if TYPE_CHECKING:
    from emoga.evaluation import EmotionEvaluation

NetworkOption = Path | None

AvatarArgument = Annotated[Path, typer.Argument(help="Avatar (.ply or .h5).")]
TrackOption = Annotated[Path, typer.Option("--track", help="Track whose views and frames are played.")]
EmotionOption = Annotated[
    list[str], typer.Option("--emotion", help="Emotion of the avatar or its head. Repeatable.")
]
TruthOption = Annotated[
    list[str] | None,
    typer.Option("--truth", help="EMOTION=PATH: a capture or track of the performer acting it. Repeatable."),
]
NeutralTruthOption = Annotated[
    Path | None,
    typer.Option("--neutral-truth", help="Studio capture without emotion.  [default: that of the track]"),
]
EditsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--edits",
        help="EMOTION=DIR: edits as CAMERA/000000.png; or DIR with EMOTION/ in it. Repeatable.",
    ),
]
BaselineOption = Annotated[
    list[str] | None,
    typer.Option("--baseline", help="[EMOTION=]MOTION whose geometry alone the avatar plays. Repeatable."),
]
FeaturesOption = Annotated[
    NetworkOption, typer.Option("--features", help="Feature network for FID and KID (.onnx).")
]
RecogniserOption = Annotated[NetworkOption, typer.Option("--recogniser", help="Emotion recogniser (.onnx).")]
LabelsOption = Annotated[
    str | None, typer.Option("--labels", help="The recogniser's outputs in order: angry,happy,sad.")
]
VggfaceOption = Annotated[NetworkOption, typer.Option("--vggface", help="VGG-Face network (.onnx).")]
AllowTorchscriptOption = Annotated[
    bool,
    typer.Option("--allow-torchscript", help="Also run networks in TorchScript, which can do anything."),
]
NetworkViewsOption = Annotated[
    Literal["frontal", "all"], typer.Option("--network-views", help="What networks look at.")
]
RetrackOption = Annotated[bool, typer.Option(help="Find the units again in the pictures.")]
LandmarkModelOption = Annotated[
    Path | None,
    typer.Option("--landmark-model", help="MediaPipe's .task file for that.  [default: optical flow]"),
]
ViewsOption = Annotated[str | None, typer.Option("--views", help="Views to look at: 0,3,8.  [default: some]")]
FramesOption = Annotated[
    str | None, typer.Option("--frames", help="Frames to look at: 0-11,20.  [default: some]")
]
SubjectOption = Annotated[
    str | None, typer.Option("--subject", help="Name in the tables.  [default: the avatar's file]")
]
SheetOption = Annotated[Path | None, typer.Option("--sheet", help="Write pictures side by side here (.png).")]
HeatMapOption = Annotated[
    Path | None, typer.Option("--heat-map", help="Write how far the face moves here (.png).")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "eval-emotion")
    def evaluate_emotion(
        session: Session,
        avatar: AvatarArgument,
        track: TrackOption,
        emotion: EmotionOption,
        truth: TruthOption = None,
        neutral_truth: NeutralTruthOption = None,
        edits: EditsOption = None,
        baseline: BaselineOption = None,
        features: FeaturesOption = None,
        recogniser: RecogniserOption = None,
        labels: LabelsOption = None,
        arcface: ArcfaceOption = None,
        vggface: VggfaceOption = None,
        clip: ClipOption = None,
        allow_torchscript: AllowTorchscriptOption = False,
        network_views: NetworkViewsOption = "frontal",
        retrack: RetrackOption = True,
        landmark_model: LandmarkModelOption = None,
        views: ViewsOption = None,
        frames: FramesOption = None,
        subject: SubjectOption = None,
        media: MediaOption = None,
        output: ReportOption = None,
        csv: TruthTableOption = None,
        sheet: SheetOption = None,
        heat_map: HeatMapOption = None,
        overwrite: OverwriteOption = False,
    ) -> None:
        """Measure an avatar's emotions: likeness to truth, flicker, agreement of views, expression, identity.

        Without truth, edits and networks what can be measured without them is; the tables, which are those of the
        EMO-GA thesis beside ours, mark the rest and say why. Also written as `emoga eval emotion`.

        Example: emoga eval-emotion avatar.ply --track track.h5 --emotion happy --sheet emotions.png
        """
        import emoga
        from emoga.evaluation import NetworkFiles

        session.refuse_json_with_stream(output)
        networks = NetworkFiles(
            features, recogniser, arcface, vggface, clip,
            tuple(name.strip() for name in labels.split(",")) if labels else (), allow_torchscript,
        )  # fmt: skip
        found = emoga.evaluate_emotion(
            avatar,
            track,
            emotion,
            truth=_by_emotion("--truth", truth, emotion),
            neutral_truth=neutral_truth,
            edits=_edits(edits, emotion),
            baseline=_one_each("--baseline", baseline, emotion, shared=True),
            networks=networks,
            network_views=network_views,
            retrack=retrack,
            landmark_model=landmark_model,
            media=media,
            views=parse_indices("--views", views),
            frames=parse_indices("--frames", frames),
            subject=subject,
            output=output,
            csv=csv,
            sheet=sheet,
            heat_map=heat_map,
            seed=session.seed,
            device=session.torch_device(),
            overwrite=overwrite,
            report=session.report,
        )
        session.finish(found.to_dict(), _text(found))


def _by_emotion(
    option: str, values: Sequence[str] | None, emotions: Sequence[str], shared: bool = False
) -> dict[str, list[str]]:
    """EMOTION=PATH texts as paths by emotion; a bare path is the only emotion's, or everybody's where `shared`."""
    found: dict[str, list[str]] = {}
    for text in values or ():
        name, equals, path = text.partition("=")
        if equals and name in emotions:
            found.setdefault(name, []).append(path)
        elif not equals and (shared or len(emotions) == 1):
            for each in emotions:
                found.setdefault(each, []).append(text)
        else:
            raise InputError(f"{option} {text}: write EMOTION=PATH with one of: {', '.join(emotions)}")
    return found


def _edits(values: Sequence[str] | None, emotions: Sequence[str]) -> dict[str, str] | str | None:
    """One folder for all emotions, which holds theirs by name, or one for each."""
    if values and len(values) == 1 and any((Path(values[0]) / name).is_dir() for name in emotions):
        return values[0]
    return _one_each("--edits", values, emotions)


def _one_each(
    option: str, values: Sequence[str] | None, emotions: Sequence[str], shared: bool = False
) -> dict[str, str]:
    found = _by_emotion(option, values, emotions, shared)
    for name, paths in found.items():
        if len(paths) > 1:
            raise InputError(f"{option}: {name} has {len(paths)}; name one")
    return {name: paths[0] for name, paths in found.items()}


def _text(found: EmotionEvaluation) -> str:
    from emoga.evaluation.emotion_tables import tables

    parts = ["\n".join([title, *format_table(rows), *notes]) for title, rows, notes in tables(found)]
    return "\n\n".join([*parts, "\n".join(found.protocol)])
