"""edit: an avatar changed as words say, still drivable, with every change on record."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import emoga
from emoga.avatar import Avatar, load_avatar, save_avatar
from emoga.avatar.files import check_avatar_output, format_of, is_hdf5
from emoga.editing.abilities import OTHER_WAYS, why_not
from emoga.editing.by_pictures import PictureChoice, edited_by_pictures, write_pictures
from emoga.editing.choosing import check_choice
from emoga.editing.history import find_parent, kept_name, parent_record, with_history, worn_things
from emoga.editing.parametric import carry_out, region_parts
from emoga.editing.together import TogetherChoice, edited_together
from emoga.errors import InputError
from emoga.files import check_output, check_output_folder, require_file, write_bytes
from emoga.guidance import EditPlan, Endpoint, plan_edit, plan_edit_by_model, plan_from_text
from emoga.images import picture_size
from emoga.progress import Note, Reporter, silent

METHODS = ("parametric", "edit3dgs", "dynamicavatars")
MAX_PLAN_FILE = 256 * 1024
MAX_PICTURE = 4096
SHAPES_OF_INK = {"star", "heart", "cross", "moon", "teardrop", "dot"}
MOST_STRENGTH = 2.0


@dataclass
class EditReport:
    """What an edit did: plan; done and refused in words; how many Gaussians there are, came on;
    pictures: those learnt from, and how much their edits change 8-bit values where they may; held_out: dB by which the
    avatar shows edits it was not learnt from. written: a folder of pictures to edit, when that was all."""

    plan: dict[str, Any]
    method: str = "parametric"
    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    pictures: int = 0
    change: float = 0.0
    held_out: dict[str, float] = field(default_factory=dict)
    written: str = ""
    gaussians: int = 0
    added: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def make_plan(
    prompt: str | None, plan: EditPlan | str | Path | None, llm: Endpoint | None = None
) -> EditPlan:
    """The plan of an edit: from a prompt, by rules or by a language model, or from a plan file.

    Raises InputError when both or neither are given, and for what is no plan.
    """
    if (prompt is None) == (plan is None):
        raise InputError("an edit needs --prompt or --plan-file, and not both")
    if plan is None:
        return plan_edit_by_model(prompt, llm) if llm is not None else plan_edit(prompt)
    if isinstance(plan, EditPlan):
        return plan
    path = require_file(plan, "a plan that emoga edit --plan --json printed")
    if path.stat().st_size > MAX_PLAN_FILE:
        raise InputError(f"{path}: larger than {MAX_PLAN_FILE // 1024} KiB; a plan of an edit is small")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text; expected a plan as JSON") from error
    return plan_from_text(text, str(path))


def edit(
    avatar: Avatar | str | Path,
    output: str | Path | None = None,
    *,
    prompt: str | None = None,
    plan: EditPlan | str | Path | None = None,
    method: str = "parametric",
    llm: Endpoint | None = None,
    region: str | None = None,
    strength: float = 1.0,
    image: str | Path | None = None,
    keep_parent: bool = False,
    pictures: PictureChoice | TogetherChoice | None = None,
    write_edits: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    report: Reporter = silent,
) -> tuple[Avatar, EditReport]:
    """Edit an avatar by an instruction or a plan, and write it to `output` (.ply or .h5; None writes nothing).

    region: parts of the head that may change, `lips,brows`; strength: 0 changes nothing, 1 is clearly visible, at
    most 2; image: picture of a tattoo; llm: a server that plans instead of the built-in rules; keep_parent: put a
    copy of the input beside the output, for `undo`. pictures: of methods that learn from edited pictures, which these
    are; write_edits: a folder to write pictures and masks to for a tool outside, after which it ends. seed: of where
    freckles and the like fall.

    Raises InputError for bad input and for a plan of which nothing can be done, MissingComponent when the server of
    `llm` cannot be reached.
    """
    started = time.monotonic()
    if method not in METHODS:
        raise InputError(f"--method {method}: unknown; known: {', '.join(METHODS)}")
    if not 0 <= strength <= MOST_STRENGTH:
        raise InputError(f"--strength {strength:g}: must be between 0 and {MOST_STRENGTH:g}")
    parts = region_parts(region)
    check_outputs(output, write_edits, overwrite)
    check_choice(method, pictures, region, image, write_edits is not None)
    picture = None if image is None else read_picture(image)
    chosen = make_plan(prompt, plan, llm)
    source = None if isinstance(avatar, Avatar) or str(avatar) == "-" else Path(avatar)
    before = avatar if isinstance(avatar, Avatar) else load_avatar(avatar)
    found = EditReport(chosen.as_json(), method)
    if write_edits is not None:
        folder = write_pictures(before, pictures, chosen.text, strength, write_edits, overwrite, report)
        found.written, found.gaussians = str(folder), len(before.gaussians)
        return before, found
    if strength == 0:
        after = before
    elif pictures is not None:
        after = _learnt(before, chosen, strength, pictures, source, seed, found, report)
    else:
        after = _changed(before, chosen, strength, parts, picture, source, seed, found, report)
    found.gaussians, found.added = len(after.gaussians), len(after.gaussians) - len(before.gaussians)
    if output is not None:
        _write(after, before, source, Path(output), overwrite)
        if keep_parent and source is not None and after is not before:
            write_bytes(kept_name(Path(output)), source.read_bytes(), overwrite)
    found.seconds = round(time.monotonic() - started, 2)
    return after, found


def check_outputs(output: str | Path | None, write_edits: str | Path | None, overwrite: bool) -> None:
    """Refuse what could not be written before anything is worked out. Raises InputError."""
    if output is not None:
        check_avatar_output(output, overwrite)
    if write_edits is not None:
        check_output_folder(write_edits, overwrite)


def parent_of(avatar: str | Path) -> Path:
    """The file that an edited avatar was made from, found beside it. Raises InputError as `undo` does."""
    source = require_file(avatar, "an edited avatar")
    return find_parent(load_avatar(source), source)


def undo(avatar: str | Path, output: str | Path, overwrite: bool = False) -> Path:
    """Write the parent of an edited avatar, found beside it, to `output`; returns where it was.

    Raises InputError when the avatar was not edited or its parent is gone.
    """
    check_output(output, overwrite)
    parent = parent_of(avatar)
    if format_of(output) == format_of(parent):
        write_bytes(output, parent.read_bytes(), overwrite)
    else:
        save_avatar(load_avatar(parent), output, overwrite)
    return parent


def read_picture(path: str | Path) -> np.ndarray:
    """A picture as float [H,W,4] in 0..1; without transparency of its own, what is light counts as clear.

    Raises InputError for what is none or is huge.
    """
    width, height = picture_size(require_file(path, "a picture"))
    if max(width, height) > MAX_PICTURE:
        raise InputError(f"{path}: {width}x{height}; at most {MAX_PICTURE} pixels a side are read")
    try:
        with Image.open(path) as file:
            clear = file.mode in ("RGBA", "LA", "PA") or "transparency" in file.info
            pixels = np.asarray(file.convert("RGBA"), np.float64) / 255
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no picture that can be read") from error
    if not clear:
        alpha = np.clip(2.5 * (1 - pixels[..., :3].min(-1)), 0, 1)
        pixels = np.concatenate([pixels[..., :3], alpha[..., None]], -1)
    return pixels


def _changed(
    avatar: Avatar, plan: EditPlan, strength: float, parts: tuple[str, ...], picture: np.ndarray | None,
    source: Path | None, seed: int, found: EditReport, report: Reporter,
) -> Avatar:  # fmt: skip
    outcome = carry_out(avatar, plan, strength, parts, picture, seed, report)
    found.done = outcome.done
    found.refused = [*outcome.refused, *(why_not(phrase) for phrase in plan.refused)]
    if not outcome.done:
        reasons = "; ".join(found.refused) or "the plan has no operations"
        raise InputError(f"nothing of this edit can be done: {reasons}; {OTHER_WAYS}")
    for line in found.refused:
        report(Note(line, warning=True))
    if plan.not_understood:
        report(Note(f"not understood: {', '.join(plan.not_understood)}", warning=True))
    shapeless = any(
        step.target == "tattoo" and not set(step.style) & SHAPES_OF_INK for step in plan.operations
    )
    if shapeless and picture is None:
        report(
            Note(
                f"the tattoo is a star: say {', '.join(sorted(SHAPES_OF_INK))}, or give --image", warning=True
            )
        )
    entry = {
        "made_by": f"emoga {emoga.__version__} edit",
        "method": found.method,
        "prompt": plan.text,
        "plan": plan.as_json(),
        "strength": strength,
        "region": list(parts),
        "seed": seed,
        "parent": parent_record(avatar, source),
    }
    return with_history(outcome.avatar, entry, outcome.things)


def _learnt(
    avatar: Avatar, plan: EditPlan, strength: float, pictures: PictureChoice | TogetherChoice,
    source: Path | None, seed: int, found: EditReport, report: Reporter,
) -> Avatar:  # fmt: skip
    if isinstance(pictures, TogetherChoice):
        result, facts = edited_together(
            avatar, plan, plan.text, pictures, strength, seed, report, found.method
        )
        found.held_out = {name: value for name, value in facts.items() if name.startswith("held_out")}
    else:
        result, facts = edited_by_pictures(
            avatar, plan, plan.text, found.method, pictures, strength, seed, report
        )
    found.pictures, found.change = facts["pictures"], facts["change"]
    found.done = [f"learnt from {found.pictures} edited pictures"]
    entry = {
        "made_by": f"emoga {emoga.__version__} edit",
        "method": found.method,
        "editor": pictures.editor.partition(":")[0] if ":" in pictures.editor else Path(pictures.editor).name,
        "prompt": plan.text,
        "plan": plan.as_json(),
        "strength": strength,
        "seed": seed,
        "parent": parent_record(avatar, source),
    }
    return with_history(result, entry, worn_things(avatar))


def _write(after: Avatar, before: Avatar, source: Path | None, output: Path, overwrite: bool) -> None:
    """Save an avatar; one that did not change, in its own format, as the bytes it had."""
    if after is before and source is not None:
        own = "h5" if is_hdf5(source) else "ply"
        if own == format_of(output):
            write_bytes(output, source.read_bytes(), overwrite)
            return
    save_avatar(after, output, overwrite)
