"""Shape by the head's semantic directions: which of them an attribute follows, how far, and where it may act."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.avatar import Avatar
from emoga.avatar.rig import avatar_head
from emoga.editing.masks import MM, side_mask, smoothstep
from emoga.editing.subject import template_vertices
from emoga.errors import InputError
from emoga.head import Head

# (part, attribute) -> directions for "more" at strength 1, the regions that may move (none: the whole head), and over
# how many millimetres around them the change fades out.
Recipe = tuple[dict[str, float], tuple[str, ...], float]
SHAPES: dict[tuple[str, str], Recipe] = {
    ("person", "age"): ({"age": 1.0}, (), 0),
    ("person", "weight"): ({"weight": 1.2, "cheek_volume": 1.0, "neck_thickness": 0.8, "roundness": 0.5,
                            "jaw_width": 0.5}, (), 0),
    ("person", "femininity"): ({"gender": -0.5}, (), 0),
    ("person", "masculinity"): ({"gender": 0.5}, (), 0),
    ("person", "muscle"): ({"muscle": 1.0, "neck_thickness": 0.7}, (), 0),
    ("face", "width"): ({"face_width": 0.5}, ("face", "cheeks", "jaw", "forehead", "scalp", "ears"), 40),
    ("face", "length"): ({"face_length": 0.5}, ("face", "cheeks", "jaw", "forehead"), 40),
    ("face", "roundness"): ({"roundness": 1.0, "cheek_volume": 0.4}, ("face", "cheeks", "jaw"), 30),
    ("forehead", "height"): ({"forehead_height": 0.5}, ("forehead", "scalp"), 30),
    ("forehead", "slope"): ({"forehead_slope": 0.7}, ("forehead", "scalp"), 30),
    ("forehead", "width"): ({"face_width": 0.4}, ("forehead",), 30),
    ("brows", "height"): ({"brow_height": 0.8}, ("brows", "forehead"), 15),
    ("eyes", "size"): ({"eye_size": 1.0}, ("eyelids", "eyeballs", "irises", "lashes"), 15),
    ("eyes", "opening"): ({"eye_opening": 1.0}, ("eyelids", "eyeballs", "irises", "lashes"), 12),
    ("nose", "size"): ({"nose_width": 0.5, "nose_length": 0.4, "nose_depth": 0.5}, ("nose",), 12),
    ("nose", "width"): ({"nose_width": 0.9}, ("nose",), 12),
    ("nose", "length"): ({"nose_length": 1.0}, ("nose",), 12),
    ("nose", "prominence"): ({"nose_depth": 0.7}, ("nose",), 12),
    ("cheeks", "volume"): ({"cheek_volume": 1.0}, ("cheeks",), 20),
    ("cheekbones", "prominence"): ({"cheek_bones": 1.3}, ("cheeks", "face"), 20),
    ("lips", "fullness"): ({"lips_fullness": 1.2}, ("lips",), 10),
    ("lips", "width"): ({"mouth_width": 0.9}, ("lips", "mouth_interior"), 14),
    ("mouth", "width"): ({"mouth_width": 0.9}, ("lips", "mouth_interior"), 14),
    ("mouth", "height"): ({"mouth_height": 0.7}, ("lips", "mouth_interior", "teeth", "tongue"), 18),
    ("jaw", "width"): ({"jaw_width": 0.8}, ("jaw", "cheeks"), 25),
    ("chin", "width"): ({"chin_width": 0.8}, ("jaw",), 15),
    ("chin", "height"): ({"chin_height": 0.35}, ("jaw",), 25),
    ("chin", "prominence"): ({"chin_forward": 0.7}, ("jaw",), 15),
    ("ears", "size"): ({"ear_size": 0.9}, ("ears",), 10),
    ("ears", "prominence"): ({"ear_wing": 0.8}, ("ears",), 10),
    ("neck", "thickness"): ({"neck_thickness": 0.9}, ("neck",), 40),
}  # fmt: skip
# Below this height of the template nothing moves: there the avatar meets its clothes, which stay.
COLLAR, COLLAR_FADE = -0.150, 0.05


def reshaped(
    avatar: Avatar, steps: list[tuple[str, str, float, str]], kept: np.ndarray | None = None
) -> Avatar:
    """The avatar with another shape; Gaussians follow their triangles.

    steps: part, attribute, amount (negative for less) and side. kept [V] in 0..1: where the mesh must stay.
    """
    head = avatar_head(avatar)
    moved = sum(displacement(head, *step) for step in steps)
    if kept is not None:
        moved = moved * (1 - kept)[:, None]
    moved = torch.from_numpy(moved).to(avatar.shape)
    offset = moved if avatar.static_offset is None else avatar.static_offset + moved
    result = Avatar(**{**vars(avatar), "static_offset": offset})
    return result


def displacement(head: Head, part: str, attribute: str, amount: float, side: str = "") -> np.ndarray:
    """[V,3] metres that an attribute moves the head's vertices by; exactly zero outside its region."""
    directions, regions, fade = SHAPES[part, attribute]
    missing = sorted(directions.keys() - head.semantic.keys())
    if missing:
        raise InputError(
            f"the {head.name} head has no direction {missing[0]!r}; edit an avatar of the open head"
        )
    vertices = template_vertices(head)
    component = sum(weight * head.semantic[name] for name, weight in directions.items())
    moved = torch.tensordot(component, head.shape_basis, 1).double().numpy() * amount
    moved = moved - _drift(moved, head)
    weight = smoothstep(vertices[:, 1], COLLAR, COLLAR + COLLAR_FADE)
    if regions:
        weight = weight * vertex_mask(head, regions, fade)
    return moved * (weight * side_mask(vertices, side))[:, None]


def vertex_mask(head: Head, regions: tuple[str, ...], fade: float) -> np.ndarray:
    """[V] in 0..1: 1 in the regions, 0 further than `fade` millimetres from them."""
    vertices = template_vertices(head)
    chosen = np.any([head.regions[name].numpy() for name in regions], axis=0)
    distance, _ = cKDTree(vertices[chosen]).query(vertices)
    return smoothstep(distance, fade * MM, 0.0)


def _drift(moved: np.ndarray, head: Head) -> np.ndarray:
    """What the eyes moved by: a head that changes keeps its place about them."""
    return moved[head.regions["eyeballs"].numpy()].mean(0)
