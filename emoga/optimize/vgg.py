"""VGG features (Simonyan and Zisserman) of picture patches: the plain stack of convolutions, from torch files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from emoga.optimize.backbones import find_backbone, read_backbone

# Files as torchvision names them, by network, and how many convolutions stand before each of five poolings.
FILES = {
    "vgg19": ("vgg19-dcbb9e9d.pth", "vgg19.pth"),
    "vgg16": ("vgg16-397923af.pth", "vgg16.pth"),
}
DEPTHS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
WIDTHS = (64, 128, 256, 512, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ADVICE = f"put {FILES['vgg19'][0]} into --weights DIR or $EMOGA_WEIGHTS, or into the torch hub cache"


@dataclass(frozen=True)
class Vgg:
    """Convolutions (weight [O,I,3,3], bias [O]) in five stages; features are what each stage's first gives."""

    name: str
    stages: tuple[tuple[tuple[torch.Tensor, torch.Tensor], ...], ...]

    def to(self, device: torch.device | str) -> Vgg:
        """The same network on another device."""
        moved = [[(w.to(device), b.to(device)) for w, b in stage] for stage in self.stages]
        return Vgg(self.name, tuple(map(tuple, moved)))

    def features(self, patches: torch.Tensor) -> list[torch.Tensor]:
        """Five maps [J,C,h,w], each of half the size of the one before, of patches [J,S,S,3] in 0..1."""
        mean, deviation = patches.new_tensor(MEAN), patches.new_tensor(DEVIATION)
        value = ((patches - mean) / deviation).permute(0, 3, 1, 2)
        found = []
        for number, stage in enumerate(self.stages):
            if number:
                value = torch.nn.functional.max_pool2d(value, 2)
            for place, (weight, bias) in enumerate(stage):
                if place and number == len(self.stages) - 1:
                    break  # nothing is asked of what lies deeper
                value = torch.relu(torch.nn.functional.conv2d(value, weight, bias, padding=1))
                if place == 0:
                    found.append(value)
        return found


def vgg_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Arrays of a network's convolutions in torchvision's naming: features.N, pooling and ReLU counted too."""
    shapes: dict[str, tuple[int, ...]] = {}
    number, inputs = 0, 3
    for depth, width in zip(DEPTHS[name], WIDTHS, strict=True):
        for _ in range(depth):
            shapes[f"features.{number}.weight"] = (width, inputs, 3, 3)
            shapes[f"features.{number}.bias"] = (width,)
            number, inputs = number + 2, width
        number += 1
    return shapes


def load_vgg(weights: str | Path | None = None) -> Vgg | None:
    """The VGG whose file is in the folder `weights` or a usual place, or None where there is none.

    Raises InputError when a file of that name is not the network.
    """
    for name, files in FILES.items():
        path = find_backbone(files, weights)
        if path is not None:
            return _assembled(name, read_backbone(path, vgg_shapes(name)))
    return None


def _assembled(name: str, arrays: dict[str, torch.Tensor]) -> Vgg:
    parts = iter(arrays.values())  # in the order of the shapes asked for: weight and bias in turn
    stages = tuple(tuple((next(parts), next(parts)) for _ in range(depth)) for depth in DEPTHS[name])
    return Vgg(name, stages)
