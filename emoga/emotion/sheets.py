"""A contact sheet of every emotion: captured, edited, learnt, and the result turned to both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.camera import Camera
from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.choosing import angles
from emoga.emotion.comparing import mixture_of
from emoga.emotion.edits import EmotionEdits
from emoga.geometry import axis_angle_to_matrix
from emoga.images import contact_sheet
from emoga.optimize.backdrop import backdrops

CELL = 256
SIDES = (-40.0, 0.0, 40.0)  # degrees that the result is turned by, beside the pictures' own views


def emotion_sheet(result: Avatar, before: Actor, track: Track, edits: Sequence[EmotionEdits]) -> np.ndarray:
    """uint8 sheet, a row per emotion: captured, edit and result from the front, then aside, then the result turned."""
    actor = Actor(result, track)
    turned = angles(actor.head, actor.params, track.cameras)
    colors = backdrops(track)[0]
    pictures, labels = [], []
    for edit in edits:
        acted = actor.acted(result.emotions[edit.name].offset.detach().cpu())
        mixture = mixture_of(result, edit.name)
        front, aside = _shown(edit, turned)
        for index in (front, aside):
            view, frame = edit.pairs[index]
            drawn = actor.renderer.picture(acted, frame, track.cameras[view], colors[view], mixture)
            pictures += [edit.captured[index], edit.edited[index], drawn]
            labels += [f"{edit.name}: camera {view}, frame {frame}", "edit", "result"]
        view, frame = edit.pairs[front]
        for degrees in SIDES:
            camera = turned_about(track.cameras[view], actor.params.translation[frame].numpy(), degrees)
            pictures.append(actor.renderer.picture(acted, frame, camera, colors[view], mixture))
            labels.append(f"result at {degrees:+.0f} degrees")
    return contact_sheet(pictures, labels, columns=6 + len(SIDES), cell=CELL)


def _shown(edit: EmotionEdits, turned: np.ndarray) -> tuple[int, int]:
    """Of the most frontal third and of the third seen most from the side, the picture that was changed most."""
    ranked = sorted(range(len(edit)), key=lambda index: turned[edit.pairs[index]])
    third = -(-len(ranked) // 3)
    change = np.abs(edit.edited.astype(np.int16) - edit.captured).mean((1, 2, 3))
    return max(ranked[:third], key=change.__getitem__), max(ranked[-third:], key=change.__getitem__)


def turned_about(camera: Camera, place: np.ndarray, degrees: float) -> Camera:
    """The camera swung about the vertical through a place [3] of the world."""
    turn = axis_angle_to_matrix(torch.tensor([0.0, np.radians(degrees), 0.0], dtype=torch.float64)).numpy()
    swing = np.eye(4)
    swing[:3, :3] = turn
    swing[:3, 3] = place - turn @ place
    return replace(camera, w2c=camera.w2c @ swing)
