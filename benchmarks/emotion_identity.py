"""Whether an emotion leaves the person: the shape tracked in the avatar's emotion pictures beside the truth's."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recapture import Recapture, track_folder

from emoga.capture import Track
from emoga.evaluation.emotion_play import Play
from emoga.geometry import similarity_align
from emoga.head import Head


def shape_difference(head: Head, one: Track, other: Track) -> dict[str, float]:
    """Mean distance in mm of the face's resting vertices of two tracks, as they are and after alignment."""
    face = head.regions["face"]
    a, b = (
        head.identify(track.params.shape, track.params.static_offset).rest.double()[face]
        for track in (one, other)
    )
    scale, turn, shift = similarity_align(a, b)
    aligned = scale * a @ turn.T + shift
    return {
        "identity_mm": float((aligned - b).norm(dim=-1).mean() * 1e3),
        "identity_unaligned_mm": float((a - b).norm(dim=-1).mean() * 1e3),
    }


@dataclass(frozen=True)
class Retracking:
    """What is tracked anew of one person, from the pictures of `recapture`.

    neutral: the film without emotion, whole. still: the avatar without emotion in the same views and frames.
    """

    recapture: Recapture
    neutral: Path
    still: Play

    def compare(self, playing: Play, truth: Path) -> dict[str, float]:
        """`shape_difference` between tracking an avatar's emotion pictures and tracking the film `truth` of them.

        identity_same_person_mm: between the film and the same person's film without emotion, which is what an
        emotion alone does to a tracked shape.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            true = track_folder(truth, folder / "truth.track.h5")
            difference = shape_difference(
                self.recapture.head, self.recapture.track_played(playing, folder), true
            )
        same = shape_difference(self.recapture.head, self._neutral_tracks[0], true)
        return {**difference, "identity_same_person_mm": same["identity_mm"]}

    def floor(self) -> dict[str, float]:
        """identity_without_emotion_mm: the avatar that has learnt nothing, against its film without emotion."""
        film, still = self._neutral_tracks
        return {
            "identity_without_emotion_mm": shape_difference(self.recapture.head, still, film)["identity_mm"]
        }

    @functools.cached_property
    def _neutral_tracks(self) -> tuple[Track, Track]:
        """Tracks of the film and of the avatar, both without emotion."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.recapture.write_film(self.neutral, folder / "film")
            film = track_folder(folder / "film", folder / "film.track.h5")
            return film, self.recapture.track_played(self.still, folder)
