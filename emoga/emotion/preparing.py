"""What is settled before any picture is edited: the avatar in its track, the emotions' meaning, the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoga.avatar import Avatar, load_avatar
from emoga.capture import Track, load_track
from emoga.capture.held_out import parse_pictures
from emoga.emotion.acting import Actor
from emoga.emotion.choosing import Choice, choose_pictures
from emoga.emotion.naming import LanguageModel, NamedEmotion, name_emotions

Indices = Sequence[int] | str


@dataclass(frozen=True, eq=False)
class Prepared:
    """An avatar, its track, the avatar acting in it, emotions to learn and the pictures to edit."""

    avatar: Avatar
    track: Track
    actor: Actor
    emotions: list[NamedEmotion]
    choice: Choice


def prepare(
    avatar: Avatar | str | Path,
    track: Track | str | Path,
    emotions: Sequence[str],
    *,
    media: str | Path | None = None,
    language_model: LanguageModel | None = None,
    prompts: dict[str, str] | None = None,
    negative_prompt: str | None = None,
    hold_out: Sequence[str] | None = None,
    views: Indices | None = None,
    frames: Indices | None = None,
) -> Prepared:
    """Read, understand and choose; the arguments are those of `optimize_emotion`. Raises InputError for bad input."""
    avatar = avatar if isinstance(avatar, Avatar) else load_avatar(avatar)
    track = track if isinstance(track, Track) else load_track(track, media)
    actor = Actor(avatar, track)
    named = name_emotions(emotions, actor.head, language_model, prompts, negative_prompt)
    count = len(track.cameras), track.frame_count
    if isinstance(views, str):
        views = parse_pictures("--views", [f"views:{views}"], *count)[0]
    if isinstance(frames, str):
        frames = parse_pictures("--frames", [f"frames:{frames}"], *count)[1]
    held_out = track.kept_out(hold_out, avatar.provenance.get("hold_out"))
    choice = choose_pictures(track, actor.head, actor.params, held_out, views, frames)
    return Prepared(avatar, track, actor, named, choice)
