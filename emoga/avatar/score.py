"""The score of a performance: what the avatar does in each frame, worked out before anything is drawn."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from emoga.avatar.avatar import Avatar
from emoga.avatar.emotions import Emotions, emotion_mixtures, emotion_offsets, emotion_weights
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, nearest_rotation
from emoga.head import Head, HeadParams
from emoga.motion import Motion
from emoga.motion.driving import Person, drive
from emoga.motion.resampling import interpolate_params

STILL_SECONDS = 4.0
STILL_FPS = 25.0
MAX_FRAMES = 1_000_000
ANOTHER_WORLD = 60.0  # degrees between mean turns of heads


@dataclass(frozen=True)
class Score:
    """Head parameters of T frames, played at fps; mixtures [T,E] weigh the rows of the avatar's ColorMLP."""

    params: HeadParams
    fps: float
    mixtures: torch.Tensor | None = None

    @property
    def frame_count(self) -> int:
        """T."""
        return self.params.expr.shape[0]

    def mixture(self, frame: int) -> torch.Tensor | None:
        """Weights [E] of one frame, if there are any."""
        return None if self.mixtures is None else self.mixtures[frame]

    def digest(self) -> str:
        """Hash of all values."""
        digest = hashlib.sha256(str(self.fps).encode())
        for item in fields(HeadParams):
            value = getattr(self.params, item.name)
            if value is not None:
                digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
        if self.mixtures is not None:
            digest.update(self.mixtures.numpy().tobytes())
        return digest.hexdigest()


def person_of(avatar: Avatar) -> Person:
    """The avatar's person, to be driven."""
    offset = None if avatar.static_offset is None else avatar.static_offset.detach().cpu()
    return Person(avatar.shape.detach().cpu(), avatar.neutral.detach().cpu(), offset, avatar.motion)


def still_motion(avatar: Avatar, head: Head, seconds: float, fps: float | None = None) -> Motion:
    """The avatar's neutral face, held for some seconds."""
    count = max(1, round(seconds * (fps or STILL_FPS)))
    params = HeadParams.zeros(head, count)
    params.shape = avatar.shape.detach().cpu()
    params.expr = avatar.neutral.detach().cpu().expand(count, -1).clone()
    return Motion(head.name, head.version, head.checksum, params, fps or STILL_FPS)


def own_motion(avatar: Avatar) -> Motion:
    """The motion the avatar was made from. Raises InputError when it carries none."""
    if avatar.motion is None:
        raise InputError("the avatar carries no motion of its own; pass --motion or --motion none")
    return avatar.motion


def cut(motion: Motion, start: int, end: int | None) -> Motion:
    """Frames start to end (exclusive) of a motion. Raises InputError when there are none."""
    stop = motion.frame_count if end is None else min(end, motion.frame_count)
    if not 0 <= start < stop:
        raise InputError(f"frames {start} to {end}: the motion has frames 0 to {motion.frame_count - 1}")
    params = motion.params.select(slice(start, stop))
    return Motion(motion.head_name, motion.head_version, motion.head_checksum, params, motion.fps)


def resampled(motion: Motion, fps: float | None) -> Motion:
    """The motion at another frame rate, equally long in seconds. Raises InputError for an impossible rate."""
    if fps is None or fps == motion.fps:
        return motion
    if not 0 < fps < 10_000:
        raise InputError(f"--fps {fps}: must be above 0 and below 10000")
    count = max(1, round(motion.frame_count * fps / motion.fps))
    if count > MAX_FRAMES:
        raise InputError(f"--fps {fps}: makes {count} frames of this motion; choose less")
    params = interpolate_params(motion.params, np.arange(count) * motion.fps / fps)
    return Motion(motion.head_name, motion.head_version, motion.head_checksum, params, fps)


def in_its_light(avatar: Avatar, params: HeadParams) -> Avatar:
    """The avatar, without its light where `params` move it through another world than it was filmed in.

    Poses taken as they are from another capture may stand any way up; what light would do there nobody knows.
    """
    if avatar.light is None:
        return avatar
    filmed = axis_angle_to_matrix(avatar.light.turn)
    turn = mean_turn(params).to(filmed)
    cosine = (torch.trace(filmed.T @ turn) - 1) / 2
    return avatar if cosine > math.cos(math.radians(ANOTHER_WORLD)) else replace(avatar, light=None)


def mean_turn(params: HeadParams) -> torch.Tensor:
    """How the head stands in the world on average, [3,3]."""
    turns = axis_angle_to_matrix(params.rotation.cpu()) @ axis_angle_to_matrix(params.neck.cpu())
    return nearest_rotation(turns.mean(0))


def write_score(
    avatar: Avatar,
    head: Head,
    motion: Motion,
    curve: Emotions,
    *,
    calibrate: bool,
    pose: str,
    pose_reference: str,
) -> Score:
    """What the avatar does when `motion` drives it with the emotions of `curve` on top."""
    offsets = weights = mixtures = None
    if curve.names:
        seconds = torch.arange(motion.frame_count, dtype=torch.float64) / motion.fps
        offsets, weights = emotion_offsets(avatar, head, curve), emotion_weights(curve, seconds)
        if avatar.appearance is not None:
            mixtures = emotion_mixtures(avatar, curve, seconds)
    params = drive(
        motion,
        head,
        person_of(avatar),
        calibrate=calibrate,
        pose=pose,
        reference=pose_reference,
        offset=offsets,
        weights=weights,
    )
    return Score(params, motion.fps, mixtures)
