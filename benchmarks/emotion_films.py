"""The films of one studio performer: neutral with its track and avatar, and each acted emotion, cached by name.

p1.neutral           16 views x 24 frames; views 5, 10 and frames 18..23 held out
p1.track.h5, p1.ply  made of it by the real verbs
p1.happy.edits       10 views x 8 training frames: what is spoilt and learnt from
p1.color_mlp.h5      the avatar whose colours a network gives from the start
p1.happy.scored      2 held-out views x 6 held-out frames, four times the samples: what is scored
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import emoga  # before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.capture import Track, load_track, open_capture
from emoga.head import load_head
from emoga.images import to_uint8
from emoga.optimize.regions import visible_faces
from emoga.progress import Reporter, silent
from emoga.studio import capture
from emoga.studio.pseudo_edits import Film, load_film

EDIT_VIEWS = (0, 1, 2, 3, 8, 9, 12, 13, 14, 15)
EDIT_FRAMES = (0, 2, 4, 7, 9, 12, 14, 17)
SCORED_VIEWS = (5, 10)
SCORED_FRAMES = (18, 19, 20, 21, 22, 23)
HOLD_OUT = ("views:5,10", "frames:last:6")


@dataclass(frozen=True)
class Reel:
    """The same pictures of a performer with and without the emotion; views, frames: their numbers in the track.

    noise_psnr: dB of the ray tracer's own noise in the emotion pictures.
    """

    views: tuple[int, ...]
    frames: tuple[int, ...]
    neutral: Film
    emotion: Film
    noise_psnr: float

    @functools.cached_property
    def truth(self) -> np.ndarray:
        """uint8 [P,H,W,3]: true emotion pictures, frames fastest, as all stacks [P,...] of a reel."""
        return _stack(to_uint8(self.emotion.images))

    @functools.cached_property
    def before(self) -> np.ndarray:
        """uint8 [P,H,W,3]: the same without the emotion."""
        return _stack(to_uint8(self.neutral.images))

    @functools.cached_property
    def masks(self) -> np.ndarray:
        """bool [P,H,W]: head mask of the true emotion pictures."""
        return _stack(head_masks(self.emotion))

    @functools.cached_property
    def neutral_masks(self) -> np.ndarray:
        """bool [P,H,W]: head mask of the pictures without the emotion."""
        return _stack(head_masks(self.neutral))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(view, frame) of every picture."""
        return [(view, frame) for view in self.views for frame in self.frames]


class Studio:
    """Films, tracks and fits one performer; what the folder holds already is kept."""

    def __init__(
        self,
        folder: Path,
        performer: int,
        size: int,
        preset: str = "default",
        report: Reporter = silent,
        appearance: str = "sh",
    ) -> None:
        self._folder, self._name, self._performer = folder, f"p{performer}", performer
        self._size, self._preset, self._report, self._appearance = size, preset, report, appearance

    def person(self) -> tuple[Avatar, Track]:
        """The neutral avatar and the track it was made from."""
        track = self._made("track.h5", lambda path: emoga.track(
            self.film_without_emotion(), path, hold_out=HOLD_OUT, overlay=False, resume=True, report=self._report
        ))  # fmt: skip
        avatar = self._made("ply" if self._appearance == "sh" else f"{self._appearance}.h5", lambda path: emoga.fit(
            track, path, preset=self._preset, appearance=self._appearance, resume=True, report=self._report
        ))  # fmt: skip
        return emoga.load_avatar(avatar), load_track(track)

    def learnt_from(self, emotion: str) -> Reel:
        """The pictures that are edited."""
        return self._reel(self.film_of_edits(emotion), EDIT_VIEWS, EDIT_FRAMES)

    def scored(self, emotion: str) -> Reel:
        """The pictures that are scored, never shown to any method."""
        folder = self._film(f"{emotion}.scored", emotion, _only(SCORED_VIEWS, SCORED_FRAMES))
        return self._reel(folder, SCORED_VIEWS, SCORED_FRAMES)

    def film_of_edits(self, emotion: str) -> Path:
        """The capture of the true pictures that are edited."""
        return self._film(f"{emotion}.edits", emotion, _only(EDIT_VIEWS, EDIT_FRAMES))

    def film_without_emotion(self) -> Path:
        """The capture the avatar is made from, whole."""
        return self._film("neutral")

    def _film(self, name: str, emotion: str | None = None, only: tuple[str, ...] = ()) -> Path:
        return capture(
            self._folder / f"{self._name}.{name}", performer=self._performer, emotion=emotion, size=self._size,
            hold_out=HOLD_OUT, only=only, resume=True, report=self._report,
        )  # fmt: skip

    def _reel(self, folder: Path, views: tuple[int, ...], frames: tuple[int, ...]) -> Reel:
        acted = load_film(folder, list(range(len(views))), list(range(len(frames))))
        floors = open_capture(folder).info["noise_floor_psnr"]
        neutral = load_film(self.film_without_emotion(), list(views), list(frames))
        return Reel(views, frames, neutral, acted, min(floor for floor in floors.values() if floor))

    def _made(self, suffix: str, make: Callable[[Path], object]) -> Path:
        path = self._folder / f"{self._name}.{suffix}"
        if not path.exists():
            make(path)
        return path


def head_masks(film: Film) -> np.ndarray:
    """bool [C,T,H,W]: the film's masks (hair in, clothing out) above the neck boundary, where avatars end."""
    head, masks = load_head(), film.masks >= 0.5
    below = [head.region_names.index(name) for name in ("shoulders", "boundary") if name in head.region_names]
    regions = head.face_regions.numpy()
    for view, camera in enumerate(film.cameras):
        for frame, vertices in enumerate(film.vertices):
            seen = visible_faces(head, torch.from_numpy(vertices), camera)
            masks[view, frame] &= ~((seen >= 0) & np.isin(regions[np.maximum(seen, 0)], below))
    return masks


def _only(views: tuple[int, ...], frames: tuple[int, ...]) -> tuple[str, str]:
    """The choice of pictures as the studio takes it."""
    return f"views:{','.join(map(str, views))}", f"frames:{','.join(map(str, frames))}"


def _stack(values: np.ndarray) -> np.ndarray:
    """[C,T,...] as [P,...]."""
    return values.reshape(-1, *values.shape[2:])
