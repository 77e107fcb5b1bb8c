"""One performer of the benchmark: the films, the person before any emotion, and what each method learns."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emotion_films import Studio
from emotion_identity import Retracking
from emotion_methods import SEED, Edited, Method, edited, masked, weights_for
from emotion_playing import played
from emotion_scoring import Case
from recapture import Recapture

import emoga
from emoga.avatar import Avatar
from emoga.capture import open_capture
from emoga.emotion.learning import learn_emotions
from emoga.head import load_head
from emoga.progress import Reporter, silent


@dataclass(frozen=True)
class Lessons:
    """How methods learn: choices common to all, and the folder that keeps avatars, which `resume` takes up again."""

    folder: Path
    resume: bool = False
    common: dict[str, Any] = field(default_factory=dict)


class Person:
    """One performer with all that is learnt of several emotions at once."""

    def __init__(
        self,
        studio: Studio,
        performer: int,
        emotions: Sequence[str],
        lessons: Lessons,
        report: Reporter = silent,
    ) -> None:
        self._studio, self._lessons, self._report = studio, lessons, report
        self._name = f"p{performer}.{'+'.join(emotions)}"
        self.avatar, self.track = studio.person()
        self.cases = [
            Case(
                f"p{performer} {emotion}", emotion, self.avatar, self.track, studio.learnt_from(emotion),
                studio.scored(emotion),
            )
            for emotion in emotions
        ]  # fmt: skip
        self._edits: dict[str, list[Edited]] = {}

    def edits(self, pattern: str) -> list[Edited]:
        """The edits of every case in one pattern of failure."""
        if pattern not in self._edits:
            self._edits[pattern] = [edited(case.learnt_from, case.emotion, pattern) for case in self.cases]
        return self._edits[pattern]

    def learn(self, method: Method) -> tuple[Avatar, float]:
        """The avatar a method learns, all emotions in one run, and the seconds per emotion it took."""
        slug = method.name.replace(",", "").replace(" ", "_")
        path = self._lessons.folder / f"{self._name}.{slug}.h5"
        if not (self._lessons.resume and path.exists()):
            self._lessons.folder.mkdir(parents=True, exist_ok=True)
            emoga.save_avatar(self._learnt(method), path, overwrite=True)
        avatar = emoga.load_avatar(path)
        return avatar, avatar.provenance["seconds_to_learn"]

    def original(self, case: Case) -> Path:
        """The film of the true emotion pictures that were edited."""
        return self._studio.film_of_edits(case.emotion)

    @functools.cached_property
    def retracking(self) -> Retracking:
        """How the person's shape is tracked anew in the pictures that were edited."""
        reel, still = self.cases[0].learnt_from, played(self.avatar, self.track, None)
        film = self._studio.film_without_emotion()
        recapture = Recapture(
            load_head(self.track.head_name),
            self.track.cameras,
            reel.views,
            reel.frames,
            open_capture(film).fps,
        )
        return Retracking(recapture, film, still)

    def _learnt(self, method: Method) -> Avatar:
        edits = masked(self.edits(method.pattern), method.masks, self.avatar, self.track)
        begun = time.perf_counter()
        avatar, _ = learn_emotions(
            self.avatar, self.track, [edit.record for edit in edits], method.learning(self._lessons.common),
            seed=SEED, weights=weights_for(method, edits, [case.learnt_from for case in self.cases]),
            report=self._report,
        )  # fmt: skip
        seconds = (time.perf_counter() - begun) / len(self.cases)
        return replace(avatar, provenance={**avatar.provenance, "seconds_to_learn": seconds})
