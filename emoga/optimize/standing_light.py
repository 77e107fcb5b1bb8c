"""The light that stands still while a head turns, as skin in the pictures tells it.

Where a place on the skin turns, it brightens or darkens with the light it turns to; and as skin is of much the same
colour everywhere, places that face one way tell about others that will. Both are evidence about one light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar.light import HARMONICS, Light, harmonics
from emoga.avatar.posing import MOTION
from emoga.avatar.score import mean_turn
from emoga.camera import Camera
from emoga.geometry import matrix_to_axis_angle, vertex_normals
from emoga.head import Head, HeadParams, Identity
from emoga.optimize.scoring import evenly
from emoga.optimize.sightings import unhidden
from emoga.optimize.training_pictures import TrainingPictures

SKIN = ("face", "forehead", "cheeks", "nose", "jaw", "neck")
PICTURES = 30
DARKEST = 0.02  # values below are the camera's noise
OTHER_PLACES = 0.01  # what two places tell, against one place in two pictures: skin has spots and folds
RIDGE = 1e-4  # pulls towards a light that comes evenly from everywhere
STRAY = 0.15  # of the logarithm, beyond which a place is lips' border, stubble or shadow rather than light
ROUNDS = 4


@dataclass(frozen=True)
class Places:
    """P places on the skin in T pictures: logarithms of their colours [T,P,3], normals [T,P,3], weights [T,P]."""

    colors: np.ndarray
    normals: np.ndarray
    weights: np.ndarray


@torch.no_grad()
def find_light(
    head: Head, identity: Identity, params: HeadParams, pictures: TrainingPictures, count: int = PICTURES
) -> Light:
    """The light in up to `count` of the pictures, and how the head, which moves by `params`, mostly stands in it."""
    skin = torch.unique(head.faces[head.faces_of(SKIN)])
    looks = []
    for view, frame in evenly(pictures.pairs, count):
        params_now = params.select([frame])
        vertices = identity.pose(*(getattr(params_now, name) for name in MOTION))[0]
        picture = pictures.example(view, frame, half=True)
        looks.append(_look(head, vertices, skin, picture.camera, picture.target.numpy()))
    filmed = params.select(sorted({frame for _, frame in pictures.pairs}))
    found = light_of(Places(*(np.stack(part) for part in zip(*looks, strict=True))))
    return replace(found, turn=matrix_to_axis_angle(mean_turn(filmed)).float())


def light_of(places: Places) -> Light:
    """The light that explains how colours change where a place turns, and how they differ between places.

    One that comes evenly from everywhere where no picture shows any skin.
    """
    weights, basis = places.weights, _basis(places.normals)
    if not weights.any():
        return Light(torch.zeros(HARMONICS, 3))
    own_basis, own_color = _mean(basis, weights), _mean(places.colors, weights)
    each = weights.sum(0) / weights.sum()
    turning = (basis - own_basis).reshape(-1, basis.shape[-1])
    weighed = turning * (weights / weights.sum()).reshape(-1, 1)
    left = weighed.T @ turning + RIDGE * np.eye(turning.shape[1])
    right = weighed.T @ (places.colors - own_color).reshape(-1, 3)
    trusted = each
    for _ in range(ROUNDS):
        among = own_basis - np.average(own_basis, 0, trusted)
        colors = own_color - np.average(own_color, 0, trusted)
        weighed = OTHER_PLACES * among * trusted[:, None]
        light = np.linalg.solve(left + weighed.T @ among, right + weighed.T @ colors)
        stray = np.abs(colors - among @ light).mean(-1) / STRAY
        trusted = each / (1 + stray**2)
    return Light(torch.from_numpy(light).float())


def _look(
    head: Head, vertices: torch.Tensor, skin: torch.Tensor, camera: Camera, picture: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of colours [P,3], normals [P,3] and weights [P] of skin vertices in one picture [H,W,3]."""
    normals = vertex_normals(vertices.double(), head.faces)[skin].numpy()
    points = vertices[skin]
    towards = camera.position - points.double().numpy()
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    rows, columns, lines = unhidden(head, vertices, points, camera)
    colors, weights = np.zeros((len(skin), 3)), np.zeros(len(skin))
    colors[rows] = np.log(np.maximum(picture[lines, columns], DARKEST))
    weights[rows] = (towards[rows] * normals[rows]).sum(1).clip(0)
    return colors, normals, weights


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighed mean [P,D] over pictures of values [T,P,D]."""
    return (weights[..., None] * values).sum(0) / weights.sum(0).clip(1e-6)[:, None]


def _basis(normals: np.ndarray) -> np.ndarray:
    return harmonics(torch.from_numpy(normals))[..., 1:].numpy()
