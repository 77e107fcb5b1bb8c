"""Edits learnt from edited pictures: pictures are written or edited, and the avatar fitted to what they agree on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emoga.avatar import Avatar
from emoga.capture import Track, load_track
from emoga.editing.pictures import Originals, Source, originals
from emoga.editing.refitting import RefitMethod, RefitOptions, refit
from emoga.errors import InputError
from emoga.guidance import SUBJECT_SEED, EditPlan, open_editor, write_exchange
from emoga.progress import Reporter, silent


@dataclass(frozen=True)
class PictureChoice:
    """Which pictures are edited, and by what.

    track: the one the avatar was fitted to; media: where its media lies now. editor: see `emoga.guidance.open_editor`,
    with `options` and `seed`. source: what the cameras captured, or renders. views, frames: "0,2,5-7", default a spread
    of those not held out. believe: "plan" holds against an editor what it changes though the plan does not name it;
    "all" takes the edits as they are.
    """

    track: Track | str | Path
    editor: str = "instruct-pix2pix"
    media: str | Path | None = None
    source: Source = "captured"
    views: str | None = None
    frames: str | None = None
    believe: str = "plan"
    seed: int = SUBJECT_SEED
    options: dict[str, Any] = field(default_factory=dict)


def take_originals(avatar: Avatar, choice: PictureChoice, report: Reporter = silent) -> Originals:
    """The pictures of a choice before any edit. Raises InputError for bad choices or media that is not there."""
    track = choice.track if isinstance(choice.track, Track) else load_track(choice.track, choice.media)
    return originals(
        avatar, track, source=choice.source, views=choice.views, frames=choice.frames, report=report
    )


def write_pictures(
    avatar: Avatar, choice: PictureChoice, prompt: str, strength: float, folder: str | Path, overwrite: bool = False,
    report: Reporter = silent,
) -> Path:  # fmt: skip
    """Write DIR/images, DIR/masks and DIR/edit.json for a tool outside; returns the folder."""
    request = take_originals(avatar, choice, report).request(prompt, min(strength, 1.0), choice.seed)
    return write_exchange(folder, request, overwrite, report)


def edited_by_pictures(
    avatar: Avatar, plan: EditPlan, prompt: str, method: RefitMethod, choice: PictureChoice, strength: float = 1.0,
    seed: int = 0, report: Reporter = silent,
) -> tuple[Avatar, dict[str, Any]]:  # fmt: skip
    """The avatar learnt from edits of the chosen pictures, and what there is to say of them for a report.

    Raises InputError for edits that do not fit the pictures or change nothing, MissingComponent for an editor that is
    not here.
    """
    if choice.believe not in ("plan", "all"):
        raise InputError(f"--believe {choice.believe}: choose plan or all")
    taken = take_originals(avatar, choice, report)
    request = taken.request(prompt, min(strength, 1.0), choice.seed)
    edits = open_editor(choice.editor, **choice.options).edit(request, report)
    change = np.abs(edits.astype(np.int16) - taken.pictures)[taken.masks > 0]
    if not change.size or not change.any():
        raise InputError(
            f"{choice.editor}: the edits are the pictures as they were; there is nothing to learn"
        )
    options = RefitOptions(method, plan if choice.believe == "plan" else None, seed=seed)
    result = refit(avatar, taken.motion, taken.edited(edits), options, report)
    return result, {"pictures": len(edits), "change": round(float(change.mean()), 3)}
