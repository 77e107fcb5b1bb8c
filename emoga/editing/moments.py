"""Moments of an avatar's motion and the square views it is edited in: a track's cameras, or a ring of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.camera import Camera, look_at
from emoga.capture import Track
from emoga.capture.held_out import parse_pictures
from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head, HeadParams
from emoga.optimize.frame_params import frame_params
from emoga.optimize.picture import AvatarRenderer

MOMENTS = 4
# Expressions of an avatar that has no motion.
EXPRESSIONS = ("happy", "surprised", "angry", "sad")
# Side of a view over the greatest extent of the head's mesh in it: hair stands off.
ROOM = 1.35
# Degrees to the subject's left and up, of views that no camera took; metres away, degrees of the field.
RING = ((-50, 0), (-35, 18), (-25, 0), (0, 18), (0, -8), (25, 0), (35, 18), (50, 0))
AWAY, FIELD = 1.05, 22.0
BELOW = ("shoulders", "boundary", "neck")


@dataclass(frozen=True, eq=False)
class Moments:
    """Frames of a motion, each seen by the same views, the last frame and one view held out for reporting.

    views: numbers of the track's cameras, or -1 for each that is none of them.
    """

    motion: HeadParams
    frames: tuple[int, ...]
    held_frame: int | None
    cameras: tuple[Camera, ...]
    views: tuple[int, ...]
    held_view: int | None

    @property
    def seen(self) -> list[int]:
        """Which of the views are learnt from."""
        return [at for at in range(len(self.cameras)) if at != self.held_view]


def moments_of_track(avatar: Avatar, track: Track, views: Sequence[int], frames: Sequence[int]) -> Moments:
    """Chosen frames and cameras of a track; what of them is held out is neither the first nor alone."""
    held_view, held_frame = _held(len(views)), frames[-1] if len(frames) > 1 else None
    return Moments(
        frame_params(avatar, track), tuple(frame for frame in frames if frame != held_frame), held_frame,
        tuple(track.cameras[view] for view in views), tuple(views), held_view,
    )  # fmt: skip


def moments_of_avatar(
    avatar: Avatar, head: Head, size: int, views: str | None = None, frames: str | None = None
) -> Moments:
    """Frames of the avatar's own motion, or expressions where it has none, before a ring of views.

    views, frames: "0,2,5-7" of the ring's and of the motion's. Raises InputError for those that do not exist.
    """
    if avatar.motion is not None and avatar.motion.frame_count > 1:
        motion, count = avatar.motion.params, avatar.motion.frame_count
        spread = np.linspace(0, count - 1, min(MOMENTS + 1, count)).round().astype(int).tolist()
    else:
        motion = HeadParams.zeros(head, 1 + len(EXPRESSIONS))
        motion.expr[:] = avatar.neutral
        for row, name in enumerate(EXPRESSIONS, start=1):
            motion.expr[row] = (avatar.neutral + head.emotion(name)).clamp(0, 1)
        count = len(motion.expr)
        spread = list(range(count))
    asked = [] if views is None else [f"views:{views}"]
    ring = parse_pictures("--views", asked, len(RING), count)[0] or tuple(range(len(RING)))
    asked = [] if frames is None else [f"frames:{frames}"]
    chosen = list(parse_pictures("--frames", asked, len(RING), count)[1]) or spread
    held_frame = chosen.pop() if len(chosen) > 1 else None
    cameras = _ring(motion, chosen[0], size)
    return Moments(
        motion,
        tuple(chosen),
        held_frame,
        tuple(cameras[at] for at in ring),
        (-1,) * len(ring),
        _held(len(ring)),
    )


def square_views(renderer: AvatarRenderer, moments: Moments, frame: int, size: int) -> list[Camera]:
    """The views of a frame as squares of `size` pixels around the head."""
    motion = moments.motion
    vertices = posed_vertices(renderer, motion, frame)
    head = renderer.puppet.head
    low = torch.zeros(len(vertices), dtype=torch.bool)
    for name in BELOW:
        if name in head.regions:
            low |= head.regions[name].cpu()
    points = vertices[~low].double().numpy()
    return [_square(camera, points, size) for camera in moments.cameras]


def posed_vertices(renderer: AvatarRenderer, motion: HeadParams, frame: int) -> torch.Tensor:
    """[V,3] metres of the avatar's mesh in a frame."""
    return renderer.puppet.pose(motion, frame).vertices.cpu()


def _square(camera: Camera, points: np.ndarray, size: int) -> Camera:
    pixels, _ = camera.project(points)
    low, high = pixels.min(0), pixels.max(0)
    side, middle = ROOM * (high - low).max(), (low + high) / 2
    moved = camera.K.copy()
    moved[:2, 2] -= middle - side / 2
    return replace(camera, K=np.diag([size / side, size / side, 1.0]) @ moved, width=size, height=size)


def _ring(motion: HeadParams, frame: int, size: int) -> tuple[Camera, ...]:
    """Views from around where the head is in a frame, upright in its own frame."""
    torso, neck = (axis_angle_to_matrix(turn[frame].double()) for turn in (motion.rotation, motion.neck))
    turn = (torso @ neck).numpy()
    place = motion.translation[frame].double().numpy()
    cameras = []
    for left, up in RING:
        yaw, pitch = np.radians(left), np.radians(up)
        away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        cameras.append(
            look_at(place + turn @ (AWAY * away), place, np.radians(FIELD), size, size, up=turn[:, 1],
                    name=f"{left:+d}{up:+d}")
        )  # fmt: skip
    return tuple(cameras)


def _held(count: int) -> int | None:
    """The view held out of so many: one between others."""
    return count // 2 if count > 3 else None
