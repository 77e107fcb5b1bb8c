"""A closer look at eyes and mouth: small networks that place lids, irises and lips within patches of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from emoga.capture.face_crops import FaceCrop

LEFT_EYE = (
    249, 252, 253, 254, 255, 256, 260, 263, 286, 339, 341, 342, 359, 362, 373, 374, 380, 381, 382, 384, 385, 386,
    387, 388, 390, 398, 414, 450, 451, 452, 453, 463, 464, 466, 467, 473, 474, 475, 476, 477,
)  # fmt: skip
RIGHT_EYE = (
    7, 22, 23, 24, 25, 26, 30, 33, 56, 110, 112, 113, 130, 133, 144, 145, 153, 154, 155, 157, 158, 159,
    160, 161, 163, 173, 190, 230, 231, 232, 233, 243, 244, 246, 247, 468, 471, 470, 469, 472,
)  # fmt: skip
MOUTH = (
    0, 11, 13, 14, 15, 17, 37, 39, 40, 42, 43, 57, 61, 62, 72, 73, 74, 76, 77, 78, 80, 81, 82, 84, 86, 87, 88, 89, 90,
    91, 95, 96, 106, 146, 178, 179, 181, 183, 184, 185, 186, 191, 267, 269, 270, 272, 273, 287, 291, 292, 302, 303,
    304, 306, 307, 308, 310, 311, 312, 314, 316, 317, 318, 319, 320, 321, 324, 325, 335, 375, 402, 403, 405, 407, 408,
    409, 410, 415,
)  # fmt: skip
LOG_SPREAD = (-7.0, 1.0)  # of half a patch's side
REACH = 1.2  # of half a patch's side, up to which a point can be placed


@dataclass(frozen=True)
class Part:
    """A part of the face: its points, the ones whose middle is the patch's, and the patch's side and pixels.

    share: side of the patch over that of the face's crop; flipped: the picture is mirrored for the network.
    """

    points: tuple[int, ...]
    middle: tuple[int, ...]
    share: float
    pixels: int
    flipped: bool = False

    def patch(self, points: np.ndarray, crop: FaceCrop) -> FaceCrop:
        """Where the part lies, by points [478,2] of a face with its crop."""
        return FaceCrop(points[list(self.middle)].mean(0), self.share * crop.side, crop.angle)

    def cut(self, picture: np.ndarray, patch: FaceCrop) -> np.ndarray:
        """The patch's picture [pixels,pixels,3] as the network wants it."""
        cut = patch.cut(picture, self.pixels)
        return np.ascontiguousarray(cut[:, ::-1]) if self.flipped else cut

    def to_picture(self, places: np.ndarray, patch: FaceCrop) -> np.ndarray:
        """What the network says [P,2] in pixels of the picture."""
        return patch.to_picture(places * [-1.0, 1.0] if self.flipped else places)

    def from_picture(self, pixels: np.ndarray, patch: FaceCrop) -> np.ndarray:
        """Pixels [P,2] of the picture as the network should say them."""
        places = patch.from_picture(pixels)
        return places * [-1.0, 1.0] if self.flipped else places


PARTS = {
    "left_eye": Part(LEFT_EYE, (263, 362, 374, 386), 0.26, 48),
    "right_eye": Part(RIGHT_EYE, (33, 133, 145, 159), 0.26, 48, flipped=True),
    "mouth": Part(MOUTH, (61, 291, 0, 17), 0.43, 64),
}


def _layer(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
    )


class PartNetwork(nn.Module):
    """Patches [N,3,S,S] (sRGB, 0..1) to places [N,P,2] in -1..1 over the patch and their log spread [N,P].

    A place is the mean of a map [S/4,S/4] of where the point may be: numbers read off a code of the whole patch would
    shrink towards the usual eye and mouth.
    """

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.count, self.side = len(part.points), part.pixels // 4
        self.near = nn.Sequential(_layer(3, 24, 2), _layer(24, 40), _layer(40, 64, 2), _layer(64, 64))
        self.far = nn.Sequential(_layer(64, 96, 2), _layer(96, 96))
        self.whole = nn.Sequential(
            _layer(96, 64, 2),
            nn.Flatten(),
            nn.Linear(64 * (part.pixels // 16) ** 2, 96),
            nn.ReLU(inplace=True),
        )
        self.told = nn.Linear(96, 96)
        self.back = _layer(96, 64)
        self.maps = nn.Sequential(_layer(64, 64), nn.Conv2d(64, self.count, 1))
        self.spreads = nn.Linear(96, self.count)

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.near((patches - 0.5) / 0.25)
        far = self.far(near)
        code = self.whole(far)
        back = self.back(far + self.told(code)[..., None, None])
        maps = self.maps(near + nn.functional.interpolate(back, scale_factor=2.0)).float()
        weight = maps.flatten(2).softmax(-1).unflatten(2, (self.side, self.side))
        grid = torch.linspace(-REACH, REACH, self.side, device=weight.device)
        places = torch.stack([(weight.sum(2) * grid).sum(-1), (weight.sum(3) * grid).sum(-1)], -1)
        return places, self.spreads(code).clamp(*LOG_SPREAD)


class DetailNetwork(nn.Module):
    """One network for both eyes, one for the mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = PartNetwork(PARTS["left_eye"])
        self.mouth = PartNetwork(PARTS["mouth"])

    def of(self, name: str) -> PartNetwork:
        """The network for a part."""
        return self.mouth if name == "mouth" else self.eye
