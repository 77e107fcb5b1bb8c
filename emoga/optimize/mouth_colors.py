"""What the inside of a mouth looks like where no picture shows it: flesh in the colour of the lips, darker the deeper
it lies, and teeth as bright as the face.
"""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.head import Head, HeadParams
from emoga.optimize.first_gaussians import paint
from emoga.optimize.regions import visible_faces
from emoga.optimize.training_pictures import TrainingPictures

FLESH = ("mouth_interior", "tongue")
SKIN = ("face", "cheeks", "forehead")
DARKENING = 0.015  # metres behind the lips in which flesh loses all but 1/e of its brightness
TEETH_DARKENING = 0.03  # and teeth behind the foremost
IVORY = (1.06, 1.0, 0.88)  # of teeth beside the grey of the skin's brightness
UNKNOWN = (0.62, 0.4, 0.36)  # colour of lips and skin that no picture shows


def mouth_colors(head: Head, rest: torch.Tensor, lips: np.ndarray, skin: np.ndarray) -> torch.Tensor:
    """Colour [F,3] of each triangle of a person at rest [V,3], meaningful inside the mouth, by those of lips and skin
    [3].
    """
    depth = rest[head.faces].mean(1)[:, 2].double()
    teeth, edge = head.faces_of(("teeth",)), head.faces_of(("lips",))
    behind_lips = (depth[edge].mean() - depth).clamp_min(0)
    flesh = (-behind_lips / DARKENING).exp()[:, None] * torch.as_tensor(lips)
    if not teeth.any():
        return flesh.float()
    behind_front = (depth[teeth].max() - depth).clamp_min(0)
    ivory = torch.tensor(IVORY, dtype=torch.float64) * float(np.mean(skin))
    bright = (-behind_front / TEETH_DARKENING).exp()[:, None] * ivory.clamp(0, 1)
    return torch.where(teeth[:, None], bright, flesh).float()


@torch.no_grad()
def paint_mouth(
    gaussians: Gaussians,
    head: Head,
    params: HeadParams,
    rest: torch.Tensor,
    pictures: TrainingPictures,
    pairs: list[tuple[int, int]],
) -> None:
    """Colour what lies behind the lips as mouths are, in place, by the lips and skin in the pictures (view, frame)."""
    lips, skin = (_shown(head, params, pictures, pairs, names) for names in (("lips",), SKIN))
    colors = mouth_colors(head, rest, lips, skin)
    inside = head.faces_of((*FLESH, "teeth"))
    rows = torch.nonzero((gaussians.binding >= 0) & inside[gaussians.binding.clamp_min(0)])[:, 0]
    paint(gaussians, rows, colors[gaussians.binding[rows]])


def _shown(
    head: Head,
    params: HeadParams,
    pictures: TrainingPictures,
    pairs: list[tuple[int, int]],
    names: tuple[str, ...],
) -> np.ndarray:
    """Median colour [3] of regions in the pictures (view, frame)."""
    wanted, found = head.faces_of(names).numpy(), [np.zeros((0, 3), np.float32)]
    for view, frame in pairs:
        example = pictures.example(view, frame, half=True)
        index = visible_faces(head, head.vertices(params.select([frame]))[0], example.camera)
        shown = (index >= 0) & wanted[np.maximum(index, 0)] & (example.alpha.numpy() > 0.97)
        found.append(example.target.numpy()[shown])
    pixels = np.concatenate(found)
    return np.median(pixels, axis=0) if len(pixels) else np.array(UNKNOWN)
