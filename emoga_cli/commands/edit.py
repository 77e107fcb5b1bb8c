"""`emoga edit`: an avatar changed as words say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoga.errors import InputError
from emoga_cli.options import DryRunOption, MediaOption, OverwriteOption
from emoga_cli.session import Session, verb

if TYPE_CHECKING:
    from emoga.editing import EditReport
    from emoga.guidance import Endpoint

COMMON = ("seed", "threads", "json", "quiet", "verbose")
KEY_VARIABLE = "EMOGA_LLM_KEY"

AvatarArgument = Annotated[Path | None, typer.Argument(help="Avatar (.ply or .h5).")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Edited avatar to write (.ply or .h5).")
]
PromptOption = Annotated[str | None, typer.Option("--prompt", "-p", help="What is to change, in words.")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Print the plan of the prompt, do nothing.")]
PlanFileOption = Annotated[
    Path | None, typer.Option("--plan-file", help="Run a plan that --plan --json printed.")
]
VocabularyOption = Annotated[bool, typer.Option("--vocabulary", help="List all that prompts may ask for.")]
MethodOption = Annotated[
    Literal["parametric", "edit3dgs", "dynamicavatars"],
    typer.Option("--method", help="By formulas, without weights, or learnt from edited pictures."),
]
TrackOption = Annotated[
    Path | None,
    typer.Option("--track", help="Track (.h5) the avatar was fitted to, to learn from its pictures."),
]
EditorOption = Annotated[
    str,
    typer.Option(
        "--editor",
        help="What edits the pictures: images:DIR, instruct-pix2pix, ultraedit:DIR, a diffusers folder.",
    ),
]
SourceOption = Annotated[
    Literal["captured", "rendered"],
    typer.Option("--pictures", help="Edit what the cameras captured, or the avatar's renders."),
]
ViewsOption = Annotated[
    str | None, typer.Option("--views", help="Views to edit: 0,2,5-7.  [default: up to 8]")
]
FramesOption = Annotated[
    str | None,
    typer.Option(
        "--frames",
        help="Frames to edit: 0,2,5-7.  [default: 6, of one camera 24, of views edited together 4]",
    ),
]
CorrespondenceOption = Annotated[
    Literal["depth", "epipolar", "none"],
    typer.Option(
        "--correspondence",
        help="How edit3dgs makes views agree: by the avatar's depth, along epipolar lines, or not at all.",
    ),
]
KeepExpressionOption = Annotated[
    bool,
    typer.Option(
        "--keep-expression/--no-keep-expression",
        help="edit3dgs: keep eyes and mouth as they were, unless the prompt names them.",
    ),
]
FineOption = Annotated[
    bool,
    typer.Option(
        "--fine/--no-fine",
        help="Second stage: each operation again, in the latents of where it acts, all views together.",
    ),
]
GuidanceOption = Annotated[
    str | None,
    typer.Option("--guidance", help="Of a diffusion editor, by text and picture: 7.5,1.5."),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Denoising steps of a diffusion editor.")
]
BelieveOption = Annotated[
    Literal["plan", "all"],
    typer.Option("--believe", help="Believe of the edits what the plan names, or all of it."),
]
WriteEditsOption = Annotated[
    Path | None,
    typer.Option("--write-edits", help="Only write pictures and masks for another editor, and end."),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="Parts that may change: lips,brows.  [default: all]")
]
StrengthOption = Annotated[
    float, typer.Option("--strength", min=0, max=2, help="0 changes nothing, 1 is clearly visible.")
]
ImageOption = Annotated[Path | None, typer.Option("--image", help="Picture of a tattoo.")]
LlmOption = Annotated[
    str | None,
    typer.Option(
        "--llm",
        envvar="EMOGA_LLM",
        help="OpenAI-compatible server that plans instead of the built-in rules: "
        f"http://localhost:8080/v1. Its key is read from {KEY_VARIABLE}.",
    ),
]
LlmModelOption = Annotated[str, typer.Option("--llm-model", help="Model to ask it for.")]
UndoOption = Annotated[bool, typer.Option("--undo", help="Write the avatar that this one was made from.")]
KeepParentOption = Annotated[
    bool, typer.Option("--keep-parent", help="Put a copy of the input beside the output, for --undo.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "edit", common=COMMON)
    def edit(
        session: Session,
        avatar: AvatarArgument = None,
        output: OutputOption = None,
        prompt: PromptOption = None,
        plan: PlanOption = False,
        plan_file: PlanFileOption = None,
        vocabulary: VocabularyOption = False,
        method: MethodOption = "parametric",
        track: TrackOption = None,
        editor: EditorOption = "instruct-pix2pix",
        source: SourceOption = "captured",
        views: ViewsOption = None,
        frames: FramesOption = None,
        correspondence: CorrespondenceOption = "depth",
        keep_expression: KeepExpressionOption = True,
        fine: FineOption = False,
        guidance: GuidanceOption = None,
        steps: StepsOption = None,
        media: MediaOption = None,
        believe: BelieveOption = "plan",
        write_edits: WriteEditsOption = None,
        region: RegionOption = None,
        strength: StrengthOption = 1.0,
        image: ImageOption = None,
        llm: LlmOption = None,
        llm_model: LlmModelOption = "default",
        undo: UndoOption = False,
        keep_parent: KeepParentOption = False,
        overwrite: OverwriteOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Change an avatar's shape, colours and accessories as a prompt says; it stays drivable.

        Example: emoga edit avatar.ply --prompt "make him older" -o older.ply
        """
        if vocabulary:
            from emoga.editing.vocabulary import vocabulary as tables
            from emoga.editing.vocabulary import vocabulary_text

            session.finish({"vocabulary": tables()}, vocabulary_text())
            return
        endpoint = _endpoint(llm, llm_model)
        if plan:
            from emoga.editing.edit import make_plan

            made = make_plan(prompt, plan_file, endpoint)
            session.finish({"plan": made.as_json()}, made.describe())
            return
        if avatar is None:
            raise InputError("name the avatar to edit: emoga edit avatar.ply --prompt ... -o edited.ply")
        if output is None and (undo or write_edits is None):
            raise InputError("say where the edited avatar goes: --output edited.ply")
        if undo:
            _undo(session, avatar, output, overwrite, dry_run)
            return
        import emoga
        from emoga.editing.choosing import PictureWishes, choice_of, editor_options

        wishes = PictureWishes(
            editor, track, media, source, views, frames, None if correspondence == "none" else correspondence,
            keep_expression, fine, believe, session.seed, editor_options(guidance, steps),
        )  # fmt: skip
        pictures = choice_of(method, wishes, write=write_edits is not None)
        if dry_run:
            from emoga.editing.choosing import check_choice
            from emoga.editing.edit import check_outputs, make_plan
            from emoga_cli.plans_of_avatars import plan_edit

            check_outputs(output, write_edits, overwrite)
            check_choice(method, pictures, region, image, write_edits is not None)
            made = make_plan(prompt, plan_file, endpoint)
            session.plan(plan_edit(avatar, output, made, pictures, write_edits))
            return
        _, found = emoga.edit(
            avatar,
            output,
            prompt=prompt,
            plan=plan_file,
            method=method,
            llm=endpoint,
            region=region,
            strength=strength,
            image=image,
            keep_parent=keep_parent,
            pictures=pictures,
            write_edits=write_edits,
            seed=session.seed,
            overwrite=overwrite,
            report=session.report,
        )
        result = None if write_edits else str(output)
        session.finish({"output": result, **found.as_json()}, _text(output, found))


def _undo(session: Session, avatar: Path, output: Path, overwrite: bool, dry_run: bool) -> None:
    if dry_run:
        from emoga.files import check_output
        from emoga_cli.plans_of_avatars import plan_undo

        check_output(output, overwrite)
        session.plan(plan_undo(avatar, output))
        return
    from emoga.editing.edit import undo

    parent = undo(avatar, output, overwrite)
    session.finish({"output": str(output), "parent": str(parent)}, f"{output}  from {parent}")


def _endpoint(url: str | None, model: str) -> Endpoint | None:
    """The server to plan by; its key comes from the environment, so that no shell history holds it."""
    if url is None:
        return None
    from emoga.guidance import Endpoint

    return Endpoint(url, model, os.environ.get(KEY_VARIABLE))


def _text(output: Path | None, found: EditReport) -> str:
    if found.written:
        return (
            f"{found.written}\nedit DIR/images into EDITED, file by file, only where masks are white;\n"
            "then: --editor images:EDITED, with the same --views and --frames"
        )
    came = f", {found.added:+d}" if found.added else ""
    return "\n".join(
        [
            f"{output}  {found.gaussians} Gaussians{came}, {found.seconds:.1f} s",
            *(f"  {s}" for s in found.done),
        ]
    )
