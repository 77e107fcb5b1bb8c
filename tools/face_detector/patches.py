"""Patches of eyes and mouths: cut once from the pictures, then moved and spoilt anew for every step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from emoga.capture.face_crops import FaceCrop
from emoga.capture.face_details import PARTS, Part
from tools.face_detector.degrade import random_background, random_occluder

WIDER = 1.45  # side of what is stored over that of a patch, so that patches can be moved within
OFF, TURN, SCALE = 0.10, 0.06, 0.06  # how far the first look may be off: of half a patch, radians, log
ASPECT = 0.10  # log of how much taller than wide faces are made: eyes wider open, lips fuller than any drawn
KERNEL = 13  # pixels of blurs' side


@dataclass(frozen=True)
class Cuts:
    """Stored patches of one kind of part: images uint8 [N,S,S,3], places [N,P,2] of the patch's half, visible [N,P]."""

    images: np.ndarray
    places: np.ndarray
    visible: np.ndarray


def cut_shard(folder: Path, number: int, names: tuple[str, ...]) -> Cuts:
    """All patches of the parts `names` in a shard, kept beside it."""
    file = folder / f"{number:05d}.{names[0]}.cuts.npy"
    if not file.exists():
        _write_cuts(folder, number, names, file)
    with np.load(file.with_suffix(".npz")) as marks:
        return Cuts(np.load(file, mmap_mode="r"), marks["places"], marks["visible"])


def _write_cuts(folder: Path, number: int, names: tuple[str, ...], file: Path) -> None:
    rng = np.random.default_rng([number, 17])
    pictures = np.load(folder / f"{number:05d}.pictures.npy", mmap_mode="r")
    images, places, visible = [], [], []
    with np.load(folder / f"{number:05d}.marks.npz") as marks:
        points, seen, face = marks["points"].astype(float), marks["visible"], marks["face"]
    backgrounds = [random_background(rng) for _ in range(60)]
    for k in np.flatnonzero(face):
        rgba = np.asarray(pictures[k])
        side = len(rgba)
        alpha = rgba[..., 3:].astype(np.float32) / 255
        behind = np.ascontiguousarray(np.rot90(backgrounds[rng.integers(60)], rng.integers(4)))
        image = rgba[..., :3] * alpha + cv2.resize(behind, (side, side)) * (1 - alpha)
        image, sees = random_occluder(image, points[k] / (side / 2) - 1, seen[k], rng)
        image = image.clip(0, 255).astype(np.uint8)
        for name in names:
            part = PARTS[name]
            patch = part.patch(points[k], FaceCrop.around(points[k]))
            cut = FaceCrop(patch.centre, patch.side * WIDER, patch.angle).cut(image, _stored(part))
            images.append(cut[:, ::-1] if part.flipped else cut)
            places.append(part.from_picture(points[k][list(part.points)], patch))
            visible.append(sees[list(part.points)])
    np.savez(file.with_suffix(".npz"), places=np.stack(places), visible=np.stack(visible))
    temporary = file.with_suffix(".tmp.npy")
    np.save(temporary, np.stack(images))
    temporary.rename(file)


def _stored(part: Part) -> int:
    return round(part.pixels * WIDER)


def moved(
    cuts: Cuts, part: Part, rng: np.random.Generator, mirror: np.ndarray | None = None
) -> tuple[torch.Tensor, ...]:
    """Patches float [B,3,S,S] in 0..1 of B cuts, a little off; places [B,P,2] and visible [B,P] in them.

    mirror [P]: half of the patches are mirrored, each point then standing for the one it names.
    """
    count = len(cuts.images)
    images = torch.from_numpy(cuts.images).permute(0, 3, 1, 2).float().div(255)
    places, visible = cuts.places, cuts.visible
    if mirror is not None:
        turned = rng.random(count) < 0.5
        images[turned] = images[turned].flip(3)
        places = np.where(turned[:, None, None], places[:, mirror] * [-1.0, 1.0], places)
        visible = np.where(turned[:, None], visible[:, mirror], visible)
    shift = np.clip(rng.normal(0, OFF, (count, 2)), -3 * OFF, 3 * OFF)
    scale, turn = np.exp(rng.normal(0, SCALE, count)), rng.normal(0, TURN, count)
    taller = np.exp(0.5 * rng.normal(0, ASPECT, count))
    sides = scale[:, None] * np.stack(
        [taller, 1 / taller], 1
    )  # what lies along a patch's sides, in the stored one
    matrix = sides[:, :, None] * np.stack(
        [np.stack([np.cos(turn), -np.sin(turn)], -1), np.stack([np.sin(turn), np.cos(turn)], -1)], 1
    )
    affine = torch.from_numpy(np.concatenate([matrix, shift[:, :, None]], 2) / WIDER).float()
    grid = torch.nn.functional.affine_grid(affine, [count, 3, part.pixels, part.pixels], align_corners=False)
    images = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    places = np.einsum("bij,bpj->bpi", np.linalg.inv(matrix), places - shift[:, None])
    return images, torch.from_numpy(places).float(), torch.from_numpy(visible).float()


def spoilt(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A camera's doing to patches [B,3,S,S] in 0..1, to each its own: exposure, colour, blur, noise, JPEG."""
    count, side = len(images), images.shape[-1]

    def each(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).reshape(count, -1, 1, 1)

    images = images.clamp(0, 1) ** each(np.exp(rng.normal(0, 0.22, count)))
    images = (images - 0.5) * each(rng.uniform(0.55, 1.35, count)) + 0.5 + each(rng.normal(0, 0.08, count))
    images = images * each(1 + 0.08 * rng.normal(size=(count, 3)))
    grey = images.mean(1, keepdim=True)
    colourful = np.where(rng.random(count) < 0.06, 0.0, rng.uniform(0.4, 1.5, count))
    images = grey + (images - grey) * each(colourful)
    ramp = torch.linspace(-1, 1, side)
    slope = rng.normal(0, 0.2, (2, count)) * (rng.random(count) < 0.3)
    images = images * (1 + each(slope[0]) * ramp + each(slope[1]) * ramp[:, None])
    images = _blurred(images, rng)
    for _ in range(3):
        few = rng.random(count) < 0.06
        if few.any():
            size = int(side * rng.uniform(0.2, 0.75))
            small = torch.nn.functional.interpolate(images[few], size=(size, size), mode="area")
            images[few] = torch.nn.functional.interpolate(
                small, size=(side, side), mode=str(rng.choice(["bilinear", "bicubic"])), align_corners=False
            )
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    images = images + noise * each(rng.uniform(0, 0.06, count) * (rng.random(count) < 0.4))
    images = images.clamp(0, 1)
    for k in np.flatnonzero(rng.random(count) < 0.25):
        picture = (images[k].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 92))])
        images[k] = torch.from_numpy(cv2.imdecode(data, cv2.IMREAD_COLOR)).permute(2, 0, 1).float() / 255
    return images


def _blurred(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Some out of focus, some moved, some sharpened more than is good for them."""
    kind = rng.random(len(images))
    chosen = np.flatnonzero(kind < 0.42)
    if not len(chosen):
        return images
    at = np.arange(KERNEL) - KERNEL // 2
    away = np.hypot(*np.meshgrid(at, at))
    kernels = np.zeros((len(chosen), KERNEL, KERNEL), np.float32)
    for kernel, k in zip(kernels, chosen, strict=True):
        if 0.22 < kind[k] < 0.32:
            way, length = rng.uniform(0, np.pi), rng.uniform(2, 9)
            reach = np.array([np.cos(way), np.sin(way)]) * length / 2
            ends = [np.round(16 * (KERNEL // 2 + sign * reach)).astype(int).tolist() for sign in (-1, 1)]
            cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_8, 4)
            kernel /= kernel.sum()
            continue
        kernel += np.exp(-0.5 * (away / rng.uniform(0.35, 2.2)) ** 2)
        kernel /= kernel.sum()
        if kind[k] >= 0.32:
            kernel *= -rng.uniform(0.3, 1.5)
            kernel[KERNEL // 2, KERNEL // 2] += 1 - kernel.sum()
    weight = torch.from_numpy(kernels)[:, None].repeat_interleave(3, 0)
    stacked = torch.nn.functional.pad(images[chosen], (KERNEL // 2,) * 4, mode="replicate")
    stacked = stacked.reshape(1, 3 * len(chosen), *stacked.shape[-2:])
    images = images.clone()
    images[chosen] = torch.nn.functional.conv2d(stacked, weight, groups=3 * len(chosen)).reshape(
        len(chosen), 3, *images.shape[-2:]
    )
    return images
