"""The avatar's face in the frames of a track, as it was and with an emotion on top, ready to be projected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.camera import Camera
from emoga.capture import Track
from emoga.head import Head, HeadParams
from emoga.motion.driving import check_same_head
from emoga.motion.expressing import express, own_performance
from emoga.motion.motion import motion_of_track
from emoga.optimize.frame_params import frame_params
from emoga.optimize.picture import AvatarRenderer

FOREHEAD, CHIN = 10, 152


class Actor:
    """An avatar in the frames of its track.

    params: what the face does in every frame; renderer draws the avatar.
    """

    def __init__(self, avatar: Avatar, track: Track) -> None:
        self.renderer = AvatarRenderer(avatar)
        self.head: Head = self.renderer.puppet.head
        check_same_head(motion_of_track(track), self.head)
        self.params = frame_params(avatar, track)
        identity = self.renderer.puppet.identity
        self._performance = own_performance(identity, avatar.neutral, self.params, track.fps)

    @torch.no_grad()
    def acted(self, offset: torch.Tensor) -> HeadParams:
        """The frames with an expression offset [E] on top, as playback puts them together."""
        return replace(self.params, expr=express(self._performance, offset))

    def vertices(self, params: HeadParams, frame: int) -> torch.Tensor:
        """Posed mesh [V,3] of one frame."""
        return self.renderer.puppet.pose(params, frame).vertices


def face_height(head: Head, vertices: torch.Tensor, camera: Camera) -> float:
    """Pixels between the top of the forehead and the chin of a posed mesh [V,3]."""
    marks = head.landmarks["mediapipe478"].points(vertices.double())
    ends = camera.project(marks[[FOREHEAD, CHIN]].numpy())[0]
    return max(8.0, float(np.linalg.norm(ends[0] - ends[1])))
