"""The avatar's face in the frames of a track, as it was and with an emotion on top, ready to be projected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.score import person_of
from emoga.camera import Camera
from emoga.capture import Track
from emoga.head import Head, HeadParams
from emoga.motion import Motion
from emoga.motion.driving import check_same_head, drive
from emoga.motion.motion import motion_of_track
from emoga.optimize.picture import AvatarRenderer

FOREHEAD, CHIN = 10, 152


class Actor:
    """An avatar in the frames of its track.

    params: what the face does in every frame; renderer draws the avatar.
    """

    def __init__(self, avatar: Avatar, track: Track, params: HeadParams) -> None:
        self.renderer = AvatarRenderer(avatar)
        self.head: Head = self.renderer.puppet.head
        check_same_head(motion_of_track(track), self.head)
        self.params = params
        self._motion = Motion(track.head_name, track.head_version, track.head_checksum, params, track.fps)
        self._person = person_of(avatar)

    @torch.no_grad()
    def acted(self, offset: torch.Tensor) -> HeadParams:
        """The frames with an expression offset [E] on top, put together as playback does it.

        What playback changes without any offset (it keeps shut lips shut) is not the emotion's doing and left out.
        """
        wanted, still = (
            drive(self._motion, self.head, self._person, calibrate=False, pose="absolute", offset=part)
            for part in (offset, torch.zeros_like(offset))
        )
        expr = (self.params.expr + wanted.expr - still.expr).clamp(0, 1)
        return replace(self.params, expr=expr)

    def vertices(self, params: HeadParams, frame: int) -> torch.Tensor:
        """Posed mesh [V,3] of one frame."""
        return self.renderer.puppet.pose(params, frame).vertices


def face_height(head: Head, vertices: torch.Tensor, camera: Camera) -> float:
    """Pixels between the top of the forehead and the chin of a posed mesh [V,3]."""
    marks = head.landmarks["mediapipe478"].points(vertices.double())
    ends = camera.project(marks[[FOREHEAD, CHIN]].numpy())[0]
    return max(8.0, float(np.linalg.norm(ends[0] - ends[1])))
