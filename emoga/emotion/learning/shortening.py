"""How much of a motion registration finds, measured where the motion is known, and offsets longer by what it takes off.

Noise in what is compared, priors and weights that distrust what moves far all shorten what is found. By how much shows
when captured pictures are moved as was found, are given the errors that the edits have beside that motion, and are
registered as if they were the edits: what is missing then was missing before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.emotion.learning.registration import Registration
from emoga.emotion.learning.task import Registered, Task
from emoga.images import from_uint8, to_uint8
from emoga.progress import Reporter, silent
from emoga.triangles import rasterize_faces

# Share of a motion below which a measurement is not believed: no offset grows by more than a quarter.
LEAST = 0.8


def lengthened(registration: Registration, rest: np.ndarray, report: Reporter = silent) -> list[Registered]:
    """What a registration that has run found, offsets as much longer as it is measured to find them too short.

    rest [V,3]: the person's mesh at rest. Directions, strengths of pictures and bounds stay; what was not moved does.
    """
    if not any(one.offset.any() for one in registration.found):
        return list(registration.found)
    tasks = [known_motion(registration, e) for e in range(len(registration.tasks))]
    again = Registration.begin(tasks, rest, registration.unwinding)
    again.run(report=report)
    return [
        replace(known, offset=made_whole(task, known.offset, share_found(task, known.offset, found.offset)))
        for task, known, found in zip(registration.tasks, registration.found, again.found, strict=True)
    ]


def made_whole(task: Task, offset: torch.Tensor, share: float) -> torch.Tensor:
    """An offset [E] of which a share was found, made whole within a task's bounds."""
    low, high = (torch.from_numpy(end).float() for end in task.bounds)
    whole = offset / float(np.clip(share, LEAST, 1))
    return torch.minimum(torch.maximum(whole, low), high)


def share_found(task: Task, known: torch.Tensor, found: torch.Tensor) -> float:
    """Of the motion of the skin under a known offset, how much there is of it under another; 1 of no motion."""
    still, first, second = (
        task.surface.on_mesh(task.frames.vertices(offset)) for offset in (0 * known, known, found)
    )
    size = float(((first - still) ** 2).sum())
    return float(((first - still) * (second - still)).sum()) / size if size > 0 else 1.0


def known_motion(registration: Registration, e: int) -> Task:
    """One emotion's task with a motion that is known: captured pictures moved as was found, with errors of the edits.

    Errors, and weights that were given for them, are those of another frame of the view: a picture's own would bring
    its true motion back.
    """
    task, found, before = registration.tasks[e], registration.found[e], registration.before[e]
    after = task.frames.vertices(found.offset)
    moved = np.empty((*task.edits.masks.shape, 3), np.float32)
    for p, (view, row) in enumerate(task.pairs):
        posed = before[row] + np.float32(found.strengths[p]) * (after[row] - before[row])
        captured = from_uint8(task.edits.captured[p])
        moved[p] = carried(captured, before[row], posed, task.surface.faces, task.cameras[view])
    others = next_frames([view for view, _ in task.pairs])
    edited = [
        to_uint8(moved[p] + from_uint8(task.edits.edited[other]) - moved[other])
        for p, other in enumerate(others)
    ]
    given = None if task.given is None else task.given[others]
    return replace(task, edits=replace(task.edits, edited=np.stack(edited)), given=given)


def carried(
    picture: np.ndarray, before: np.ndarray, after: np.ndarray, faces: np.ndarray, camera: Camera
) -> np.ndarray:
    """A picture [H,W,3] of a mesh [V,3] as its skin looks when the mesh has moved; beside the mesh it stays."""
    local = after @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    size = camera.width, camera.height
    face, bary, _ = rasterize_faces(local.astype(np.float64), faces, camera.K, *size)
    corners = before[faces[np.maximum(face, 0)]].astype(np.float64)
    source = camera.project((bary[..., None] * corners).sum(-2).reshape(-1, 3))[0].reshape(*face.shape, 2)
    own = np.dstack(np.meshgrid(np.arange(size[0]), np.arange(size[1])))
    at = np.where(face[..., None] >= 0, source - 0.5, own).astype(np.float32)
    looked_up = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # Soft at the outline, where hair that no mesh carries begins.
    inside = cv2.erode((face >= 0).astype(np.float32), np.ones((3, 3), np.uint8))
    weight = cv2.GaussianBlur(inside, (0, 0), 1.0)[..., None]
    return picture + weight * (looked_up - picture)


def next_frames(views: Sequence[int]) -> np.ndarray:
    """For each of P pictures the next of its view, [P]; the last is followed by the first."""
    out = np.arange(len(views))
    for view in set(views):
        own = np.flatnonzero(np.asarray(views) == view)
        out[own] = np.roll(own, -1)
    return out
