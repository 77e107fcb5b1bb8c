"""The avatar in the frames that were edited, with and without an emotion, put together as playback does it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.posing import MOTION, Puppet, make_puppet
from emoga.emotion.learning.surface import Surface
from emoga.head import HeadParams
from emoga.motion.expressing import Performance, express, let_through, own_performance
from emoga.motion.lips import PARTING_UNITS

STEP = 0.05  # of jawOpen, to see how it moves the mesh


@dataclass(frozen=True, eq=False)
class Frames:
    """T frames of an avatar that take part: its puppet, what it performs in them and its parameters there."""

    puppet: Puppet
    performance: Performance
    params: HeadParams

    @staticmethod
    def of(avatar: Avatar, params: HeadParams, frames: list[int], fps: float) -> Frames:
        """Some frames of a motion, which is listened to as a whole."""
        puppet = make_puppet(avatar)
        whole = own_performance(puppet.identity, avatar.neutral, params, fps)
        return Frames(puppet, whole.select(frames), params.select(frames))

    def __len__(self) -> int:
        return len(self.params.expr)

    def acted(self, frame: int, offset: torch.Tensor, strength: float) -> HeadParams:
        """Parameters of one frame under an offset [E] played at some strength; differentiable."""
        part = self.performance.select([frame])
        expr = part.expr + strength * (express(part, offset) - part.expr)
        return replace(self.params.select([frame]), expr=expr)

    @torch.no_grad()
    def vertices(self, offset: torch.Tensor) -> np.ndarray:
        """Posed meshes [T,V,3] float32 of all frames under an offset [E], or one for each, [T,E]."""
        expr = express(self.performance, offset)
        return self.puppet.identity.pose(expr, *self._motion()).numpy()

    @torch.no_grad()
    def moves(self, surface: Surface, offset: torch.Tensor, axes: np.ndarray) -> np.ndarray:
        """How each of E units moves the points of a surface about an offset [E], metres at one, [T,N,3,E] float32.

        Along the axes of rest, which lie along `axes` [T,N,3,3] (columns) there: skin carries its units with it. Lids
        that slide over eyeballs are left out: solvers correct themselves. What parts lips or teeth moves less where
        they are kept together.
        """
        identity, head = self.puppet.identity, self.puppet.head
        basis = surface.on_mesh(identity.expr_basis.numpy()).astype(np.float32).transpose(1, 2, 0)
        moves = np.repeat(basis[None], len(self), 0)
        if "jawOpen" in head.expr_names:
            jaw = head.unit("jawOpen")
            expr = express(self.performance, offset)
            opened = expr.clone()
            opened[:, jaw] += STEP
            both = [identity.pose(one, *self._motion()).numpy() for one in (expr, opened)]
            swing = surface.on_mesh((both[1] - both[0]) / STEP)
            of_lips, of_teeth = (one.numpy()[:, None, None] for one in let_through(self.performance, offset))
            moves[..., jaw] = of_teeth * np.linalg.solve(axes, swing[..., None])[..., 0]
            moves[..., [head.unit(name) for name in PARTING_UNITS]] *= of_lips[..., None]
        return moves

    @torch.no_grad()
    def turns(self, offset: torch.Tensor) -> np.ndarray:
        """How skin is turned from rest under an offset [E] or [T,E], matrices [T,V,3,3] float32 of every vertex."""
        bones = self.puppet.identity.bones(express(self.performance, offset), *self._motion())[
            ..., :3
        ].numpy()
        return np.einsum("vb,tbij->tvij", self.puppet.head.skin_weights.numpy(), bones).astype(np.float32)

    def turned(self, shift: np.ndarray, offset: torch.Tensor) -> np.ndarray:
        """A displacement [V,3] at rest as it lies on the posed meshes, [T,V,3] float32."""
        return carried(self.turns(offset), shift)

    @torch.no_grad()
    def shades(self, surface: Surface, vertices: np.ndarray) -> np.ndarray:
        """Factors [T,N,3] float32 by which the avatar's own light changes colours on posed meshes [T,V,3]."""
        if self.puppet.rig.shading is None:
            return np.ones((len(vertices), len(surface), 3), np.float32)
        return self.puppet.rig.frames(torch.from_numpy(vertices)).shade.numpy()[:, surface.face]

    def _motion(self) -> list[torch.Tensor]:
        return [getattr(self.params, name) for name in MOTION[1:]]


def carried(turns: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A displacement [V,3] at rest as skin carries it that is turned by turns [T,V,3,3], [T,V,3] float32."""
    return np.einsum("tvij,vj->tvi", turns, shift).astype(np.float32)


def axes_at(surface: Surface, turns: np.ndarray) -> np.ndarray:
    """The axes of rest (columns) at the points of a surface that is turned by turns [T,V,3,3], [T,N,3,3]."""
    return surface.on_mesh(turns.reshape(*turns.shape[:2], 9)).reshape(len(turns), -1, 3, 3)
