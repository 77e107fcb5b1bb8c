"""`emoga optimize-emotion`: an avatar learns emotions from edited pictures of its own capture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emoga.errors import InputError
from emoga_cli.options import (
    DryRunOption,
    HoldOutOption,
    MediaOption,
    OverwriteOption,
    ResumeOption,
)
from emoga_cli.session import Session, verb

if TYPE_CHECKING:
    from emoga.emotion import EmotionReport, LearntEmotion
    from emoga.emotion.naming import LanguageModel

MODEL_KEY = "EMOGA_LLM_KEY"

AvatarArgument = Annotated[Path, typer.Argument(help="Avatar (.ply or .h5) that emoga fit made.")]
TrackOption = Annotated[Path, typer.Option("--track", help="Track (.h5) the avatar was fitted to.")]
EmotionsOption = Annotated[
    list[str],
    typer.Option(
        "--emotion", help='happy, sad, ..., or words: "skeptical: one brow raised, lips pressed". Repeatable.'
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Avatar to write (.ply or .h5), emotions included.")
]
EditorOption = Annotated[
    str,
    typer.Option(
        "--editor",
        help="warp, images:DIR, ultraedit, instruct-pix2pix, flux-kontext, qwen-image-edit, each also NAME:DIR, "
        "or a local diffusers folder.",
    ),
]
StrengthOption = Annotated[
    float, typer.Option("--strength", min=0, max=1, help="How strongly the editor plays the emotion.")
]
EditSeedOption = Annotated[
    int | None, typer.Option("--edit-seed", min=0, help="The editor's seed, one for the whole subject.")
]
PromptOption = Annotated[
    list[str] | None,
    typer.Option("--prompt", help="NAME=TEXT: what a diffusion editor is told for an emotion. Repeatable."),
]
NegativeOption = Annotated[
    str | None, typer.Option("--negative-prompt", help="What a diffusion editor is told to avoid.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", envvar="EMOGA_WEIGHTS", help="Folder that holds the editors' folders of weights."
    ),
]
StepsOption = Annotated[int | None, typer.Option("--steps", min=1, help="Denoising steps of the editor.")]
EditSizeOption = Annotated[
    int | None, typer.Option("--edit-size", min=16, help="Side of the square the editor works on, in pixels.")
]
TextGuidanceOption = Annotated[
    float | None, typer.Option("--text-guidance", help="How closely the editor follows the prompt.")
]
ImageGuidanceOption = Annotated[
    float | None, typer.Option("--image-guidance", help="How closely the editor keeps to the picture.")
]
OffloadOption = Annotated[
    Literal["resident", "offload", "sequential"] | None,
    typer.Option("--offload", help="Hold the editor whole, part by part or layer by layer on the device."),
]
MaskOption = Annotated[
    Literal["auto", "hard", "soft", "none"],
    typer.Option("--mask", help="What may be edited: hard or soft regions of the face, or the whole head."),
]
ParserOption = Annotated[
    Path | None,
    typer.Option(
        "--parser-masks", help="Folder of a face parser's masks, CAMERA/000000.png, in their place."
    ),
]
ViewsOption = Annotated[
    str | None, typer.Option("--views", help="Views to edit: 0,2,5-7.  [default: up to 10]")
]
FramesOption = Annotated[
    str | None, typer.Option("--frames", help="Frames to edit: 0,2,5-7.  [default: 8, of one camera 32]")
]
WriteEditsOption = Annotated[
    Path | None,
    typer.Option("--write-edits", help="Only write pictures, masks and prompts for another editor, and end."),
]
KeepEditsOption = Annotated[
    Path | None, typer.Option("--keep-edits", help="Folder to write the edits to, for images:DIR.")
]
SheetOption = Annotated[
    Path | None, typer.Option("--sheet", help="Contact sheet (PNG): captured, edits, result, both sides.")
]
LanguageModelOption = Annotated[
    str | None,
    typer.Option(
        "--llm",
        envvar="EMOGA_LLM",
        help=f"Endpoint that reads the words, such as http://localhost:8080/v1; its key in {MODEL_KEY}.",
    ),
]
ModelNameOption = Annotated[str, typer.Option("--llm-model", help="Model to ask there.")]
IterationsOption = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Steps of learning per emotion.")
]
GeometryOption = Annotated[
    bool, typer.Option("--geometry/--no-geometry", help="Learn how the emotion moves the face.")
]
TextureOption = Annotated[
    bool, typer.Option("--texture/--no-texture", help="Learn how the emotion changes colours.")
]
WeightingOption = Annotated[
    Literal["consensus", "views", "even"],
    typer.Option(
        "--weighting", help="Where edits are believed: worked out, by view as published, or everywhere."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "optimize-emotion", checkpoints=True)
    def optimize_emotion(
        session: Session,
        avatar: AvatarArgument,
        track: TrackOption,
        emotion: EmotionsOption,
        output: OutputOption = None,
        editor: EditorOption = "warp",
        strength: StrengthOption = 1.0,
        edit_seed: EditSeedOption = None,
        prompt: PromptOption = None,
        negative_prompt: NegativeOption = None,
        weights: WeightsOption = None,
        steps: StepsOption = None,
        edit_size: EditSizeOption = None,
        text_guidance: TextGuidanceOption = None,
        image_guidance: ImageGuidanceOption = None,
        offload: OffloadOption = None,
        mask: MaskOption = "auto",
        parser_masks: ParserOption = None,
        views: ViewsOption = None,
        frames: FramesOption = None,
        media: MediaOption = None,
        hold_out: HoldOutOption = None,
        language_model: LanguageModelOption = None,
        language_model_name: ModelNameOption = "default",
        iterations: IterationsOption = None,
        geometry: GeometryOption = True,
        texture: TextureOption = True,
        weighting: WeightingOption = "consensus",
        write_edits: WriteEditsOption = None,
        keep_edits: KeepEditsOption = None,
        sheet: SheetOption = None,
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Teach an avatar emotions it never showed, from edited pictures of its own capture.

        Example: emoga optimize-emotion avatar.ply --track track.h5 --emotion happy -o happy.ply
        """
        if output is None and write_edits is None:
            raise InputError("-o is missing: name the avatar to write, or a folder with --write-edits")
        import emoga
        from emoga.emotion import Learning
        from emoga.guidance import SUBJECT_SEED

        learning: dict[str, Any] = {"geometry": geometry, "texture": texture, "weighting": weighting}
        if iterations is not None:
            learning["iterations"] = iterations
        if dry_run:
            from emoga.emotion.optimize_emotion import check_outputs
            from emoga_cli.plans_of_avatars import plan_optimize_emotion

            check_outputs(output, sheet, write_edits, keep_edits, overwrite, resume)
            passes = None if write_edits else Learning(**learning).iterations
            plan = plan_optimize_emotion(
                avatar, track, emotion, write_edits or output, editor, passes,
                media=media, hold_out=hold_out, views=views, frames=frames,
            )  # fmt: skip
            session.plan(plan)
            return
        options = {
            "weights": weights, "steps": steps, "size": edit_size, "text_guidance": text_guidance,
            "image_guidance": image_guidance, "offload": offload,
        }  # fmt: skip
        options = {name: value for name, value in options.items() if value is not None}
        _, found = emoga.optimize_emotion(
            avatar,
            track,
            emotion,
            output,
            editor=editor,
            editor_options=options,
            strength=strength,
            edit_seed=SUBJECT_SEED if edit_seed is None else edit_seed,
            prompts=_prompts(prompt or []),
            negative_prompt=negative_prompt,
            language_model=_language_model(language_model, language_model_name),
            media=media,
            hold_out=hold_out,
            views=views,
            frames=frames,
            mask=mask,
            parser=parser_masks,
            write_edits=write_edits,
            keep_edits=keep_edits,
            sheet=sheet,
            learning=Learning(**learning),
            device=session.device,
            seed=session.seed,
            resume=resume,
            overwrite=overwrite,
            report=session.report,
        )
        result = None if write_edits else str(output)
        session.finish({"output": result, **found.as_json()}, _text(output, found))


def _prompts(entries: list[str]) -> dict[str, str]:
    prompts = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not (equals and name.strip() and text.strip()):
            raise InputError(f"--prompt {entry}: write NAME=TEXT, such as happy='Make the person smile'")
        prompts[name.strip()] = text.strip()
    return prompts


def _language_model(url: str | None, name: str) -> LanguageModel | None:
    from emoga.emotion.naming import LanguageModel

    return None if url is None else LanguageModel(url, name, os.environ.get(MODEL_KEY))


def _text(output: Path | None, found: EmotionReport) -> str:
    if found.written:
        return "\n".join(
            [
                *found.written,
                "edit DIR/EMOTION/images into EDITED/EMOTION, file by file, only where masks are white;",
                "then: --editor images:EDITED, with the same --views and --frames",
            ]
        )
    lines = [
        f"{output}  {len(found.emotions)} emotions from {len(found.views) * len(found.frames)} pictures each"
    ]
    for emotion in found.emotions:
        lines += _about(emotion)
    return "\n".join(lines)


def _about(emotion: LearntEmotion) -> list[str]:
    compared = emotion.compared
    driven = "the preset" if compared.preset == "preset" else "the units of its words"
    units = sorted(emotion.learnt.items(), key=lambda item: -abs(item[1]))[:6]
    return [
        f"  {emotion.name}: " + ", ".join(f"{name} {weight:.2f}" for name, weight in units),
        f"    moves the face {compared.result_mm:.2f} mm, {driven} {compared.preset_mm:.2f} mm; "
        f"{compared.apart_mm:.2f} mm and {compared.picture_difference:.1f}/255 apart",
        f"    PSNR to the edits: {compared.psnr_result:.2f} dB, of {driven} driven directly "
        f"{compared.psnr_preset:.2f} dB",
    ]
