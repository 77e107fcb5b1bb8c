"""Where a person's rows of teeth are: moved along their jaws until the mesh shows teeth where pictures do.

Heads are made with closed lips, and people's teeth differ by millimetres in what a smile bares of them. Where the mesh
has its tongue and a picture has teeth, the tongue would be painted as teeth, and tear them once the jaw opens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from emoga.avatar.posing import MOTION
from emoga.camera import Camera, stack_cameras
from emoga.head import BONES, Head, HeadParams, Identity
from emoga.optimize.scoring import evenly
from emoga.optimize.training_pictures import Example, TrainingPictures
from emoga.progress import Reporter, tracked
from emoga.render import rasterize_mesh

PICTURES = 48
LOWERED = np.arange(0, 9) * 0.001  # metres by which the upper row may stand lower than in the head
RAISED = np.arange(-6, 5) * 0.001  # metres by which the lower row may stand higher
UP, AHEAD = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
# The upper row passes the lower: this share of what it was lowered it comes forward, so many metres at most.
OVERJET, DEEPEST = 0.5, 0.002
RELUCTANCE = 10.0  # share of the pixels that must agree better, per metre
LEAST = 200  # pixels of teeth or their absence in all pictures together, below which nobody knows
SKIN = ("face", "cheeks", "forehead")
INSIDE = ("mouth_interior", "tongue")
# Beside skin, in brightness and in how much green there is for the red: what is a tooth, what a shadow, what flesh.
BRIGHT, DARK, PALE, RED = 0.55, 0.45, 1.06, 0.95


@dataclass(frozen=True)
class Opening:
    """Pixels P between the lips of one picture: signs [P], 1 for teeth and -1 for none; how deep each lies behind what
    is no tooth, [P], and rows of teeth at each of their places, [LOWERED,P] and [RAISED,P], metres.
    """

    signs: np.ndarray
    rest: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    def agreement(self) -> np.ndarray:
        """Sum of signs [LOWERED,RAISED], negative where the mesh shows none."""
        uppers, lowers = (self.upper < self.rest), (self.lower < self.rest)
        shown = (uppers[:, None] | lowers[None]).astype(np.float32)
        return (2 * shown - 1) @ self.signs


@dataclass(frozen=True)
class Rows:
    """Which vertices [V] bool are the upper and the lower row of teeth."""

    upper: torch.Tensor
    lower: torch.Tensor

    @classmethod
    def of(cls, head: Head) -> Rows | None:
        """Those of a head, None for one that lacks either."""
        teeth = torch.zeros(len(head.template), dtype=torch.bool)
        teeth[head.faces[head.faces_of(("teeth",))].flatten()] = True
        on_jaw = head.skin_weights[:, BONES.index("jaw")] > 0.5
        rows = cls(teeth & ~on_jaw, teeth & on_jaw)
        return rows if rows.upper.any() and rows.lower.any() else None

    def moved(self, up: torch.Tensor, ahead: torch.Tensor, lowered: float, raised: float) -> torch.Tensor:
        """Offsets [V,3] of rows lowered and raised by so many metres, where up and ahead [...,3] are directions."""
        upper = ahead * min(DEEPEST, OVERJET * lowered) - up * lowered
        return self.upper[:, None] * upper + self.lower[:, None] * (up * raised)


@torch.no_grad()
def place_teeth(head: Head, params: HeadParams, pictures: TrainingPictures, report: Reporter) -> HeadParams:
    """`params` with a static offset that puts the rows of teeth where the training pictures show teeth.

    Nothing changes for heads without teeth, nor where pictures show too little of a mouth.
    """
    rows = Rows.of(head)
    if rows is None:
        return params
    identity = head.identify(params.shape, params.static_offset)
    agreement, pixels = np.zeros((len(LOWERED), len(RAISED))), 0
    for view, frame in tracked(evenly(pictures.pairs, PICTURES), "place the teeth", report):
        motion = [getattr(params, name)[frame : frame + 1] for name in MOTION]
        opening = _opening(identity, motion, rows, pictures.example(view, frame))
        if opening is not None:
            agreement += opening.agreement()
            pixels += len(opening.signs)
    if pixels < LEAST:
        return params
    gain = agreement / pixels - RELUCTANCE * (LOWERED[:, None] + np.abs(RAISED))
    lowered, raised = np.unravel_index(np.argmax(gain), gain.shape)
    return moved_teeth(head, params, float(LOWERED[lowered]), float(RAISED[raised]))


def moved_teeth(head: Head, params: HeadParams, lowered: float, raised: float) -> HeadParams:
    """`params` with the upper row lowered and the lower one raised by so many metres."""
    up, ahead = (torch.tensor(axis).to(head.template) for axis in (UP, AHEAD))
    moved = Rows.of(head).moved(up, ahead, lowered, raised)
    return replace(
        params, static_offset=moved if params.static_offset is None else params.static_offset + moved
    )


def _opening(identity: Identity, motion: list[torch.Tensor], rows: Rows, example: Example) -> Opening | None:
    """What one picture of a head in `motion` [1,...] says, None where it shows nothing between the lips."""
    head, picture, camera = identity.head, example.target.numpy(), example.camera
    vertices = identity.pose(*motion)[0]
    skin = _skin_color(head, vertices, picture, camera)
    window = _window(head, vertices, camera)
    if skin is None or window is None:
        return None
    left, top, camera = window
    picture = picture[top : top + camera.height, left : left + camera.width]
    teeth = head.faces_of(("teeth",))
    index, rest = _drawn(head.faces[~teeth], vertices, camera)
    inside = (index >= 0) & head.faces_of(INSIDE)[~teeth].numpy()[np.maximum(index, 0)]
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    signs = _signs(picture[inside] / skin)
    told = signs != 0
    if not told.any():
        return None
    # Teeth are rigid: a metre along an axis of the head shows where each of them goes by any step.
    up, ahead = (
        replace(identity, rest=identity.rest + identity.rest.new_tensor(axis)).pose(*motion)[0] - vertices
        for axis in (UP, AHEAD)
    )
    upper, lower = (head.faces[teeth & row[head.faces].all(1)] for row in (rows.upper, rows.lower))
    places = [(upper, step, 0.0) for step in LOWERED], [(lower, 0.0, step) for step in RAISED]
    depths = [
        np.stack(
            [
                _drawn(row, vertices + rows.moved(up, ahead, *steps), camera)[1][inside][told]
                for row, *steps in each
            ]
        )
        for each in places
    ]
    return Opening(signs[told], rest[inside][told], *depths)


def _skin_color(head: Head, vertices: torch.Tensor, picture: np.ndarray, camera: Camera) -> np.ndarray | None:
    """Median colour [3] of the face in a picture that shows a head with vertices [V,3]."""
    index, _ = _drawn(head.faces, vertices, camera)
    shown = (index >= 0) & head.faces_of(SKIN).numpy()[np.maximum(index, 0)]
    return np.median(picture[shown], axis=0).clip(0.02) if shown.any() else None


def _window(head: Head, vertices: torch.Tensor, camera: Camera) -> tuple[int, int, Camera] | None:
    """The part of a picture that holds the lips: its left column, its first line and its own camera."""
    lips = vertices[head.faces[head.faces_of(("lips",))].flatten()]
    pixels, _ = camera.project(lips.double().numpy())
    left, top = np.floor(pixels.min(0)).astype(int).clip(0)
    right, bottom = np.ceil(pixels.max(0)).astype(int).clip(None, (camera.width, camera.height))
    if right - left < 3 or bottom - top < 3:
        return None
    K = camera.K.copy()
    K[:2, 2] -= left, top
    return left, top, replace(camera, K=K, width=int(right - left), height=int(bottom - top))


def _drawn(faces: torch.Tensor, vertices: torch.Tensor, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Which of the faces each pixel shows [H,W], and how deep it lies, infinite for none."""
    seen = rasterize_mesh(vertices, faces, *stack_cameras([camera]), camera.width, camera.height)
    index = seen.face_index[0].numpy()
    return index, np.where(index >= 0, seen.depth[0].numpy(), np.inf)


def _signs(beside_skin: np.ndarray) -> np.ndarray:
    """1 for teeth, -1 for shadow and flesh, 0 for what may be either, of colours [P,3] as shares of the skin's."""
    brightness = beside_skin.mean(1)
    green = beside_skin[:, 1] / beside_skin[:, 0].clip(1e-3)
    teeth = (brightness > BRIGHT) & (green > PALE)
    none = (brightness < DARK) | (green < RED)
    return teeth.astype(np.float32) - (none & ~teeth)
