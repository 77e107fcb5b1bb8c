"""Expressions and views nobody filmed are rehearsed: there, too, skin must hide what lies behind it.

No picture says what such a face looks like, but the mesh says where its skin is. One camera leaves holes in hair and
in the sides of jaws and necks, through which the head's inside shows, and its far side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from emoga.avatar.posing import MOTION
from emoga.camera import stack_cameras
from emoga.fitting.hidden import HiddenParts, behind_skin, far_frames, hidden_frames
from emoga.head import Head, HeadParams
from emoga.head.neck import pitch_and_yaw, turn_of_head, turned_to
from emoga.optimize.training_pictures import Example
from emoga.render import rasterize_mesh

LARGEST = 256  # pixels on a side
EDGE = 2  # pixels around mouth and eyes, where it is not for the mesh to say
# Where the mesh is the surface; hair, lashes and what lies inside mouth and eyes are not where it is.
SURFACE = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "lips", "neck", "ears")
# How much skin and hair count that must hide the far side. Ears turned aside are not where the mesh has them; hair that
# counted in full would lie down on the scalp.
SOLID = {**dict.fromkeys(SURFACE, 1.0), "ears": 0.0, "scalp": 0.3}
ASIDE = 0.5  # share of a single camera's rehearsals in which the head is turned
YAW, PITCH = 70.0, 20.0  # degrees that it is turned at most


def with_emotion(head: Head, expr: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """An expression [1,E] with one of the head's emotions on top, of any strength."""
    name = sorted(head.presets)[generator.integers(len(head.presets))]
    offset = head.emotion(name, float(generator.random()))
    return (expr + offset.to(expr)).clamp(*head.expr_limits)


@dataclass
class Rehearsal:
    """Draws faces of `parts` under the head's emotions."""

    parts: HiddenParts

    @torch.no_grad()
    def draw(
        self, view: int, frame: int, generator: np.random.Generator
    ) -> tuple[Example, HeadParams] | None:
        """A frame under an emotion, or None without any: what must be black, what is hidden being white."""
        parts, head = self.parts, self.parts.head
        if not head.presets:
            return None
        params = parts.params.select([frame])
        params = replace(params, expr=with_emotion(head, params.expr, generator))
        aside = len(parts.cameras) == 1 and generator.random() < ASIDE
        if aside:
            params = _turned_aside(params, generator)
        camera = parts.cameras[view]
        shrink = min(1.0, LARGEST / max(camera.width, camera.height))
        camera = camera.resized(round(shrink * camera.width), round(shrink * camera.height))
        vertices = parts.identity.pose(*(getattr(params, part) for part in MOTION))[0]
        fragments = rasterize_mesh(
            vertices, head.faces, *stack_cameras([camera]), camera.width, camera.height
        )
        face = fragments.face_index[0].numpy()
        inside = (face < 0) | behind_skin(head)[np.maximum(face, 0)]
        brush = np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)
        skin = torch.from_numpy(1 - cv2.dilate(inside.astype(np.float32), brush))
        hidden = hidden_frames(head, vertices, fragments, camera)
        black, white = torch.zeros(3), torch.ones(3)
        if aside:
            skin = skin * _solid(head)[np.maximum(face, 0)]
            hidden = hidden | far_frames(head, vertices, fragments, camera)
        return Example(
            view, frame, camera, black.expand(*skin.shape, 3), white if aside else black, skin, skin, skin,
            head_only=True, hidden=hidden, disguise=white, bare=True,
        ), params  # fmt: skip


def _solid(head: Head) -> torch.Tensor:
    """SOLID of the triangles [F]."""
    return torch.tensor([SOLID.get(name, 0.0) for name in head.region_names])[head.face_regions.long()]


def _turned_aside(params: HeadParams, generator: np.random.Generator) -> HeadParams:
    """The one frame of `params`, the head turned about the world's axes as its neck lets it."""
    yaw, pitch = (2 * generator.random(2) - 1) * (YAW, PITCH)
    return turned_to(params, pitch_and_yaw(pitch, yaw, params.neck.dtype) @ turn_of_head(params))
