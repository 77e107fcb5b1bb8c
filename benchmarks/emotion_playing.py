"""An avatar in a track's frames under an emotion, as evaluation plays it, in stacks of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.evaluation.emotion_play import Play, Player
from emoga.optimize.picture import AvatarRenderer


def played(avatar: Avatar, track: Track, emotion: str | None) -> Play:
    """`avatar` under `emotion`, its own or a preset; None: without."""
    return Player(AvatarRenderer(avatar), track).play(emotion)


def pictures_of(play: Play, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """uint8 [P,H,W,3] of (view, frame) pairs."""
    return np.stack([play.picture(pair) for pair in pairs])
