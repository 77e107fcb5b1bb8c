"""What lies behind lips and lids must not pass for skin: in pictures in which it is hidden, it wears any colour.

Skin is fitted half transparent at first. Walls of the mouth, teeth and eyeballs drawn behind it, or reaching through
it, would be taught its colours, which do not move with the face, and show as specks once it smiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch

from emoga.avatar.posing import MOTION
from emoga.camera import Camera, stack_cameras
from emoga.head import BONES, Head, HeadParams, Identity
from emoga.render import rasterize_mesh
from emoga.render.mesh import MeshFragments

BEHIND = ("mouth_interior", "teeth", "tongue", "eyeballs", "irises")
SLACK = 0.001  # metres by which what shows may be deeper than the surface found under a pixel
FAR = 0.02  # metres: more than any hair that hangs on a triangle stands off it


@dataclass
class HiddenParts:
    """Which of the frames that Gaussians hang on are hidden in pictures of cameras, where params [T] pose the mesh.

    Worked out on the host, kept on `device`.
    """

    head: Head
    identity: Identity
    params: HeadParams
    cameras: list[Camera]
    device: torch.device | str = "cpu"
    _hidden: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    @cached_property
    def behind(self) -> torch.Tensor:
        """bool [F + bones]: all that lies behind lips and lids."""
        return torch.from_numpy(np.append(behind_skin(self.head), np.zeros(len(BONES), bool))).to(self.device)

    def of(self, view: int, frame: int) -> torch.Tensor:
        """See `hidden_frames`; worked out once for every picture."""
        if (view, frame) not in self._hidden:
            with torch.no_grad():
                vertices = self.identity.pose(
                    *(getattr(self.params, name)[frame : frame + 1] for name in MOTION)
                )[0]
            camera = self.cameras[view]
            fragments = rasterize_mesh(
                vertices, self.head.faces, *stack_cameras([camera]), camera.width, camera.height
            )
            hidden = hidden_frames(self.head, vertices, fragments, camera)
            self._hidden[view, frame] = hidden.to(self.device)
        return self._hidden[view, frame]


def hidden_frames(
    head: Head, vertices: torch.Tensor, fragments: MeshFragments, camera: Camera
) -> torch.Tensor:
    """bool [F + bones]: triangles behind lips and lids of which a picture of the posed mesh [V,3] shows nothing.

    Neighbours of what shows count as shown, and so does what is no deeper than what shows a pixel away: neither mesh
    nor pixels are exact, and triangles may be smaller than these.
    """
    faces, seen = head.faces.numpy(), fragments.face_index[0].numpy()
    behind = behind_skin(head)
    corners = np.zeros(len(vertices), bool)
    corners[faces[seen[(seen >= 0) & behind[seen]]]] = True
    deeper = _deeper(head, vertices, fragments, camera) >= SLACK
    return _and_bones(behind & ~corners[faces].any(1) & deeper)


def far_frames(head: Head, vertices: torch.Tensor, fragments: MeshFragments, camera: Camera) -> torch.Tensor:
    """bool [F + bones]: triangles, of whatever, far behind all that a picture of the posed mesh [V,3] shows there."""
    far, seen = _deeper(head, vertices, fragments, camera) > FAR, fragments.face_index[0].numpy()
    far[seen[seen >= 0]] = False
    return _and_bones(far)


def _deeper(head: Head, vertices: torch.Tensor, fragments: MeshFragments, camera: Camera) -> np.ndarray:
    """Metres [F] by which triangles' middles lie deeper than what shows there or a pixel away; inf outside pictures."""
    covered = np.where(fragments.face_index[0].numpy() >= 0, fragments.depth[0].numpy(), np.inf)
    deepest = cv2.dilate(covered.astype(np.float32), np.ones((3, 3), np.uint8))
    pixels, depth = camera.project(vertices.double().numpy()[head.faces.numpy()].mean(1))
    column, row = np.floor(pixels).astype(int).T
    within = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    shown = deepest[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
    return np.where(within, depth - shown, np.inf)


def _and_bones(faces: np.ndarray) -> torch.Tensor:
    """bool [F + bones] of one about triangles [F]."""
    return torch.from_numpy(np.append(faces, np.zeros(len(BONES), bool)))


def behind_skin(head: Head) -> np.ndarray:
    """bool [F]: triangles of what lies behind lips and lids."""
    return head.faces_of(BEHIND).cpu().numpy()
