"""`emoga track`: from pictures of a face to pose, expression and shape over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from emoga_cli.options import DryRunOption, HoldOutOption, OverwriteOption, PresetOption, ResumeOption
from emoga_cli.session import Session, verb

Convention = Literal["opencv-w2c", "opencv-c2w", "opengl-w2c", "opengl-c2w"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "track", checkpoints=True)
    def track(
        session: Session,
        source: Annotated[
            Path, typer.Argument(help="Video, picture, folder of pictures, capture or dataset folder.")
        ],
        output: Annotated[Path, typer.Option("--output", "-o", help="Track to write (.h5).")],
        landmarks: Annotated[
            Path | None, typer.Option("--landmarks", help="Landmarks (.npz), or a folder of CAMERA.npz.")
        ] = None,
        landmark_model: Annotated[
            Path | None, typer.Option("--landmark-model", help="Your MediaPipe face_landmarker.task.")
        ] = None,
        masks: Annotated[Path | None, typer.Option("--masks", help="Folder of foreground masks.")] = None,
        head: Annotated[
            str, typer.Option("--head", help="Head model: open, or a FLAME head that you added.")
        ] = "open",
        hold_out: HoldOutOption = None,
        preset: PresetOption = "default",
        start: Annotated[int | None, typer.Option("--start", min=0, help="First frame.")] = None,
        end: Annotated[int | None, typer.Option("--end", min=1, help="Frame to stop before.")] = None,
        fov: Annotated[
            float | None,
            typer.Option("--fov", min=1, max=170, help="Vertical field of view of the camera in degrees."),
        ] = None,
        convention: Annotated[
            Convention | None,
            typer.Option(
                "--convention", help="How a dataset's cameras are written.  [default: by its layout]"
            ),
        ] = None,
        as_given: Annotated[
            bool, typer.Option("--as-given", help="Take the FLAME parameters of a VHAP folder as they are.")
        ] = False,
        overlay: Annotated[bool, typer.Option(help="Write overlay video and quality plot beside it.")] = True,
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Find pose, expression, shape and camera of a head in every frame.

        Example: emoga track capture -o track.h5 --preset fast
        """
        if dry_run:
            from emoga_cli.plans import plan_track

            session.plan(plan_track(source, output, preset, start, end, overlay, convention))
            return
        import emoga

        found = emoga.track(
            source,
            output,
            landmarks=landmarks,
            landmark_model=landmark_model,
            masks=masks,
            head=head,
            hold_out=hold_out or (),
            preset=preset,
            start=start,
            end=end,
            fov=fov,
            convention=convention,
            as_given=as_given,
            overlay=overlay,
            device=session.device,
            seed=session.seed,
            resume=resume,
            overwrite=overwrite,
            report=session.report,
        )
        error = found.provenance.get("landmarks", {})
        text = f"{output}  {len(found.cameras)} cameras, {found.frame_count} frames"
        if "mean_px" in error:
            text += f", landmark error {error['mean_px']:.2f} px"
        if not found.calibrated:
            text += f", focal length {_focal_words(found.provenance['focal'])}"
        result = {
            "output": str(output),
            "cameras": len(found.cameras),
            "frames": found.frame_count,
            **found.provenance,
        }
        session.finish(result, text)


def _focal_words(focal: dict[str, Any]) -> str:
    """Focal lengths with their uncertainty."""
    pixels, spreads = focal["pixels"], focal["relative_uncertainty"]
    if not isinstance(pixels, list):
        pixels, spreads = [pixels], [spreads]
    return ", ".join(f"{p:.0f} px ± {100 * s:.0f} %" for p, s in zip(pixels, spreads, strict=True))
