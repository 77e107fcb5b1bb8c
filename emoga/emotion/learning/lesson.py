"""One emotion's edits and all that is worked out about them: motion, agreement, colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.camera import Camera
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning.consensus import Consensus, Lifted, agree, lift_all
from emoga.emotion.learning.lifting import look, read
from emoga.emotion.learning.performing import Frames
from emoga.emotion.learning.settings import Learning
from emoga.emotion.learning.surface import Surface, posed_normals
from emoga.emotion.learning.task import Priors, Registered, Task
from emoga.emotion.learning.texture import Skin
from emoga.emotion.learning.weighting import fixed_weights
from emoga.guidance.warp import flushed
from emoga.optimize.relighting import relit, skin_light


@dataclass(frozen=True, eq=False)
class Body:
    """The person all lessons share: the frames that take part, cameras, and skin, coarse for motion, fine for colours.

    motion_mm [E]: how far units move the face; bounds [E] each of an offset. blood [N]: how much points of `skin`
    show of blood that comes or leaves, 0..1.
    """

    frames: Frames
    cameras: Sequence[Camera]
    skin: Surface
    coarse: Surface
    motion_mm: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    blood: np.ndarray


@dataclass(eq=False)
class Lesson:
    """One emotion: its edits, their places (view, row among the frames), and what is known so far.

    points [P,N,2]: pixels where each picture would show the skin's points were its face the person's; shifts [P,N,2]
    from there to where it does; shades [P,N,3] what the avatar's light makes of colours there.
    """

    body: Body
    edits: EmotionEdits
    pairs: list[tuple[int, int]]
    given: np.ndarray | None
    registered: Registered
    lifted: Lifted | None = None
    consensus: Consensus | None = None
    skin: Skin | None = None
    points: np.ndarray | None = None
    shifts: np.ndarray | None = None
    shades: np.ndarray | None = None

    @staticmethod
    def begin(
        body: Body, edits: EmotionEdits, frames: list[int], learning: Learning, weights: np.ndarray | None
    ) -> Lesson:
        """Nothing is known yet and the offset is zero."""
        pairs = [(view, frames.index(frame)) for view, frame in edits.pairs]
        start = Registered.nothing(len(body.motion_mm), len(pairs))
        return Lesson(body, edits, pairs, fixed_weights(learning, edits, weights), start)

    def task(self, learning: Learning) -> Task:
        """What there is to be registered."""
        body = self.body
        priors = Priors() if learning.motion_prior else None
        return Task(
            body.coarse, body.frames, body.cameras, self.edits, self.pairs, body.motion_mm, body.bounds, priors,
            self.given, learning.strengths, self.edits.meant if learning.named else None,
        )  # fmt: skip

    def find_colors(self, learning: Learning, offset: torch.Tensor, strange: np.ndarray) -> None:
        """What the edits agree on, read through the mesh under an offset [E], or one for each frame, [T,E].

        strange [V,3]: metres at rest by which the editor's face differs from the person's.
        """
        body = self.body
        before, after = (body.frames.vertices(each) for each in (torch.zeros_like(offset), offset))
        self._lift(before, after, body.frames.turned(strange, offset))
        given = None
        if self.given is not None:
            given = np.stack([read(one, at) for one, at in zip(self.given, self.points, strict=True)])
        self.consensus = agree(self.lifted, self.registered.trust, drift=learning.drift, given=given)
        normals = [np.stack([posed_normals(body.skin, one) for one in posed]) for posed in (before, after)]
        moved = np.linalg.norm(body.skin.on_mesh(after) - body.skin.on_mesh(before), axis=-1).mean(0)
        expected = np.zeros_like(self.consensus.base)
        # An avatar that keeps its light has what it does taken out of all colours, and added in play.
        if body.frames.puppet.rig.shading is None:
            light = skin_light(self.consensus.base, normals[0], np.minimum(self.consensus.evidence, 4))
            expected = relit(self.consensus.base, light, *normals)
        if self.edits.flush and learning.named:
            expected += flushed(self.consensus.base, self.edits.flush * body.blood)
        names = body.frames.puppet.head.region_names
        steady = body.skin.region != (names.index("lips") if "lips" in names else -1)
        self.skin = Skin(self.consensus, 1e3 * moved, expected, steady)

    def _lift(self, before: np.ndarray, after: np.ndarray, strange: np.ndarray) -> None:
        body, edits, strengths = self.body, self.edits, self.registered.strengths
        height, width = edits.masks.shape[1:]
        captured, edited, places, shares, points, shifts, shades = [], [], [], [], [], [], []
        lit, turned = (body.frames.shades(body.skin, posed) for posed in (before, after))
        for p, (view, row) in enumerate(self.pairs):
            played = before[row] + np.float32(strengths[p]) * (after[row] - before[row])
            meshes = before[row], played + strange[row], played
            own, acted, plain = (look(body.skin, posed, body.cameras[view]) for posed in meshes)
            shades.append(lit[row] + np.float32(strengths[p]) * (turned[row] - lit[row]))
            captured.append(read(edits.captured[p], own.pixels) / lit[row])
            edited.append(read(edits.edited[p], acted.pixels) / shades[p])
            places.append(own.pixels / np.float32([width, height]) - 0.5)
            shares.append(own.share * acted.share * (read(edits.masks[p], own.pixels) > 0.02))
            points.append(plain.pixels)
            shifts.append(acted.pixels - plain.pixels)
        self.lifted, self.points = lift_all(captured, edited, places, shares, strengths), np.stack(points)
        self.shifts, self.shades = np.stack(shifts), np.stack(shades)
