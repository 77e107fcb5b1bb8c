"""What the first pictures say about the first Gaussians: their colours, which are hair, where shoulders begin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar import Gaussians
from emoga.avatar.posing import MOTION, pose_frames
from emoga.avatar.rig import Rig, to_world
from emoga.capture import Track
from emoga.fitting.alike import LikelyColors, LitPicture
from emoga.fitting.visibility import GRAZING, shown_squarely
from emoga.head import Head, Identity
from emoga.optimize.coloring import color_as_seen
from emoga.optimize.first_gaussians import FLATNESS
from emoga.optimize.scoring import evenly
from emoga.optimize.training_pictures import TrainingPictures

SIGHTINGS = 24  # pictures looked at


@torch.no_grad()
def how_squarely(track: Track, head: Head, pictures: TrainingPictures) -> np.ndarray | None:
    """How squarely a single camera shows each triangle [F]; several cameras need no such care."""
    if len(track.cameras) > 1:
        return None
    chosen = evenly(pictures.pairs, SIGHTINGS)
    vertices = head.vertices(track.params.select([frame for _, frame in chosen]))
    return shown_squarely(head, [(posed, track.cameras[0]) for posed in vertices])


@dataclass
class FirstLook:
    """What the first pictures say about colours and shoulders."""

    track: Track
    head: Head
    identity: Identity
    rig: Rig
    pictures: TrainingPictures
    frames: list[int]
    shown: np.ndarray | None

    @torch.no_grad()
    def settle(self, gaussians: Gaussians) -> None:
        """Put hair back on the skin that starts outside an outline or beyond every picture.

        What no picture shows gets no gradient, so it would hover there for good. For the same reason hair
        that a single camera never shows lies flat: any thickness would stand out once the head turns.
        """
        kept, seen = (torch.full((len(gaussians),), value) for value in (True, False))
        for view, frame in evenly(self.pictures.pairs, SIGHTINGS):
            example = self.pictures.example(view, frame, half=True)
            _, frames = pose_frames(self.identity, self.rig, self.track.params, frame)
            pixels, _ = example.camera.project(to_world(gaussians, frames).means.double().numpy())
            column, row = torch.from_numpy(np.floor(pixels)).long().unbind(-1)
            height, width = example.alpha.shape
            within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            covered = example.alpha[row.clamp(0, height - 1), column.clamp(0, width - 1)] > 0.1
            kept &= covered | ~within
            seen |= within
        hair = gaussians.labels == self.head.region_names.index("scalp")
        normal = self.rig.normal
        if self.shown is not None:
            hidden = hair & torch.from_numpy(self.shown < GRAZING)[gaussians.binding]
            kept &= ~hidden
            gaussians.log_scales[hidden, normal] += math.log(FLATNESS)
        gaussians.means[hair & ~(kept & seen), normal] = 0

    def color(self, gaussians: Gaussians) -> None:
        """Give Gaussians the colours of some training pictures."""
        pairs = evenly(self.pictures.pairs, SIGHTINGS)
        color_as_seen(gaussians, self.head, self.identity, self.rig, self.track.params, self.pictures, pairs)

    @torch.no_grad()
    def likely_colors(self) -> LikelyColors:
        """What the only camera never shows squarely likely looks like, from what it does."""
        return LikelyColors.of(self.head, self.shown, self._lit_pictures())

    def _lit_pictures(self) -> Iterator[LitPicture]:
        for view, frame in evenly(self.pictures.pairs, SIGHTINGS):
            vertices, frames = pose_frames(self.identity, self.rig, self.track.params, frame)
            example = self.pictures.example(view, frame, head_only=True)
            yield LitPicture(
                example, vertices, None if frames.shade is None else frames.shade[: len(self.head.faces)]
            )

    @torch.no_grad()
    def below_collar(self) -> tuple[np.ndarray, np.ndarray]:
        """A point [3] in the world about where clothing begins, and the root bone's places [T,3,4]."""
        params = self.track.params
        vertices = self.head.vertices(params.select(self.frames[:1]))[0]
        bones = self.identity.bones(*(getattr(params, name) for name in MOTION))
        own = self.head.regions["shoulders"]
        # A head that ends at the neck has none: clothing begins below its border.
        shoulders = vertices[own if own.any() else self.head.regions["boundary"]].mean(0)
        return shoulders.double().numpy(), bones[:, 0].double().numpy()
