"""`emoga track`: from pictures of a face to pose, expression and shape over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from emoga.errors import InputError
from emoga_cli.options import DryRunOption, HoldOutOption, OverwriteOption, PresetOption, ResumeOption
from emoga_cli.session import Session, verb

Convention = Literal["opencv-w2c", "opencv-c2w", "opengl-w2c", "opengl-c2w"]

SourcesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOURCE...",
        help="Video, picture, folder of pictures or of synchronised videos, capture or dataset folder.",
    ),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Track to write (.h5); of several sources a folder.")
]
LandmarksOption = Annotated[
    Path | None,
    typer.Option("--landmarks", help="Landmarks (.npz), or a folder of CAMERA.npz or of SOURCE.npz."),
]
LandmarkModelOption = Annotated[
    Path | None, typer.Option("--landmark-model", help="Your MediaPipe face_landmarker.task.")
]
MasksOption = Annotated[Path | None, typer.Option("--masks", help="Folder of foreground masks.")]
HeadOption = Annotated[str, typer.Option("--head", help="Head model: open, or a FLAME head that you added.")]
StartOption = Annotated[int | None, typer.Option("--start", min=0, help="First frame.")]
EndOption = Annotated[int | None, typer.Option("--end", min=1, help="Frame to stop before.")]
FovOption = Annotated[
    float | None,
    typer.Option("--fov", min=1, max=170, help="Vertical field of view of the camera in degrees."),
]
ConventionOption = Annotated[
    Convention | None,
    typer.Option("--convention", help="How a dataset's cameras are written.  [default: by its layout]"),
]
AsGivenOption = Annotated[
    bool, typer.Option("--as-given", help="Take the FLAME parameters of a VHAP folder as they are.")
]
OverlayOption = Annotated[bool, typer.Option(help="Write overlay video and quality plot beside it.")]
JobsOption = Annotated[
    int, typer.Option("--jobs", min=1, help="How many of several sources to track at once.")
]
FailBelowOption = Annotated[
    float | None,
    typer.Option("--fail-below", help="Exit with 4 when the mean confidence (0 to 1) stays below this."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "track", checkpoints=True)
    def track(
        session: Session,
        sources: SourcesArgument,
        output: OutputOption,
        landmarks: LandmarksOption = None,
        landmark_model: LandmarkModelOption = None,
        masks: MasksOption = None,
        head: HeadOption = "open",
        hold_out: HoldOutOption = None,
        preset: PresetOption = "default",
        start: StartOption = None,
        end: EndOption = None,
        fov: FovOption = None,
        convention: ConventionOption = None,
        as_given: AsGivenOption = False,
        overlay: OverlayOption = True,
        jobs: JobsOption = 1,
        fail_below: FailBelowOption = None,
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Find pose, expression, shape and camera of a head in every frame.

        Several sources are several clips, each of its own; a folder of synchronised videos is one take of one head.

        Example: emoga track capture -o track.h5 --preset fast
        """
        session.stay_on_cpu()
        options = {
            "landmarks": landmarks,
            "landmark_model": landmark_model,
            "masks": masks,
            "head": head,
            "hold_out": hold_out or (),
            "preset": preset,
            "start": start,
            "end": end,
            "fov": fov,
            "convention": convention,
            "as_given": as_given,
            "overlay": overlay,
            "device": session.device,
            "seed": session.seed,
            "resume": resume,
            "overwrite": overwrite,
        }
        if dry_run:
            from emoga.files import check_output
            from emoga.tracking.many import outputs_of
            from emoga_cli.plans import plan_track, plan_tracks

            for written in [output] if len(sources) == 1 else outputs_of(sources, output):
                check_output(written, overwrite)
            plans = [plan_track(one, output, preset, start, end, overlay, convention) for one in sources]
            session.plan(plans[0] if len(plans) == 1 else plan_tracks(sources, plans, jobs))
        elif len(sources) > 1:
            _track_many(session, sources, output, jobs, options, fail_below)
        else:
            _track_one(session, sources[0], output, options, fail_below)


def _track_one(
    session: Session, source: Path, output: Path, options: dict[str, Any], fail_below: float | None
) -> None:
    import emoga

    found = emoga.track(source, output, report=session.report, **options)
    result = {
        "output": str(output),
        "cameras": len(found.cameras),
        "frames": found.frame_count,
        "calibrated": found.calibrated,
        **found.provenance,
    }
    session.finish(result, f"{output}  {_summary(result)}")
    if fail_below is not None:
        _gate([result], fail_below)


def _track_many(
    session: Session,
    sources: list[Path],
    folder: Path,
    jobs: int,
    options: dict[str, Any],
    fail_below: float | None,
) -> None:
    import emoga

    outcomes = emoga.track_many(
        sources, folder, jobs=jobs, threads=session.threads, report=session.report, **options
    )
    rows = [
        {
            "source": str(done.source),
            "output": str(done.output),
            "error": done.error,
            "exit_code": done.exit_code,
        }
        | (done.figures or {})
        for done in outcomes
    ]
    failed = [done for done in outcomes if done.exit_code]
    text = [f"{row['output']}  {row['error'] or _summary(row)}" for row in rows]
    session.finish({"clips": rows, "failed": len(failed)}, "\n".join(text))
    if failed:
        raise typer.Exit(failed[0].exit_code)
    if fail_below is not None:
        _gate(rows, fail_below)


def _gate(results: list[dict[str, Any]], bound: float) -> None:
    """Raise QualityError for the first track that is not good enough; of one taken as given nothing is known."""
    from emoga.tracking.report import require_confidence

    for result in results:
        if "quality" not in result:
            raise InputError(f"{result['output']}: was taken as given, --fail-below has nothing to judge")
        require_confidence(result["quality"]["confidence"], bound, result["output"])


def _summary(result: dict[str, Any]) -> str:
    """A track in a few words."""
    text = f"{result['cameras']} cameras, {result['frames']} frames"
    if "mean_px" in (error := result.get("landmarks", {})):
        text += (
            f", landmark error {error['mean_px']:.2f} px, confidence {result['quality']['confidence']:.2f}"
        )
    if "focal" in result:
        text += f", focal length {_focal_words(result['focal'])}"
    return text


def _focal_words(focal: dict[str, Any]) -> str:
    """Focal lengths with their uncertainty."""
    pixels, spreads = focal["pixels"], focal["relative_uncertainty"]
    if not isinstance(pixels, list):
        pixels, spreads = [pixels], [spreads]
    return ", ".join(f"{p:.0f} px ± {100 * s:.0f} %" for p, s in zip(pixels, spreads, strict=True))
