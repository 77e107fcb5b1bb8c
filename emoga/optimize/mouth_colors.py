"""What the inside of a mouth looks like: flesh in the colour of the lips, darker the deeper it lies, and light teeth.

Most clips show it through a slit, if at all. Gaussians of the tongue that stood for the gap between two teeth in a
grin must not carry them along when the jaw opens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.head import Head, HeadParams
from emoga.optimize.first_gaussians import paint
from emoga.optimize.regions import visible_faces
from emoga.optimize.training_pictures import TrainingPictures
from emoga.render import SH_C0

FLESH, TEETH = ("mouth_interior", "tongue"), ("teeth",)
SKIN = ("face", "cheeks", "forehead")
DARKENING = 0.015  # metres behind the lips in which flesh loses all but 1/e of its brightness
TEETH_DARKENING = 0.03  # and teeth behind the foremost
IVORY = (1.06, 1.0, 0.88)  # of teeth beside the grey of the skin's brightness
UNKNOWN = (0.62, 0.4, 0.36)  # colour of lips and skin that no picture shows
# How bright they may become beside the lips' colour and ivory, and how far each channel may be off these.
FLESH_BRIGHTNESS, TEETH_BRIGHTNESS = (0.0, 1.0), (0.1, 1.6)
TINT = 0.08
LARGEST, FARTHEST = (
    0.35,
    0.8,
)  # local units: what a closed mouth hides must not grow until it fills an open one
ROUNDING = 1e-6
SOLID = 0.95  # opacity at first


@dataclass(frozen=True)
class MouthColors:
    """Of one person, by triangle [F,...]: inside bool, likely colours where no picture shows them, pure ones of the
    material and from which to which share of these brightness may go, [F,2].
    """

    inside: torch.Tensor
    likely: torch.Tensor
    pure: torch.Tensor
    brightness: torch.Tensor

    @classmethod
    def of(cls, head: Head, rest: torch.Tensor, lips: np.ndarray, skin: np.ndarray) -> MouthColors:
        """Those of a head at rest [V,3] with such lips and skin, colours [3]."""
        flesh, teeth = head.faces_of(FLESH), head.faces_of(TEETH)
        depth = rest[head.faces].mean(1)[:, 2]
        behind_lips = depth[head.faces_of(("lips",))].mean() - depth
        behind_front = depth[teeth].max() - depth if teeth.any() else depth
        ahead = torch.where(teeth, -behind_front / TEETH_DARKENING, -behind_lips / DARKENING)
        ivory = (np.array(IVORY) * np.mean(skin)).clip(0, 1)
        pure, brightness = (
            torch.where(teeth[:, None], torch.tensor(bright), torch.tensor(dark)).float()
            for bright, dark in ((ivory, np.asarray(lips, np.float64)), (TEETH_BRIGHTNESS, FLESH_BRIGHTNESS))
        )
        likely = pure * ahead.clamp_max(0).exp()[:, None]
        return cls(flesh | teeth, likely, pure, brightness)

    @classmethod
    @torch.no_grad()
    def seen(
        cls,
        head: Head,
        params: HeadParams,
        rest: torch.Tensor,
        pictures: TrainingPictures,
        pairs: list[tuple[int, int]],
    ) -> MouthColors:
        """Those of a head at rest [V,3], moved by `params`, whose lips and skin the pictures (view, frame) show."""
        lips, skin = (_median(head, params, pictures, pairs, names) for names in (("lips",), SKIN))
        return cls.of(head, rest, lips, skin)

    def rows(self, gaussians: Gaussians) -> torch.Tensor:
        """Numbers [M] of the Gaussians inside the mouth."""
        binding = gaussians.binding
        return torch.nonzero((binding >= 0) & self.inside.to(binding.device)[binding.clamp_min(0)])[:, 0]

    def paint(self, gaussians: Gaussians) -> None:
        """Give Gaussians inside the mouth their likely colours, in place, and let nothing shine through them."""
        rows = self.rows(gaussians)
        paint(gaussians, rows, self.likely[gaussians.binding[rows]])
        gaussians.logit_opacities[rows] = math.log(SOLID / (1 - SOLID))

    @torch.no_grad()
    def hold(self, gaussians: Gaussians, rows: torch.Tensor) -> None:
        """Keep Gaussians [M] inside the mouth small, at their triangles, and in colours of its materials, in place."""
        triangles = gaussians.binding[rows].to(self.pure.device)
        pure, limits = (part[triangles].to(gaussians.sh.device) for part in (self.pure, self.brightness))
        colors = gaussians.sh[rows, 0] * SH_C0 + 0.5
        share = (colors * pure).sum(1) / pure.square().sum(1).clamp_min(1e-6)
        near = share.clamp(limits[:, 0], limits[:, 1])[:, None] * pure
        held = (near + (colors - near).clamp(-TINT, TINT)).clamp_min(0)
        off = (held - colors).abs() > ROUNDING
        gaussians.sh[rows, 0] = torch.where(off, (held - 0.5) / SH_C0, gaussians.sh[rows, 0])
        gaussians.sh[rows, 1:] = 0
        gaussians.log_scales[rows] = gaussians.log_scales[rows].clamp_max(math.log(LARGEST))
        means = gaussians.means[rows]
        distance = means.norm(dim=1, keepdim=True)
        gaussians.means[rows] = torch.where(
            distance > FARTHEST + ROUNDING, FARTHEST / distance * means, means
        )


def _median(
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
