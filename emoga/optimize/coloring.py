"""First colours: each Gaussian takes what the training pictures show where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.head import Head, HeadParams, Identity
from emoga.optimize.first_gaussians import paint
from emoga.optimize.sightings import told_by_seen, unhidden
from emoga.optimize.training_pictures import Example, TrainingPictures

GREY = 0.4


@dataclass(frozen=True)
class Sighting:
    """One training picture and the head in it: vertices [V,3], Gaussians' means and normals [N,3]."""

    view: int
    frame: int
    vertices: torch.Tensor
    means: torch.Tensor
    normals: torch.Tensor


@torch.no_grad()
def color_as_seen(
    gaussians: Gaussians,
    head: Head,
    identity: Identity,
    rig: Rig,
    params: HeadParams,
    pictures: TrainingPictures,
    pairs: list[tuple[int, int]],
) -> None:
    """Set base colours in place from the pictures (view, frame) of a head that moves by `params`."""
    sightings = []
    for view, frame in pairs:
        vertices, frames = pose_frames(identity, rig, params, frame)
        normals = frames.rotation[gaussians.binding][:, :, rig.normal]
        sightings.append(Sighting(view, frame, vertices, to_world(gaussians, frames).means, normals))
    color_from_pictures(gaussians, head, pictures, sightings)


def color_from_pictures(
    gaussians: Gaussians, head: Head, pictures: TrainingPictures, sightings: list[Sighting]
) -> np.ndarray:
    """Set base colours in place from some pictures, those seen head-on counting most.

    Gaussians that no picture shows take the colour of the nearest that were seen, on either side of the face.
    Returns which were seen, bool [N].
    """
    total, weight = np.zeros((len(gaussians), 3)), np.zeros(len(gaussians))
    for sighting in sightings:
        example = pictures.example(sighting.view, sighting.frame)
        rows, columns, lines = _unhidden(head, example, sighting)
        towards = example.camera.position - sighting.means.double().numpy()[rows]
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        facing = (towards * sighting.normals.double().numpy()[rows]).sum(1).clip(0.05, 1) ** 2
        total[rows] += facing[:, None] * example.target.numpy()[lines, columns]
        weight[rows] += facing
    seen = weight > 0
    colors = np.where(seen[:, None], total / np.maximum(weight, 1e-9)[:, None], np.nan)
    _fill_unseen(colors, gaussians, head)
    paint(gaussians, torch.arange(len(gaussians)), torch.from_numpy(colors.astype(np.float32)))
    return seen


def _unhidden(head: Head, example: Example, sighting: Sighting) -> tuple[np.ndarray, ...]:
    """Rows of Gaussians whose centre the picture shows on certain foreground, and their pixels."""
    rows, columns, lines = unhidden(head, sighting.vertices, sighting.means, example.camera)
    shown = example.alpha.numpy()[lines, columns] > 0.97
    return rows[shown], columns[shown], lines[shown]


def _fill_unseen(colors: np.ndarray, gaussians: Gaussians, head: Head) -> None:
    """Replace NaN among colors [N,3] in place by what the seen Gaussians of the same region tell."""
    known, labels = ~np.isnan(colors[:, 0]), gaussians.labels.numpy()
    binding = gaussians.binding.numpy()
    for label in np.unique(labels[~known]):
        inside = labels == label
        seen, unseen = np.flatnonzero(inside & known), np.flatnonzero(inside & ~known)
        if len(seen) == 0:
            colors[unseen] = GREY
        else:
            colors[unseen] = told_by_seen(head, binding[unseen], binding[seen], colors[seen])
