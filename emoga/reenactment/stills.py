"""One picture of an avatar: an emotion, seen from somewhere around the head."""

from __future__ import annotations

import math

import numpy as np

from emoga.avatar import Avatar
from emoga.avatar.emotions import parse_emotion
from emoga.avatar.rig import avatar_head
from emoga.avatar.score import person_of, still_motion, write_score
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment.cameras import orbited, portrait_camera, swing


def still_pictures(avatar: Avatar, emotions: list[str], yaws: list[float], side: int) -> list[np.ndarray]:
    """uint8 [side,side,3] of every emotion text from every yaw (degrees to the subject's left)."""
    head, person = avatar_head(avatar), person_of(avatar)
    renderer = AvatarRenderer(avatar)
    motion = still_motion(avatar, head, 0)
    front, around = portrait_camera(head, person, side, side), swing(head, person)
    pictures = []
    for yaw in yaws:
        camera = orbited(front, math.radians(yaw), *around)
        for emotion in emotions:
            score = write_score(
                avatar, head, motion, parse_emotion(emotion), calibrate=False, pose="still",
                pose_reference="mean",
            )  # fmt: skip
            pictures.append(renderer.picture(score.params, 0, camera, mixture=score.mixture(0)))
    return pictures
