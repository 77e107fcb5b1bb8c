"""An avatar playing its own performance under an emotion, as `reenact` plays it, seen from a track's cameras."""

from __future__ import annotations

import numpy as np

from emoga.avatar import Avatar
from emoga.avatar.emotions import parse_emotion
from emoga.avatar.score import write_score
from emoga.capture import Track
from emoga.motion.motion import motion_of_track
from emoga.optimize.backdrop import backdrops
from emoga.optimize.picture import AvatarRenderer


class Playing:
    """Pictures and meshes of an avatar under `emotion` (its own or a preset; None: without) in a track's frames."""

    def __init__(self, avatar: Avatar, track: Track, emotion: str | None) -> None:
        self._renderer = AvatarRenderer(avatar)
        self.head, self._cameras = self._renderer.puppet.head, track.cameras
        own = avatar.motion is not None and avatar.motion.frame_count == track.frame_count
        motion = avatar.motion if own else motion_of_track(track)
        self._score = write_score(
            avatar, self.head, motion, parse_emotion(emotion), calibrate=False, pose="absolute",
            pose_reference="mean",
        )  # fmt: skip
        self._colors = backdrops(track)[0]

    def pictures(self, pairs: list[tuple[int, int]]) -> np.ndarray:
        """uint8 [P,H,W,3] of (view, frame) pairs."""
        return np.stack([
            self._renderer.picture(
                self._score.params, frame, self._cameras[view], self._colors[view], self._score.mixture(frame)
            )
            for view, frame in pairs
        ])  # fmt: skip

    def matte(self, view: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """One picture [H,W,3] and its alpha [H,W], float in 0..1."""
        drawn = self._renderer.render(
            self._score.params, frame, [self._cameras[view]], self._colors[view], self._score.mixture(frame)
        )
        return drawn.image[0].numpy(), drawn.alpha[0].reshape(drawn.image.shape[1:3]).numpy()

    def vertices(self, frame: int) -> np.ndarray:
        """The posed mesh [V,3] float64 of one frame."""
        return self._renderer.puppet.pose(self._score.params, frame).vertices.double().numpy()
