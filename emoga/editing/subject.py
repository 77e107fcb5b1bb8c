"""An avatar laid out for editing: where its Gaussians lie on the template head, how they look, how it is lit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.avatar import Avatar
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.rig import avatar_head, bind_pose, binding_rows, rig_of, to_world
from emoga.editing.history import DRAWN, worn_things
from emoga.editing.light import LUMA, SH_C0, to_linear
from emoga.errors import InputError
from emoga.geometry import vertex_normals
from emoga.head import Head

# Gaussians that hide what is behind them.
OPAQUE = 0.3
LANDMARKS = "mediapipe478"
SKIN = ("cheeks", "nose", "forehead")


@dataclass(frozen=True, eq=False)
class Subject:
    """One avatar and its head, everything in NumPy.

    bind: frames of triangles and bones at the bind pose; vertices [V,3] there, metres; seed: of all chance.
    """

    avatar: Avatar
    head: Head
    bind: TriangleFrames
    vertices: np.ndarray
    seed: int = 0

    def rng(self, stream: int) -> np.random.Generator:
        """A source of chance of its own for each use, the same for the same seed."""
        return np.random.default_rng([stream, self.seed])

    @cached_property
    def points(self) -> np.ndarray:
        """[N,3] metres: where the Gaussians would lie on the template head, whose places everybody shares."""
        return to_world(
            self.avatar.gaussians.detach(), _template_frames(self.head, self.avatar.rig)
        ).means.numpy()

    @cached_property
    def means(self) -> np.ndarray:
        """[N,3] metres at the bind pose."""
        return to_world(self.avatar.gaussians.detach(), self.bind).means.numpy()

    @cached_property
    def opacities(self) -> np.ndarray:
        """[N] in 0..1."""
        return self.avatar.gaussians.logit_opacities.detach().sigmoid().numpy()

    @cached_property
    def base(self) -> np.ndarray:
        """[N,3] linear light: the colour without its dependence on the view."""
        return to_linear(0.5 + SH_C0 * self.avatar.gaussians.sh[:, 0].detach().numpy())

    @cached_property
    def luminance(self) -> np.ndarray:
        """[N] of the base colours."""
        return self.base @ LUMA

    @cached_property
    def rows(self) -> np.ndarray:
        """[N] rows of the Gaussians among the bind frames."""
        return binding_rows(self.avatar.gaussians.binding, len(self.head.faces)).numpy()

    @cached_property
    def normals(self) -> np.ndarray:
        """[N,3]: the surface's outward normal at the bind pose; up for what rides on a bone."""
        return self._face_normals[np.minimum(self.rows, len(self.head.faces))]

    @cached_property
    def _face_normals(self) -> np.ndarray:
        corners = self.vertex_normals[self.head.faces.numpy()].mean(1)
        corners /= np.linalg.norm(corners, axis=1, keepdims=True) + 1e-12
        return np.concatenate([corners, [[0.0, 1.0, 0.0]]])

    @cached_property
    def vertex_normals(self) -> np.ndarray:
        """[V,3] at the bind pose."""
        return vertex_normals(torch.from_numpy(self.vertices), self.head.faces).numpy()

    @cached_property
    def tree(self) -> cKDTree:
        """The opaque Gaussians by their places at the bind pose."""
        return cKDTree(self.means[self.opaque])

    @cached_property
    def opaque(self) -> np.ndarray:
        """Indices of the Gaussians that hide what is behind them, hair and skin alike."""
        inner = self.labelled("mouth_interior", "teeth", "tongue", "eyeballs", "irises", "lashes")
        return np.flatnonzero((self.opacities > OPAQUE) & ~inner & ~self.things)

    @cached_property
    def things(self) -> np.ndarray:
        """[N] bool: what earlier edits put on the head; it is neither skin nor hair."""
        found = np.zeros(len(self.points), bool)
        for thing in worn_things(self.avatar):
            if thing.target not in DRAWN:
                found[thing.begin : thing.begin + thing.count] = True
        return found

    def labelled(self, *names: str) -> np.ndarray:
        """[N] bool: Gaussians of some of the head's regions."""
        numbers = [self.head.region_names.index(name) for name in names if name in self.head.region_names]
        return np.isin(self.avatar.gaussians.labels.numpy(), numbers) & ~self.things

    @cached_property
    def skin(self) -> np.ndarray:
        """[3] linear light: the face's usual colour."""
        return self.typical(self.labelled(*SKIN))

    def typical(self, weight: np.ndarray) -> np.ndarray:
        """[3] linear light: the median colour where weight [N] is large; the face's where nothing is."""
        chosen = (weight > 0.5 * weight.max(initial=0)) & (weight > 0) & (self.opacities > OPAQUE)
        return np.median(self.base[chosen], 0) if chosen.any() else self.skin

    @cached_property
    def light(self) -> np.ndarray:
        """[4]: brightness of the face as ambient + direction · normal, in shares of the mean."""
        chosen = self.labelled(*SKIN, "face", "jaw", "ears", "neck") & (self.opacities > OPAQUE)
        normals, values = self.normals[chosen], self.luminance[chosen]
        design = np.concatenate([np.ones((len(normals), 1)), normals], 1)
        # Hair and shadows would tilt a plain fit.
        low, high = np.quantile(values, [0.15, 0.98]) if chosen.any() else (0, 1)
        kept = (values >= low) & (values <= high)
        if kept.sum() < 50:
            return np.array([1.0, 0.0, 0.2, 0.2])
        gram = design[kept].T @ design[kept] + 0.02 * kept.sum() * np.diag([0, 1, 1, 1])
        fitted = np.linalg.solve(gram, design[kept].T @ values[kept])
        return fitted / max(float(np.mean(design[kept] @ fitted)), 1e-3)

    def shading(self, normals: np.ndarray) -> np.ndarray:
        """Brightness [M] of surfaces with normals [M,3] under the avatar's light, 1 where the face is seen best."""
        return np.clip(self.light[0] + normals @ self.light[1:], 0.25, 2.0)


def make_subject(avatar: Avatar, seed: int = 0) -> Subject:
    """Lay an avatar out. Raises InputError when its head model is not at hand or knows no landmarks."""
    head = avatar_head(avatar)
    if LANDMARKS not in head.landmarks or not head.semantic:
        raise InputError(
            f"the {head.name} head has no {LANDMARKS} landmarks or no named directions of shape, by which "
            "edits find their way; edit an avatar of the open head"
        )
    bind = bind_pose(avatar, head).map(torch.Tensor.float)
    vertices = head.bind_vertices(avatar.shape.detach(), avatar.static_offset).double().numpy()
    return Subject(avatar, head, bind, vertices, seed)


def template_vertices(head: Head) -> np.ndarray:
    """[V,3] metres: the template head in the bind pose; not to be written to."""
    if head.checksum not in _templates:
        made = head.bind_vertices(torch.zeros(len(head.shape_names))).double().numpy()
        made.setflags(write=False)
        _templates[head.checksum] = made
    return _templates[head.checksum]


_templates: dict[str, np.ndarray] = {}


def _template_frames(head: Head, rig: str) -> TriangleFrames:
    identity = head.identify(torch.zeros(len(head.shape_names)))
    expr = head.bind_expr()[None]
    return rig_of(head, rig).frames(identity.pose(expr)[0], identity.bones(expr)[0])
