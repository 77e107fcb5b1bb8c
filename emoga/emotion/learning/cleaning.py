"""Edits made fit to train on: without what an editor did besides the emotion, and with weights of belief."""

from __future__ import annotations

import cv2
import numpy as np

from emoga.emotion.learning.lesson import Lesson
from emoga.images import from_uint8

SPREAD = 1.5  # pixels at 256 of height, by which what is known at points spreads over the picture
BESIDE = 0.05  # weight of what lies beside the skin: hair, eyes, teeth, background


def cleaned(lesson: Lesson, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [P,H,W,3] to be matched and float16 weights [P,H,W], for colours that change by wanted [N,3].

    The editor's face is put back into the person's shape, and what each edit changed on the skin is brought to what is
    wanted at its strength; its own edges stay.
    """
    lifted, consensus = lesson.lifted, lesson.consensus
    strengths = lifted.strengths[:, None, None].astype(np.float32)
    surplus = (lifted.edited - lifted.captured - strengths * wanted) * lesson.shades
    shape = lesson.edits.masks.shape[1:]
    pictures = np.empty((*lesson.edits.masks.shape, 3), np.uint8)
    weights = np.empty(lesson.edits.masks.shape, np.float16)
    for p in range(len(pictures)):
        share = lifted.shares[p]
        values = np.concatenate([surplus[p], consensus.weights[p, :, None], lesson.shifts[p]], 1)
        spread, cover = _spread(values, lesson.points[p], share, shape)
        picture = _shifted(lesson.edits.edited[p], spread[..., 4:] * cover[..., None])
        picture = picture - spread[..., :3] * cover[..., None]
        pictures[p] = np.clip(picture * 255 + 0.5, 0, 255)
        beside = BESIDE * consensus.trust[p] * (1 - cover)
        weights[p] = spread[..., 3] * cover + beside
    return pictures, weights


def _shifted(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A uint8 picture [H,W,3] read `shift` [H,W,2] pixels away, 0..1."""
    y, x = np.mgrid[: shift.shape[0], : shift.shape[1]].astype(np.float32)
    at = (x + shift[..., 0]).astype(np.float32), (y + shift[..., 1]).astype(np.float32)
    return from_uint8(cv2.remap(picture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _spread(
    values: np.ndarray, pixels: np.ndarray, share: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Values [N,D] at pixels [N,2] as a picture [H,W,D], and how far it is covered [H,W] in 0..1."""
    height, width = shape
    x, y = np.floor(pixels).astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height) & (share > 0)
    flat = (y * width + x)[inside]
    layers = [np.bincount(flat, share[inside], height * width)]
    layers += [np.bincount(flat, share[inside] * column[inside], height * width) for column in values.T]
    stack = np.stack(layers, -1).reshape(height, width, -1).astype(np.float32)
    radius = SPREAD * height / 256
    stack = np.dstack([cv2.GaussianBlur(stack[..., i], (0, 0), radius) for i in range(stack.shape[-1])])
    cover = np.clip(stack[..., 0] / 0.02, 0, 1)
    return stack[..., 1:] / np.maximum(stack[..., :1], 1e-4), cover
