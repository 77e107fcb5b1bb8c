"""Instructions, and one of the many right answers to each: hues, tints and patterns fall anew for every picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from emoga.studio.noise import gradient_noise
from small_editor.films import Shot

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
Painter = Callable[[Shot, np.random.Generator], np.ndarray]


def dyed(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Hair of a loud colour."""
    return _over(shot.picture, _tinted(shot.picture, shot.hair, _loud(rng), 0.75), shot.hair)


def marble(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Pale stone with veins."""
    tint = np.array([0.93, 0.93, 0.91], np.float32) + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    stone = _tinted(shot.picture, shot.skin, tint, 0.55)
    veins = np.exp(-((_pattern(shot, rng, 0.055) / 0.16) ** 2))[..., None]
    dark = np.array([0.32, 0.33, 0.38], np.float32) * rng.uniform(0.8, 1.2)
    return _over(shot.picture, stone * (1 - 0.75 * veins) + dark * 0.75 * veins, shot.head)


def painted(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Skin of one loud colour."""
    return _over(shot.picture, _tinted(shot.picture, shot.skin, _loud(rng), 0.7), shot.skin)


def patched(shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Skin of patches in two loud colours."""
    first, second = _loud(rng), _loud(rng)
    share = 1 / (1 + np.exp(-_pattern(shot, rng, 0.05) / 0.12))[..., None]
    paint = _tinted(shot.picture, shot.skin, first, 0.7) * share
    return _over(shot.picture, paint + _tinted(shot.picture, shot.skin, second, 0.7) * (1 - share), shot.skin)


PAINTERS: dict[str, tuple[Painter, tuple[str, ...]]] = {
    "dye": (dyed, ("dye his hair", "dye her hair", "give her dyed hair", "dye the hair in a loud colour")),
    "marble": (marble, ("turn him into a marble statue", "turn her into a marble statue",
                        "paint the face like marble", "marble")),
    "paint": (painted, ("paint the face", "paint his face", "paint her face", "paint his skin")),
    "patches": (patched, ("paint patches on the face", "camouflage his face", "camouflage her face",
                          "patches of paint")),
}  # fmt: skip


def moved(shot: Shot, size: int, rng: np.random.Generator) -> Shot:
    """The shot at another size, its head a little larger or smaller and elsewhere, or as a mirror shows it."""
    height, width = shot.head.shape
    scale, sign = rng.uniform(0.9, 1.3) * size / width, rng.choice([-1, 1])
    matrix = np.array([[sign * scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = size / 2 + rng.uniform(-0.05, 0.05, 2) * size - matrix[:, :2] @ (width / 2, height / 2)
    fill = {"picture": 1.0, "head": 0.0, "skin": 0.0, "hair": 0.0}
    parts = {
        name: cv2.warpAffine(getattr(shot, name), matrix, (size, size), borderValue=(value,) * 3)
        for name, value in fill.items()
    }
    place = cv2.warpAffine(shot.place, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return Shot(**parts, place=place)


def _loud(rng: np.random.Generator) -> np.ndarray:
    """A saturated colour [3] of any hue."""
    hue = rng.uniform(0, 6)
    wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (0.95 * (1 - 0.85 * (1 - wheel))).astype(np.float32)


def _tinted(picture: np.ndarray, weight: np.ndarray, colour: np.ndarray, shading: float) -> np.ndarray:
    """The colour under the picture's own shading; `shading` says how deep shadows stay."""
    light = picture @ LUMA
    chosen = weight > 0.6
    typical = np.quantile(light[chosen], 0.7) if chosen.any() else 0.5
    return np.clip((light / max(typical, 0.08))[..., None] ** shading, 0.2, 1.25) * colour * 0.85


def _pattern(shot: Shot, rng: np.random.Generator, size: float) -> np.ndarray:
    """Smooth noise [H,W] on the head's surface."""
    noise = gradient_noise(shot.place.reshape(-1, 3), size, int(rng.integers(1 << 30)))
    return noise.reshape(shot.head.shape)


def _over(picture: np.ndarray, paint: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mixed = picture + (paint - picture) * weight[..., None]
    return np.clip(mixed, 0, 1).astype(np.float32)
