"""Pictures of an avatar to be edited, in its track or before it, and the edits that an editor makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.capture.held_out import parse_pictures
from emoga.editing.edited_pictures import EditedPictures
from emoga.errors import InputError
from emoga.guidance import EditRequest, PictureName
from emoga.head import HeadParams
from emoga.images import from_uint8, to_uint8
from emoga.optimize.backdrop import backdrops
from emoga.optimize.frame_params import frame_params
from emoga.optimize.picture import AvatarRenderer
from emoga.progress import Reporter, silent, tracked

MOST_VIEWS, MOST_FRAMES, MOST_FRAMES_OF_ONE = 8, 6, 24
MARGIN = 0.03  # of the height: how far around the head an editor may change pictures
Source = Literal["captured", "rendered"]


@dataclass(frozen=True, eq=False)
class Originals:
    """P pictures before any edit, of `pairs` (view, frame) in a track: names of camera and frame; pictures uint8
    [P,H,W,3]; masks float32 [P,H,W] of where editors may change them; motion: the track's, as the avatar plays it."""

    track: Track
    motion: HeadParams
    pairs: list[tuple[int, int]]
    names: tuple[PictureName, ...]
    pictures: np.ndarray
    masks: np.ndarray

    def request(self, prompt: str, strength: float, seed: int) -> EditRequest:
        """What an editor is asked."""
        return EditRequest(self.pictures, self.names, prompt, "", self.masks, strength, seed)

    def edited(self, pictures: np.ndarray) -> EditedPictures:
        """The record of edits uint8 [P,H,W,3]."""
        views, frames = np.array(self.pairs).T
        return EditedPictures(
            from_uint8(pictures), from_uint8(self.pictures), self.masks,
            [self.track.cameras[view] for view in views], frames, views,
        )  # fmt: skip


def originals(
    avatar: Avatar,
    track: Track,
    *,
    source: Source = "captured",
    views: Sequence[int] | str | None = None,
    frames: Sequence[int] | str | None = None,
    hold_out: Sequence[str] | None = None,
    report: Reporter = silent,
) -> Originals:
    """Pictures of the views and frames asked for ("0,2,5-7"), else of a spread of them, none of them held out.

    source: what the cameras captured, or the avatar's renders in their places. Raises InputError for views and frames
    that are held out or do not exist, and for views of several sizes.
    """
    pairs = chosen_pairs(avatar, track, views, frames, hold_out)
    motion = frame_params(avatar, track)
    names = tuple(PictureName(track.cameras[view].name, int(track.frames[frame])) for view, frame in pairs)
    colors = backdrops(track)[0] if track.masks is not None and source == "captured" else None
    renderer, pictures, masks = AvatarRenderer(avatar), [], []
    for view, frame in tracked(pairs, "pictures to edit", report):
        ground = np.ones(3, np.float32) if colors is None else colors[view]
        drawn = renderer.render(motion, frame, [track.cameras[view]], tuple(ground))
        image = to_uint8(drawn.image[0].numpy())
        pictures.append(track.picture(view, frame) if source == "captured" else image)
        masks.append(_mask(track, view, frame, drawn.alpha[0, ..., 0].numpy()))
    return Originals(track, motion, pairs, names, np.stack(pictures), np.stack(masks))


def _mask(track: Track, view: int, frame: int, alpha: np.ndarray) -> np.ndarray:
    """Where the head is, by the track or else by the avatar, with a margin: float32 [H,W], 0 or 1."""
    inside = alpha > 0.5 if track.head_masks is None else track.head_masks[view, frame] > 127
    reach = max(1, round(MARGIN * alpha.shape[0]))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(inside.astype(np.float32), brush)


def chosen_pairs(
    avatar: Avatar, track: Track, views: Sequence[int] | str | None, frames: Sequence[int] | str | None,
    hold_out: Sequence[str] | None = None,
) -> list[tuple[int, int]]:  # fmt: skip
    """(view, frame) of the pictures asked for, or of a spread; see `originals` for what is refused."""
    count = len(track.cameras), track.frame_count
    held = track.kept_out(hold_out, avatar.provenance.get("hold_out"))
    most = MOST_FRAMES if count[0] > 1 else MOST_FRAMES_OF_ONE
    chosen_views = _indices("views", views, held.training_views(count[0]), held.views, MOST_VIEWS, count)
    chosen_frames = _indices("frames", frames, held.training_frames(count[1]), held.frames, most, count)
    sizes = {(track.cameras[view].width, track.cameras[view].height) for view in chosen_views}
    if len(sizes) > 1:
        raise InputError(f"the chosen views have {len(sizes)} picture sizes; choose views of one size")
    return [(view, frame) for view in chosen_views for frame in chosen_frames]


def _indices(
    kind: str, asked: Sequence[int] | str | None, free: list[int], held: tuple[int, ...], most: int,
    counts: tuple[int, int],
) -> list[int]:  # fmt: skip
    """The ones asked for, none of them held out, or at most so many spread evenly over those that are free."""
    count = counts[kind == "frames"]
    if asked is None:
        places = np.linspace(0, len(free) - 1, min(most, len(free))).round().astype(int)
        return [free[place] for place in places]
    if isinstance(asked, str):
        asked = parse_pictures(f"--{kind}", [f"{kind}:{asked}"], *counts)[kind == "frames"]
    for index in asked:
        if not 0 <= index < count:
            raise InputError(f"--{kind} {index}: the track has {count}")
        if index in held:
            raise InputError(f"--{kind} {index}: is held out; edits must not see what is scored")
    return sorted(set(asked))
