"""`emoga optimize-emotion`: from an avatar, its track and words to an avatar that acts those words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import emoga
from emoga.avatar import Avatar, save_avatar
from emoga.avatar.files import check_avatar_output
from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.comparing import PresetComparison, compare_with_preset
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.kept import KeptEdits
from emoga.emotion.learning import Learning, learn_emotions
from emoga.emotion.making import EditedPictures, EditMaker, EditorChoice, write_edited, write_requests
from emoga.emotion.masks import MaskKind
from emoga.emotion.naming import LanguageModel, NamedEmotion
from emoga.emotion.preparing import Indices, prepare
from emoga.emotion.sheets import emotion_sheet
from emoga.files import check_output, check_output_folder
from emoga.guidance import SUBJECT_SEED
from emoga.images import write_png
from emoga.kernels import torch_on_one_thread
from emoga.progress import Note, Reporter, Stage, silent

MIB = 2**20


@dataclass(frozen=True)
class LearntEmotion:
    """What was asked for, what it was learnt from and what came of it.

    asked, learnt: unit weights by name, small ones left out; change: mean absolute change of 8-bit values that the
    edits make where they may; compared: beside driving the head's preset directly.
    """

    name: str
    text: str
    prompt: str
    asked: dict[str, float]
    learnt: dict[str, float]
    flush: float
    pictures: int
    change: float
    compared: PresetComparison
    not_understood: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)


@dataclass
class EmotionReport:
    """What `optimize_emotion` did. written: folders for tools outside, when that was all it did."""

    editor: str
    strength: float
    edit_seed: int
    mask: str
    views: list[int]
    frames: list[int]
    emotions: list[LearntEmotion] = field(default_factory=list)
    learning: dict[str, Any] = field(default_factory=dict)
    edit_memory_mb: float = 0.0
    written: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


@torch_on_one_thread()
def optimize_emotion(
    avatar: Avatar | str | Path,
    track: Track | str | Path,
    emotions: Sequence[str],
    output: str | Path | None,
    *,
    editor: str = "warp",
    editor_options: dict[str, Any] | None = None,
    strength: float = 1.0,
    edit_seed: int = SUBJECT_SEED,
    prompts: dict[str, str] | None = None,
    negative_prompt: str | None = None,
    language_model: LanguageModel | None = None,
    media: str | Path | None = None,
    hold_out: Sequence[str] | None = None,
    views: Indices | None = None,
    frames: Indices | None = None,
    mask: MaskKind = "auto",
    parser: str | Path | None = None,
    write_edits: str | Path | None = None,
    keep_edits: str | Path | None = None,
    sheet: str | Path | None = None,
    learning: Learning | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter = silent,
) -> tuple[Avatar, EmotionReport]:
    """Teach an avatar emotions that it never showed, from edits of the pictures it was made from.

    avatar, track: records or files; media: where the track's media lies now. emotions: names ("happy") or words
    ("skeptical: one brow raised, lips pressed"), which a language_model may read in place of the built-in rules.
    output: .ply or .h5; None writes nothing. editor: see `emoga.guidance.open_editor`, with editor_options;
    edit_seed: one for the whole subject. prompts: by emotion's name. hold_out: default is what the avatar's fit or
    the track held out; such pictures are never edited. views, frames: indices or "0,2,5-7", default a spread of
    them. mask: see `emoga.emotion.masks`; parser: a folder with a face parser's masks.
    write_edits: only write what tools outside need to make the edits, and end; keep_edits: a folder that
    the edits made here are written to; sheet: a contact sheet (PNG). device: where an editor that
    is a model computes. resume: edits and learning of an interrupted run are used again.

    Returns the avatar with its new emotions and a report. Raises InputError for bad input, MissingComponent for
    an editor's weights or packages that are not here.
    """
    check_outputs(output, sheet, write_edits, keep_edits, overwrite, resume)
    ready = prepare(
        avatar, track, emotions, media=media, language_model=language_model, prompts=prompts,
        negative_prompt=negative_prompt, hold_out=hold_out, views=views, frames=frames,
    )  # fmt: skip
    avatar, track, actor, named, choice = ready.avatar, ready.track, ready.actor, ready.emotions, ready.choice
    for emotion in named:
        _tell(emotion, editor, report)
    chosen = EditorChoice(editor, strength, edit_seed, editor_options or {}).on(device)
    invents = chosen.invents or write_edits is not None
    pictures = EditedPictures.of(actor, track, choice, mask, parser, invents)
    found = EmotionReport(
        editor, strength, edit_seed, "parser" if parser else mask, list(choice.views), list(choice.frames)
    )
    if write_edits is not None:
        folders = write_requests(write_edits, pictures, named, chosen, overwrite, report)
        found.written = [str(folder) for folder in folders]
        return avatar, found
    kept = None if output is None else KeptEdits(output, resume)
    maker = EditMaker(actor, track, pictures, named, chosen)
    found.edit_memory_mb = _announce(maker, report)
    edits = maker.make(kept, report)
    if keep_edits is not None:
        write_edited(keep_edits, edits, pictures.names, overwrite or resume)
    checkpoint = None if output is None else Path(f"{output}.checkpoint.h5")
    result, learnt = learn_emotions(
        avatar, track, edits, learning or Learning(), seed=seed, checkpoint=checkpoint, resume=resume,
        report=report,
    )  # fmt: skip
    found.learning = learnt.to_dict()
    result = replace(result, provenance={**result.provenance, **_provenance(named, found, seed)})
    if output is not None:
        save_avatar(result, output, overwrite)
        kept.remove()
    report(Stage("compare", len(named)))
    found.emotions = [
        _summed_up(result, actor, track, emotion, edit) for emotion, edit in zip(named, edits, strict=True)
    ]
    if sheet is not None:
        write_png(sheet, emotion_sheet(result, actor, track, edits), overwrite)
    return result, found


def _announce(maker: EditMaker, report: Reporter) -> float:
    """Say what editing will take, before it begins; megabytes of memory."""
    estimate = maker.estimate()
    memory = estimate.peak_bytes / MIB
    needs = f", {estimate.needs}" if estimate.needs else ""
    report(
        Note(
            f"{maker.chosen.text}: {estimate.pictures} pictures per emotion, about {memory:.0f} MiB of memory "
            f"on {estimate.device}{needs}"
        )
    )
    return round(memory, 1)


def check_outputs(
    output: str | Path | None,
    sheet: str | Path | None,
    write_edits: str | Path | None,
    keep_edits: str | Path | None,
    overwrite: bool,
    resume: bool,
) -> None:
    """Refuse what could not be written before anything is worked out."""
    if output is not None and write_edits is None:
        check_avatar_output(output, overwrite)
    if sheet is not None:
        check_output(sheet, overwrite)
    if write_edits is not None:
        check_output_folder(write_edits, overwrite)
    if keep_edits is not None:
        check_output_folder(keep_edits, overwrite or resume)


def _tell(emotion: NamedEmotion, editor: str, report: Reporter) -> None:
    """Say what of an emotion's words will not be heeded."""
    if emotion.not_understood:
        words = ", ".join(emotion.not_understood)
        report(Note(f"{emotion.name}: not understood and left out: {words}", warning=True))
    if emotion.not_shown and editor == "warp":
        kinds = ", ".join(emotion.not_shown)
        report(Note(f"{emotion.name}: warp cannot show {kinds}; a diffusion editor can", warning=True))


def _provenance(named: Sequence[NamedEmotion], found: EmotionReport, seed: int) -> dict[str, Any]:
    """How the emotions came about, for the avatar's file; no paths of this machine."""
    entry = {
        "made_by": f"emoga {emoga.__version__} optimize-emotion",
        "emotions": {emotion.name: emotion.text for emotion in named},
        "editor": found.editor.partition(":")[0] if ":" in found.editor else Path(found.editor).name,
        "strength": found.strength,
        "edit_seed": found.edit_seed,
        "seed": seed,
        "pictures": len(found.views) * len(found.frames),
    }
    return {"optimize_emotion": entry}


def _summed_up(
    result: Avatar, actor: Actor, track: Track, emotion: NamedEmotion, edits: EmotionEdits
) -> LearntEmotion:
    names = actor.head.expr_names
    learnt = result.emotions[emotion.name].offset.detach().cpu()
    allowed = edits.masks > 0
    change = np.abs(edits.edited.astype(np.int16) - edits.captured)[allowed].mean()
    return LearntEmotion(
        name=emotion.name,
        text=emotion.text,
        prompt=emotion.prompt,
        asked={
            unit: round(w, 3) for unit, w in zip(names, emotion.offset.tolist(), strict=True) if w > 0.005
        },
        learnt={unit: round(w, 3) for unit, w in zip(names, learnt.tolist(), strict=True) if abs(w) > 0.005},
        flush=emotion.flush,
        pictures=len(edits),
        change=float(change),
        compared=compare_with_preset(result, actor, track, emotion, edits),
        not_understood=list(emotion.not_understood),
        not_shown=list(emotion.not_shown),
    )
