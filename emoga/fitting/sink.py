"""The sink: a layer of Gaussians below the collar that soaks up clothing while the head is fitted."""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.rig import BONE_SIZE
from emoga.capture.track import Track
from emoga.optimize.training_pictures import TrainingPictures
from emoga.render import SH_C0

SHARE = 0.08  # of all Gaussians
DEPTH_SPREAD = 0.04  # metres around the shoulders' depth
ROOT = -1  # binding of the first bone
LABEL = "shoulders"
SIGHTINGS = 12


def start_sink(
    track: Track,
    pictures: TrainingPictures,
    shoulders: np.ndarray,
    roots: np.ndarray,
    label: int,
    count: int,
    sh_degree: int,
    generator: np.random.Generator,
) -> Gaussians | None:
    """About `count` Gaussians where the pictures show foreground that is not head, or None where none does.

    Pixels are lifted to the depth of the point `shoulders` [3] in the world, with some spread, and bound to
    the root bone, whose place in every frame is roots [T,3,4].
    """
    if track.masks is None or track.head_masks is None:
        return None
    step = max(1, len(pictures.pairs) // SIGHTINGS)
    pairs = pictures.pairs[::step][:SIGHTINGS]
    points, colors, sizes = [], [], []
    for view, frame in pairs:
        clothing = (track.masks[view, frame] > 247) & (track.head_masks[view, frame] < 8)
        lines, columns = np.nonzero(clothing)
        if len(lines) < 50:
            continue
        chosen = generator.choice(len(lines), max(1, count // len(pairs)))
        camera = pictures.cameras[view]
        depth = camera.project(shoulders[None])[1][0] + generator.normal(0, DEPTH_SPREAD, len(chosen))
        pixels = np.stack([columns[chosen] + 0.5, lines[chosen] + 0.5, np.ones(len(chosen))], 1)
        local = pixels @ np.linalg.inv(camera.K).T * depth[:, None]
        world = (local - camera.w2c[:3, 3]) @ camera.w2c[:3, :3]
        points.append((world - roots[frame, :, 3]) @ roots[frame, :, :3])
        colors.append(pictures.example(view, frame).target.numpy()[lines[chosen], columns[chosen]])
        sizes.append(np.sqrt(len(lines) / len(chosen)) * depth / camera.K[0, 0])
    if not points:
        return None
    return _gaussians(*(np.concatenate(part) for part in (points, colors, sizes)), label, sh_degree)


def _gaussians(
    points: np.ndarray, colors: np.ndarray, sizes: np.ndarray, label: int, sh_degree: int
) -> Gaussians:
    count = len(points)
    sh = torch.zeros(count, (sh_degree + 1) ** 2, 3)
    sh[:, 0] = torch.from_numpy((colors - 0.5) / SH_C0)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1
    scales = np.repeat(np.log(sizes / BONE_SIZE)[:, None], 3, axis=1)
    return Gaussians(
        torch.from_numpy((points / BONE_SIZE).astype(np.float32)),
        quats,
        torch.from_numpy(scales.astype(np.float32)),
        torch.zeros(count),
        sh,
        torch.full((count,), ROOT, dtype=torch.int64),
        torch.full((count,), label, dtype=torch.uint8),
    )
