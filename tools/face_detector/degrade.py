"""From stored pictures to what the network is shown: crops, backgrounds, occluders, and bad cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emoga.capture.face_crops import FaceCrop
from emoga.capture.face_network import INPUT

NEGATIVE, WIDE, FLIPPED = 0.10, 0.30, 0.5  # shares


@dataclass(frozen=True)
class Example:
    """image uint8 [128,128,3]; points [478,2] in -1..1; visible [478]; face 0 or 1; tight: a good crop."""

    image: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    face: float


class Shards:
    """Stored pictures, found again and again as more are made."""

    def __init__(self, folder: Path, first: int, end: int) -> None:
        self.folder, self.range, self.parts = folder, (first, end), {}
        self.backgrounds: list[np.ndarray] = []
        self.refresh()

    def refresh(self) -> None:
        """Open shards that were not there before."""
        for file in sorted(self.folder.glob("*.pictures.npy")):
            number = int(file.name[:5])
            if self.range[0] <= number < self.range[1] and number not in self.parts:
                with np.load(self.folder / f"{number:05d}.marks.npz") as marks:
                    self.parts[number] = (
                        np.load(file, mmap_mode="r"), marks["points"], marks["visible"], marks["face"]
                    )  # fmt: skip
        self.index = [(n, k) for n, part in self.parts.items() for k in range(len(part[3]))]

    def example(
        self, rng: np.random.Generator, mirror: np.ndarray, at: int | None = None, plain: bool = False,
        size: int = INPUT, flip: bool | None = None,
    ) -> Example:  # fmt: skip
        """A random example of `size` pixels (or one of number `at`); plain: a tight crop of a face, not flipped."""
        number, k = self.index[rng.integers(len(self.index)) if at is None else at]
        pictures, points, visible, face = self.parts[number]
        rgba, marks, seen, is_face = np.array(pictures[k]), points[k], visible[k], bool(face[k])
        flip = (not plain and rng.random() < FLIPPED) if flip is None else flip
        if flip:
            rgba = np.ascontiguousarray(rgba[:, ::-1])
            marks = (marks * [-1, 1] + [rgba.shape[1], 0])[mirror]
            seen = seen[mirror]
        kind = 1.0 if plain else rng.random()
        crop = FaceCrop.around(marks)
        if kind < NEGATIVE:
            crop, is_face = _astray(crop, rng), False
            if rng.random() < 0.4:
                rgba[..., 3] = 0
        elif kind < NEGATIVE + WIDE:
            crop = _moved(crop, rng, 0.24, np.exp(rng.uniform(-0.45, 0.6)), rng.uniform(-0.8, 0.8))
        else:
            scale, turn = np.clip(rng.normal(0, 0.07), -0.2, 0.2), np.clip(rng.normal(0, 0.08), -0.25, 0.25)
            crop = _moved(crop, rng, 0.05, np.exp(scale), turn)
        image = cv2.warpAffine(rgba, crop.matrix(size), (size, size), flags=cv2.INTER_LINEAR)
        alpha = image[..., 3:].astype(np.float32) / 255
        behind = self._background(rng)
        if size != INPUT:
            behind = cv2.resize(np.ascontiguousarray(behind), (size, size))
        image = image[..., :3] * alpha + behind * (1 - alpha)
        local = crop.from_picture(marks)
        seen = seen & (np.abs(local) < 1).all(1)
        image, seen = random_occluder(image, local, seen, rng)
        return Example(degraded(image, rng), local.astype(np.float32), seen, float(is_face))

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """A background, now and then a new one, else one seen before, changed."""
        if len(self.backgrounds) < 40 or rng.random() < 0.1:
            self.backgrounds.append(random_background(rng))
            del self.backgrounds[:-600]
        picture = self.backgrounds[rng.integers(len(self.backgrounds))]
        turned = np.rot90(picture, rng.integers(4))[..., rng.permutation(3)]
        return 255 - turned if rng.random() < 0.3 else turned


def _moved(crop: FaceCrop, rng: np.random.Generator, reach: float, scale: float, turn: float) -> FaceCrop:
    shift = np.clip(rng.normal(0, reach, 2), -1.5 * reach, 1.5 * reach) * crop.side * min(scale, 1.0)
    return FaceCrop(crop.centre + shift, crop.side * scale, crop.angle + turn)


def _astray(crop: FaceCrop, rng: np.random.Generator) -> FaceCrop:
    """A crop that shows no face, a small part of one, or one on its head."""
    kind = rng.random()
    turn = rng.uniform(-3, 3)
    if kind < 0.3:
        return FaceCrop(crop.centre, crop.side * rng.uniform(0.12, 0.38), crop.angle + turn)
    if kind < 0.5:
        return FaceCrop(
            crop.centre, crop.side * rng.uniform(0.8, 1.5), crop.angle + np.pi + rng.uniform(-1, 1)
        )
    way = rng.uniform(0, 2 * np.pi)
    scale = rng.uniform(0.4, 1.2)
    away = crop.side * (0.35 + 0.5 * scale) * rng.uniform(0.9, 1.3)
    return FaceCrop(
        crop.centre + away * np.array([np.cos(way), np.sin(way)]), crop.side * scale, crop.angle + turn
    )


def random_background(rng: np.random.Generator) -> np.ndarray:
    """float32 [128,128,3] in 0..255: plain, shaded, blotched, striped or full of things."""
    base = rng.choice([rng.uniform(0, 255), 255.0, 0.0], p=[0.84, 0.1, 0.06]) + np.zeros(3)
    if rng.random() < 0.6:
        base = rng.uniform(0, 255, 3)
    picture = np.broadcast_to(base, (INPUT, INPUT, 3)).astype(np.float32)
    kind = rng.random()
    if kind < 0.25:
        return picture
    for _ in range(rng.integers(1, 4)):
        cells = int(rng.choice([2, 3, 5, 9, 17, 40]))
        noise = rng.normal(0, rng.uniform(10, 70), (cells, cells, 3 if rng.random() < 0.5 else 1)).astype(
            np.float32
        )
        noise = cv2.resize(
            noise, (INPUT, INPUT), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC]))
        )
        picture = picture + (noise if noise.ndim == 3 else noise[..., None])
    picture = np.ascontiguousarray(picture)
    if kind > 0.6:
        for _ in range(rng.integers(1, 14)):
            _thing(picture, rng)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 6))
    return picture.clip(0, 255)


def _thing(picture: np.ndarray, rng: np.random.Generator) -> None:
    color = tuple(float(v) for v in rng.uniform(0, 255, 3))
    at, size = rng.integers(-10, INPUT + 10, 2), rng.integers(3, 60, 2)
    kind = rng.integers(4)
    if kind == 0:
        cv2.rectangle(picture, at.tolist(), (at + size).tolist(), color, -1)
    elif kind == 1:
        cv2.ellipse(picture, at.tolist(), size.tolist(), float(rng.uniform(0, 180)), 0, 360, color, -1)
    elif kind == 2:
        cv2.line(picture, at.tolist(), rng.integers(0, INPUT, 2).tolist(), color, int(rng.integers(1, 6)))
    else:
        corners = at + rng.integers(-40, 40, (rng.integers(3, 7), 2))
        cv2.fillPoly(picture, [corners.astype(np.int32)], color)


def random_occluder(image: np.ndarray, points: np.ndarray, seen: np.ndarray, rng: np.random.Generator):
    """Something before the face: a hand-like heap of blobs in the skin's colour, a thing, or strands."""
    if rng.random() > 0.18:
        return image, seen
    size = len(image)
    mask = np.zeros((INPUT, INPUT), np.uint8)
    at = rng.integers(0, INPUT, 2)
    kind = rng.random()
    if kind < 0.5:
        way = rng.uniform(0, 2 * np.pi)
        for finger in range(rng.integers(1, 6)):
            start = at + 9 * finger * np.array([np.sin(way), -np.cos(way)])
            end = start + rng.uniform(25, 70) * np.array([np.cos(way), np.sin(way)])
            ends = start.astype(int).tolist(), end.astype(int).tolist()
            cv2.line(mask, *ends, 255, int(rng.integers(7, 13)), cv2.LINE_AA)
        x, y = np.clip((points[rng.choice([50, 280, 9])] + 1) / 2 * size, 0, size - 1).astype(int)
        tone = image[y, x] if rng.random() < 0.6 else rng.uniform(40, 230, 3)
    elif kind < 0.75:
        radii = rng.integers(8, 50, 2).tolist()
        cv2.ellipse(mask, at.tolist(), radii, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        tone = rng.uniform(0, 255, 3)
    else:
        for _ in range(rng.integers(2, 12)):
            line = (at + np.cumsum(rng.normal(0, 14, (6, 2)) + rng.normal(0, 6, 2), 0)).astype(np.int32)
            cv2.polylines(mask, [line], False, 255, 1, cv2.LINE_AA)
        tone = rng.uniform(0, 160, 3)
    weight = cv2.resize(mask, (size, size))[..., None].astype(np.float32) / 255
    shade = rng.normal(size=(5, 5)).astype(np.float32)
    shade = 1 + 0.25 * cv2.resize(shade, (size, size), interpolation=cv2.INTER_CUBIC)
    image = image * (1 - weight) + np.clip(tone * shade[..., None], 0, 255) * weight
    pixels = np.clip((points + 1) * INPUT / 2, 0, INPUT - 1).astype(int)
    return image, seen & (mask[pixels[:, 1], pixels[:, 0]] < 128)


def degraded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A camera's doing to a picture [S,S,3] in 0..255: exposure, colour, blur, few pixels, noise, JPEG."""
    size, scale = len(image), len(image) / INPUT
    image = np.maximum(image.astype(np.float32), 0) / 255
    image = image ** np.float32(np.exp(rng.normal(0, 0.22)))
    image = (image - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.normal(0, 0.07)
    image = image * (1 + 0.07 * rng.normal(size=3).astype(np.float32))
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * (0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.4))
    if rng.random() < 0.2:
        ramp = np.linspace(-1, 1, size, dtype=np.float32)
        slope = rng.normal(0, 0.15, 2).astype(np.float32)
        image = image * (1 + slope[0] * ramp[None, :, None] + slope[1] * ramp[:, None, None])
    kind = rng.random()
    if kind < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.8) * scale)
    elif kind < 0.45:
        length = int(rng.integers(3, 10) * scale)
        kernel = np.zeros((length, length), np.float32)
        way = rng.uniform(0, np.pi)
        reach = np.array([np.cos(way), np.sin(way)]) * (length - 1) / 2
        middle = (length - 1) / 2
        ends = (np.round(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
        cv2.line(kernel, *ends, 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.25:
        few = int(rng.integers(28, 110))
        small = cv2.resize(image, (few, few), interpolation=cv2.INTER_AREA)
        image = cv2.resize(
            small, (size, size), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        )
    if rng.random() < 0.5:
        image = image + rng.uniform(0.0, 0.07) * rng.standard_normal(image.shape, dtype=np.float32)
    image = (image * 255).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 92))])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image
