"""The films that edits are measured on: a studio performer as they are, and older, heavier, flushed, lighter of hair.

p1.neutral           as in emotion_films.py, with its track and avatar p1.track.h5, p1.ply; shared by a common --cache
p1.older.edits       8 views x 6 training frames of the changed performer: what is spoilt and learnt from
p1.older.scored      2 held-out views x 6 held-out frames, four times the samples: what is scored
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import numpy as np
from emotion_figures import dilated
from emotion_films import HOLD_OUT, SCORED_FRAMES, SCORED_VIEWS, Reel, Studio

from emoga.avatar import Avatar
from emoga.capture import Track, open_capture
from emoga.editing.edited_pictures import EditedPictures
from emoga.images import from_uint8, to_uint8
from emoga.optimize.frame_params import frame_params
from emoga.progress import Reporter, silent
from emoga.studio import capture
from emoga.studio.pseudo_edits import load_film, pseudo_edits

EDIT_VIEWS = (0, 1, 3, 8, 9, 12, 14, 15)
EDIT_FRAMES = (0, 2, 7, 9, 12, 17)
PROMPTS = {
    "older": "make him older",
    "heavier": "make him heavier",
    "flushed": "make his face flushed",
    "lighter-hair": "make his hair lighter",
}
SEED = 0


class EditStudio:
    """Films one performer changed and unchanged; what the folder holds already is kept."""

    def __init__(self, folder: Path, performer: int, size: int, preset: str, report: Reporter = silent):
        self._studio = Studio(folder, performer, size, preset, report)
        self._folder, self._performer, self._size, self._report = folder, performer, size, report

    def person(self) -> tuple[Avatar, Track]:
        """The unedited avatar and the track it was made from."""
        return self._studio.person()

    def learnt_from(self, change: str) -> Reel:
        """The pictures that are edited."""
        return self._reel(change, "edits", EDIT_VIEWS, EDIT_FRAMES)

    def scored(self, change: str) -> Reel:
        """The pictures that are scored, never shown to any method."""
        return self._reel(change, "scored", SCORED_VIEWS, SCORED_FRAMES)

    def _reel(self, change: str, kind: str, views: tuple[int, ...], frames: tuple[int, ...]) -> Reel:
        name = f"p{self._performer}"
        chosen = (f"views:{','.join(map(str, views))}", f"frames:{','.join(map(str, frames))}")
        folder = capture(
            self._folder / f"{name}.{change}.{kind}", performer=self._performer, change=change, size=self._size,
            hold_out=HOLD_OUT, only=chosen, resume=True, report=self._report,
        )  # fmt: skip
        changed = load_film(folder, list(range(len(views))), list(range(len(frames))))
        floors = open_capture(folder).info["noise_floor_psnr"]
        before = load_film(self._folder / f"{name}.neutral", list(views), list(frames))
        return Reel(views, frames, before, changed, min(floor for floor in floors.values() if floor))


class EditCase:
    """One performer and change: the unedited person, pseudo-edits to learn from, and what is scored.

    edits uint8 [P,H,W,3]; failed [P] bool.
    """

    def __init__(self, studio: EditStudio, performer: int, change: str) -> None:
        self.name, self.change, self.prompt = f"p{performer} {change}", change, PROMPTS[change]
        self.avatar, self.track = studio.person()
        self.learnt_from, self.scored = studio.learnt_from(change), studio.scored(change)
        spoilt = pseudo_edits(self.learnt_from.emotion, self.learnt_from.neutral, SEED, "spread")
        self.edits = to_uint8(spoilt.images).reshape(self.learnt_from.truth.shape)
        self.failed, self.report = spoilt.failed.reshape(-1), spoilt.report

    @cached_property
    def motion(self):
        """Parameters of the track's frames as the avatar plays them."""
        return frame_params(self.avatar, self.track)

    def record(self, edits: np.ndarray) -> EditedPictures:
        """Edits [P,H,W,3] as methods take them; the editor might change the whole head."""
        reel = self.learnt_from
        views, frames = np.array(reel.pairs).T
        masks = dilated(reel.masks | reel.neutral_masks).astype(np.float32)
        cameras = [self.track.cameras[view] for view in views]
        return EditedPictures(from_uint8(edits), from_uint8(reel.before), masks, cameras, frames, views)
