"""`emoga eval`: measures an avatar against the pictures of a track, or a track against landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emoga.errors import InputError, QualityError
from emoga_cli.options import FailBelowOption, MediaOption, OverwriteOption, ReportOption, ScoredHoldOutOption
from emoga_cli.session import Session, verb
from emoga_cli.tables import format_table

if TYPE_CHECKING:
    from emoga.evaluation import EvaluationReport, TrackReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "eval")
    def evaluate(
        session: Session,
        subject: Annotated[Path, typer.Argument(help="Avatar (.ply or .h5), or a track with --landmarks.")],
        track: Annotated[
            Path | None, typer.Option("--track", help="Track whose pictures are the truth.")
        ] = None,
        landmarks: Annotated[
            Path | None, typer.Option("--landmarks", help="Measure a track against these landmarks (.npz).")
        ] = None,
        hold_out: ScoredHoldOutOption = None,
        media: MediaOption = None,
        output: ReportOption = None,
        csv: Annotated[Path | None, typer.Option("--csv", help="Write one line per picture here.")] = None,
        sheet: Annotated[
            Path | None, typer.Option("--sheet", help="Write the worst pictures here (.png).")
        ] = None,
        max_pictures: Annotated[
            int | None, typer.Option("--max-pictures", min=1, help="At most so many per split.")
        ] = None,
        baseline: Annotated[bool, typer.Option(help="Also measure guesses without an avatar.")] = True,
        weights: Annotated[
            Path | None, typer.Option("--weights", envvar="EMOGA_WEIGHTS", help="Folder with LPIPS weights.")
        ] = None,
        fail_below: FailBelowOption = None,
        overwrite: OverwriteOption = False,
    ) -> None:
        """Measure an avatar against the pictures of a track: PSNR, SSIM, mouth and eyes, worst cases.

        Example: emoga eval avatar.ply --track track.h5 --sheet worst.png
        """
        import emoga
        from emoga.evaluation import evaluate_track

        if track is None:
            if fail_below is not None or subject.suffix.lower() == ".ply":
                raise InputError(f"{subject}: an avatar is measured on a track; name it with --track")
            found = evaluate_track(subject, landmarks, output=output, overwrite=overwrite)
            session.finish(found.to_dict(), _track_text(found))
            return
        report = emoga.evaluate(
            subject,
            track,
            hold_out=hold_out,
            media=media,
            output=output,
            csv=csv,
            sheet=sheet,
            max_pictures=max_pictures,
            baseline=baseline,
            weights=weights,
            device=session.torch_device(),
            overwrite=overwrite,
            report=session.report,
        )
        session.finish(report.to_dict(), _table(report))
        if fail_below is not None:
            _gate(report, fail_below)


def _table(report: EvaluationReport) -> str:
    lines = format_table(report.table())
    if report.landmarks is not None:
        relative = 100 * report.landmarks.mean_relative
        lines.append(f"landmarks: {report.landmarks.mean_px:.2f} px, {relative:.2f} % of face height")
    if report.lpips:
        lines.append("LPIPS: " + ", ".join(f"{name} {value:.4f}" for name, value in report.lpips.items()))
    elif report.lpips_missing:
        lines.append(f"LPIPS not computed: {report.lpips_missing}")
    return "\n".join([*lines, "", *report.protocol])


def _track_text(report: TrackReport) -> str:
    error = report.landmarks
    relative = f", {100 * error.mean_relative:.2f} % of face height" if error.mean_relative else ""
    return f"landmark error {error.mean_px:.2f} px{relative} against {report.source}"


def _gate(report: EvaluationReport, bound: float) -> None:
    """Raise QualityError when a held-out split, or training where nothing is held out, stays below."""
    held_out = {name: likeness.psnr for name, likeness in report.held_out.items() if likeness is not None}
    for name, psnr in (held_out or {"training": report.training.psnr}).items():
        if not psnr >= bound:
            raise QualityError(f"PSNR of {name} is {psnr:.2f} dB, below --fail-below {bound:g}")
