"""From what an edit was asked for to the pictures that it learns from, and how they are edited."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoga.avatar import Avatar
from emoga.avatar.rig import avatar_head
from emoga.capture import Track, load_track
from emoga.editing.by_pictures import PictureChoice
from emoga.editing.pictures import Source, chosen_pairs
from emoga.editing.together import TogetherChoice, chosen_moments
from emoga.errors import InputError
from emoga.guidance import SUBJECT_SEED
from emoga.guidance.view_editing import Correspondence

# Editors that hand over pictures one by one.
FOLDERS = ("images:", "warp")


@dataclass(frozen=True)
class PictureWishes:
    """All that may be said of an edit's pictures; see PictureChoice and TogetherChoice."""

    editor: str = "instruct-pix2pix"
    track: Path | None = None
    media: Path | None = None
    source: Source = "captured"
    views: str | None = None
    frames: str | None = None
    correspondence: Correspondence | None = "depth"
    keep: bool = True
    fine: bool = False
    believe: str = "plan"
    seed: int = SUBJECT_SEED
    options: dict[str, Any] = field(default_factory=dict)


def choice_of(
    method: str, wishes: PictureWishes, write: bool = False
) -> PictureChoice | TogetherChoice | None:
    """The pictures of a method; none for one that learns from none. write: they are only written, for a tool outside.

    Raises InputError for wishes that do not fit the method.
    """
    if method == "parametric":
        asked = "--fine" if wishes.fine else "--track" if wishes.track is not None else ""
        if asked:
            raise InputError(f"--method parametric takes no {asked}: it works by formulas")
        return None
    together = (method == "edit3dgs" or wishes.fine) and not write and not wishes.editor.startswith(FOLDERS)
    if wishes.fine and not together:
        raise InputError("--fine works in the latents of a diffusion editor; name one with --editor")
    if together:
        return TogetherChoice(
            wishes.editor, wishes.track, wishes.media, wishes.views, wishes.frames, wishes.correspondence,
            wishes.keep, fine=wishes.fine, believe=wishes.believe, seed=wishes.seed, options=wishes.options,
        )  # fmt: skip
    if wishes.track is None:
        return None
    return PictureChoice(
        wishes.track, wishes.editor, wishes.media, wishes.source, wishes.views, wishes.frames, wishes.believe,
        wishes.seed, wishes.options,
    )  # fmt: skip


def check_choice(
    method: str,
    pictures: PictureChoice | TogetherChoice | None,
    region: str | None,
    image: object,
    write: bool,
) -> None:
    """Refuse pictures that do not go with a method, or with writing them. Raises InputError."""
    if write and not isinstance(pictures, PictureChoice):
        raise InputError("--write-edits writes pictures of a track; name --method and --track")
    if method == "parametric" and pictures is not None:
        raise InputError("--method parametric takes no --track: it works by formulas")
    if method != "parametric" and pictures is None:
        raise InputError(f"--method {method} learns from pictures; name a --track")
    if pictures is not None and (region is not None or image is not None):
        raise InputError("--region and --image belong to --method parametric; edits by pictures have masks")


def pictures_to_edit(
    avatar: Avatar, choice: PictureChoice | TogetherChoice, side: int
) -> list[tuple[int, int]]:
    """Width and height of every picture that a choice has edited; side: of the square that an editor edits views in.

    Raises InputError for bad choices.
    """
    if isinstance(choice, TogetherChoice):
        moments = chosen_moments(avatar, avatar_head(avatar), choice, side)
        held_out = moments.held_frame is not None and moments.held_view is not None
        return [(side, side)] * (len(moments.frames) * len(moments.seen) + held_out)
    track = choice.track if isinstance(choice.track, Track) else load_track(choice.track, choice.media)
    cameras = [track.cameras[view] for view, _ in chosen_pairs(avatar, track, choice.views, choice.frames)]
    return [(camera.width, camera.height) for camera in cameras]


def editor_options(guidance: str | None, steps: int | None) -> dict[str, float | int]:
    """Options of a diffusion editor. guidance: the text's, or the text's and the picture's, "7.5,1.5".

    Raises InputError for a guidance of any other form.
    """
    options: dict[str, float | int] = {} if steps is None else {"steps": steps}
    if guidance is None:
        return options
    try:
        values = [float(part) for part in guidance.split(",")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 2:
        raise InputError(f"--guidance {guidance}: write the text's, or the text's and the picture's: 7.5,1.5")
    return options | dict(zip(("text_guidance", "image_guidance"), values, strict=False))
