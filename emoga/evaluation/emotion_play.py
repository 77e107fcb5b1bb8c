"""An avatar playing a track's frames under one emotion or none: its pictures and its mesh, kept while they fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emoga.avatar.emotions import parse_emotion
from emoga.avatar.posing import MOTION
from emoga.avatar.rig import avatar_head
from emoga.avatar.score import Score, write_score
from emoga.capture import Track
from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, vertex_normals
from emoga.head import HeadParams
from emoga.images import to_uint8
from emoga.motion import Motion
from emoga.motion.motion import motion_of_track
from emoga.optimize.backdrop import backdrops
from emoga.optimize.frame_params import frame_params
from emoga.optimize.picture import AvatarRenderer

Cell = tuple[int, int]
KEPT_BYTES = 128 * 2**20  # of pictures that a play keeps; those drawn first go first


class Player:
    """Plays one avatar in the views and frames of one track; `play` gives what it does under an emotion."""

    def __init__(self, renderer: AvatarRenderer, track: Track) -> None:
        self.renderer, self.track = renderer, track
        self.avatar = renderer.puppet.avatar
        self.head = avatar_head(self.avatar)  # on the CPU, whatever draws
        self.colors = backdrops(track)[0]
        motion = motion_of_track(track)
        self.motion = Motion(
            motion.head_name,
            motion.head_version,
            motion.head_checksum,
            frame_params(self.avatar, track),
            motion.fps,
        )

    def play(self, emotion: str | None) -> Play:
        """The track's own motion with an emotion on top. Raises InputError for one that nobody knows."""
        return Play(self, self._score(self.motion, emotion))

    def play_motion(self, motion: Motion) -> Play:
        """Another motion's expression and jaw at the track's own pose and gaze, colours as they are.

        Raises InputError when it has another head or another number of frames.
        """
        own = self.motion
        if (motion.head_name, motion.head_checksum) != (own.head_name, own.head_checksum):
            raise InputError(f"the baseline motion is for another head ({motion.head_name}) than the track")
        if motion.frame_count != own.frame_count:
            raise InputError(
                f"the baseline motion has {motion.frame_count} frames, the track {own.frame_count}; they must match"
            )
        p, q = own.params, motion.params
        params = HeadParams(
            p.shape, p.static_offset, q.expr, p.rotation, p.neck, q.jaw, p.eyes, p.translation
        )
        mixed = Motion(own.head_name, own.head_version, own.head_checksum, params, own.fps)
        return Play(self, self._score(mixed, None))

    def resting_mesh(self) -> np.ndarray:
        """Vertices [V,3] metres of the person at rest, upright and facing +z."""
        with torch.no_grad():
            return self.renderer.puppet.identity.pose(self.avatar.neutral[None])[0].double().cpu().numpy()

    def frontal_view(self, views: Sequence[int] | None = None) -> int:
        """The view that looks at the face most from the front, over all frames."""
        params = self.motion.params
        ahead = axis_angle_to_matrix(params.rotation).double().numpy()[:, :, 2]
        centre = params.translation.double().numpy()
        chosen = range(len(self.track.cameras)) if views is None else views

        def straightness(view: int) -> float:
            towards = self.track.cameras[view].position - centre
            towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
            return float((towards * ahead).sum(-1).mean())

        return max(chosen, key=straightness)

    def _score(self, motion: Motion, emotion: str | None) -> Score:
        return write_score(
            self.avatar,
            self.head,
            motion,
            parse_emotion(emotion),
            calibrate=False,
            pose="absolute",
            pose_reference="mean",
        )


class Play:
    """What an avatar shows under one emotion."""

    def __init__(self, player: Player, score: Score) -> None:
        self._player, self._score = player, score
        self._drawn: dict[Cell, tuple[np.ndarray, np.ndarray]] = {}
        self._meshes: dict[int, np.ndarray] = {}

    @property
    def params(self) -> HeadParams:
        """What the head does, T frames."""
        return self._score.params

    def picture(self, cell: Cell) -> np.ndarray:
        """uint8 [H,W,3] over the view's backdrop."""
        return self._draw(cell)[0]

    def coverage(self, cell: Cell) -> np.ndarray:
        """bool [H,W]: where anything of the avatar is."""
        return self._draw(cell)[1]

    def vertices(self, frame: int) -> np.ndarray:
        """Posed mesh [V,3] metres, float64."""
        if frame not in self._meshes:
            motion = [getattr(self.params, name)[frame : frame + 1] for name in MOTION]
            with torch.no_grad():
                identity = self._player.renderer.puppet.identity
                self._meshes[frame] = identity.pose(*motion)[0].double().cpu().numpy()
        return self._meshes[frame]

    def normals(self, frame: int) -> np.ndarray:
        """Unit normals [V,3] of the posed mesh."""
        vertices = torch.from_numpy(self.vertices(frame))
        return vertex_normals(vertices, self._player.head.faces.cpu()).numpy()

    def _draw(self, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
        if cell not in self._drawn:
            view, frame = cell
            player = self._player
            drawing = player.renderer.render(
                self.params,
                frame,
                [player.track.cameras[view]],
                player.colors[view],
                self._score.mixture(frame),
            )
            alpha = drawing.alpha[0, ..., 0].cpu().numpy()
            picture = to_uint8(drawing.image[0].cpu().numpy())
            if len(self._drawn) * picture.nbytes > KEPT_BYTES:
                self._drawn.pop(next(iter(self._drawn)))
            self._drawn[cell] = picture, alpha > 1 / 255
        return self._drawn[cell]
