"""Where in views of a posed head the operations of a plan act: masks from the head's regions, for the second stage."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.editing.parametric import OTHER_SIDE, regions_of
from emoga.editing.subject import template_vertices
from emoga.guidance import EditPlan, Operation
from emoga.guidance.edit_names import HOME
from emoga.guidance.fine_stage import FineStep
from emoga.head import Head
from emoga.optimize.regions import region_mask, visible_faces

# Of the picture's height: how far a thing may reach beyond the part that wears it.
REACH = 0.04
# What an operation on these is about is the whole head: the first stage has done it.
WHOLE = {"person", "face", "skin"}


def fine_steps(
    plan: EditPlan, head: Head, vertices: torch.Tensor, cameras: Sequence[Camera]
) -> list[FineStep]:
    """The plan's operations that act on a part of the head, with their masks in views of its mesh [V,3]."""
    seen = [visible_faces(head, vertices, camera) for camera in cameras]
    steps = []
    for step in plan.operations:
        parts = _parts(step)
        if not parts:
            continue
        if step.action != "move":
            steps.append(FineStep(step, _masks(head, seen, parts, step.side, step.target in HOME)))
        elif step.side in OTHER_SIDE:
            old, new = (_masks(head, seen, parts, side, True) for side in (OTHER_SIDE[step.side], step.side))
            steps.append(FineStep(step, old, new))
    return [step for step in steps if step.place.any()]


def _parts(step: Operation) -> set[str]:
    parts = set(step.position) or HOME.get(step.target, {step.target})
    return set(parts) if step.target in HOME else parts - WHOLE


def _masks(head: Head, seen: list[np.ndarray], parts: set[str], side: str, reaches: bool) -> np.ndarray:
    """float32 [V,S,S]: 1 where a view shows one of the parts, on a side of the subject or on both."""
    names = tuple(name for part in sorted(parts) for name in regions_of(part))
    across = template_vertices(head)[head.faces.numpy()].mean(1)[:, 0]
    found = []
    for faces in seen:
        mask = region_mask(head, faces, names)
        if side in OTHER_SIDE:
            mask &= (across[np.maximum(faces, 0)] > 0) == (side == "left")
        if reaches:
            reach = 2 * max(1, round(REACH * len(mask))) + 1
            mask = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        found.append(mask.astype(np.float32))
    return np.stack(found)
