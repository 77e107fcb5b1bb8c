"""Head: a template with shape and expression bases, joints and lids; Identity: one person ready to be posed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head.embedding import LandmarkEmbedding
from emoga.head.frames import EdgeFrames, edge_frames, local_deformation
from emoga.head.gaze import UNITS, gaze_matrix, lid_weights, weights_from_gaze
from emoga.head.lids import Lids, close_lids, lashes_like_lids, lid_limits, lids_on_eyeballs, slide_lids
from emoga.head.params import HeadParams
from emoga.head.root import Root

BIND_JAW_OPEN = 0.04
COMPONENT_LIMITS = (-4.0, 4.0)  # standard deviations
BIND_JAW_TURN = 0.0145  # radians, the same where the jaw is a joint and no unit


@lru_cache(maxsize=256)
def _columns(indices: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Indices on a device, kept: a list would be copied there anew every time, and the GPU waited for."""
    return torch.tensor(indices, device=device)


@dataclass(frozen=True)
class Head:
    """A FLAME-like head model; arrays are torch tensors, metres, axes as the design says.

    template [V,3]; faces [F,3]; shape_basis [S,V,3] metres per standard deviation; semantic: named
    directions [S]; expr_basis [E,V,3] (for eyeLook units: the lid part only; for jawOpen: what is left
    beside the jaw's turn); joint_regressor [4,V] and joint_offset [4,3]; skin_weights [V,5] over BONES;
    jaw_turn [3] axis-angle at jawOpen 1; gaze_angles [4] radians of eyeLook up, down, in, out at 1;
    uv [U,2]; uv_faces [F,3]; regions: name -> bool [V]; face_regions [F] index into region_names.

    A head with units in 0..1 has jawOpen among them. One without (FLAME) has components in standard deviations
    with two signs, added to anyone alike; its jaw is a free joint, it has no lids and gaze of its own, and
    pose_basis [36,V,3] corrects its rest for how far the nine entries of each of JOINTS' rotations, by rows,
    are from the identity's. root: where the model's own files have origin and turn.
    """

    name: str
    version: str
    checksum: str
    template: torch.Tensor
    faces: torch.Tensor
    shape_basis: torch.Tensor
    shape_names: tuple[str, ...]
    semantic: dict[str, torch.Tensor]
    expr_basis: torch.Tensor
    expr_names: tuple[str, ...]
    joint_regressor: torch.Tensor
    joint_offset: torch.Tensor
    skin_weights: torch.Tensor
    jaw_turn: torch.Tensor
    gaze_angles: torch.Tensor
    lids: Lids
    uv: torch.Tensor
    uv_faces: torch.Tensor
    regions: dict[str, torch.Tensor]
    face_regions: torch.Tensor
    region_names: tuple[str, ...]
    landmarks: dict[str, LandmarkEmbedding]
    presets: dict[str, dict[str, float]]
    pose_basis: torch.Tensor | None = None
    root: Root | None = None
    frames: EdgeFrames | None = None
    _copies: dict = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.frames is None and self.has_units:
            object.__setattr__(self, "frames", edge_frames(self.template, self.faces))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Head:
        """This head on another device or in another float dtype; copies are kept."""
        device = torch.device(device) if device is not None else self.template.device
        dtype = dtype or self.template.dtype
        if (device, dtype) == (self.template.device, self.template.dtype):
            return self
        if (device, dtype) not in self._copies:
            self._copies[device, dtype] = self._converted(device, dtype)
        return self._copies[device, dtype]

    def _converted(self, device: torch.device, dtype: torch.dtype) -> Head:
        def change(value):
            if isinstance(value, torch.Tensor):
                return value.to(device, dtype if value.is_floating_point() else value.dtype)
            return value

        values = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "_copies"}
        lids = Lids(*(change(getattr(self.lids, f.name)) for f in fields(Lids)))
        semantic = {name: change(value) for name, value in self.semantic.items()}
        regions = {name: value.to(device) for name, value in self.regions.items()}
        frames = None if self.frames is None else self.frames.to(device, dtype)
        return Head(**{**values, "lids": lids, "semantic": semantic, "regions": regions, "frames": frames})

    @property
    def has_units(self) -> bool:
        """Whether expressions are ARKit-named units in 0..1, not components in standard deviations."""
        return "jawOpen" in self.expr_names

    @property
    def expr_limits(self) -> tuple[float, float]:
        """Within what each entry of an expression stays."""
        return (0.0, 1.0) if self.has_units else COMPONENT_LIMITS

    @property
    def topology(self) -> str:
        """Digest of the triangles: files that name triangles by number hold for heads of the same topology."""
        return hashlib.sha256(self.faces.cpu().numpy().astype("<i8").tobytes()).hexdigest()

    @property
    def joints(self) -> torch.Tensor:
        """Joint positions [4,3] of the template, in the order of JOINTS."""
        return self.joint_regressor @ self.template + self.joint_offset

    def faces_of(self, regions: Collection[str]) -> torch.Tensor:
        """bool [F]: triangles of the regions named, as far as this head has them."""
        labels = [i for i, name in enumerate(self.region_names) if name in regions]
        return torch.isin(self.face_regions.long(), torch.tensor(labels).to(self.face_regions.long()))

    def unit(self, name: str) -> int:
        """Index of an expression unit."""
        if name not in self.expr_names:
            raise InputError(f"{self.name} head has no unit {name!r}; it has: {', '.join(self.expr_names)}")
        return self.expr_names.index(name)

    @property
    def gaze_units(self) -> list[int]:
        """Indices of the eight eyeLook units, if any; solvers leave them at 0 and use `eyes` instead."""
        return [self.unit(name) for name in UNITS] if self.has_units else []

    def units_to_gaze(self, expr: torch.Tensor) -> torch.Tensor:
        """Gaze [T,6] (axis-angle, left then right) that the eyeLook units of expr [T,E] stand for."""
        if not self.has_units:
            return expr.new_zeros(*expr.shape[:-1], 6)
        columns = _columns(tuple(self.gaze_units), expr.device)
        return expr.index_select(-1, columns) @ gaze_matrix(self.gaze_angles).to(expr)

    def gaze_to_units(self, eyes: torch.Tensor) -> torch.Tensor:
        """eyeLook weights [T,8] in the order of `gaze_units` that describe a gaze [T,6]."""
        weights = weights_from_gaze(eyes, self.gaze_angles.to(eyes))
        return weights if self.has_units else weights[:, :0]

    def emotion(self, name: str, intensity: float = 1.0) -> torch.Tensor:
        """Expression [E] of a preset, scaled; InputError names the known ones."""
        if name not in self.presets:
            raise InputError(f"unknown emotion {name!r}; known: {', '.join(self.presets)}")
        expr = self.template.new_zeros(len(self.expr_names))
        for unit, weight in self.presets[name].items():
            expr[self.unit(unit)] = weight * intensity
        return expr

    def identify(self, shape: torch.Tensor, static_offset: torch.Tensor | None = None) -> Identity:
        """The rest mesh of one person, from shape [S] and an optional offset [V,3], ready to pose."""
        head = self.to(shape.device, shape.dtype)
        if shape.shape != (len(head.shape_names),):
            raise InputError(
                f"shape of {tuple(shape.shape)} given, the {head.name} head has {len(head.shape_names)} components"
            )
        rest = head.template + torch.tensordot(shape, head.shape_basis, 1)
        if static_offset is not None:
            rest = rest + static_offset
        if not head.has_units:
            joints = head.joint_regressor @ rest + head.joint_offset
            return Identity(head, rest, head.expr_basis, joints, *lid_limits(head, rest, joints))
        rest = lids_on_eyeballs(head, rest)
        deformation = lashes_like_lids(head.lids, local_deformation(head.frames, rest))
        carried = torch.einsum("vij,evj->evi", deformation, head.expr_basis)
        joints = head.joint_regressor @ rest + head.joint_offset
        # In one piece: every pose multiplies all of it.
        carried = close_lids(head, rest, carried).contiguous()
        return Identity(head, rest, carried, joints, *lid_limits(head, rest, joints))

    def vertices(self, params: HeadParams) -> torch.Tensor:
        """Vertices [T,V,3] of all frames of `params`."""
        return self.identify(params.shape, params.static_offset).posed(params)

    def bind_expr(self) -> torch.Tensor:
        """Expression [E] of the bind pose: lids open, lips just apart."""
        expr = self.template.new_zeros(len(self.expr_names))
        if self.has_units:
            expr[self.unit("jawOpen")] = BIND_JAW_OPEN
        return expr

    def bind_jaw(self) -> torch.Tensor:
        """Turn of the jaw [3] in the bind pose, beside `bind_expr`."""
        jaw = self.template.new_zeros(3)
        if not self.has_units:
            jaw[0] = BIND_JAW_TURN
        return jaw

    def bind_vertices(self, shape: torch.Tensor, static_offset: torch.Tensor | None = None) -> torch.Tensor:
        """Vertices [V,3] of a person in the bind pose."""
        return self.identify(shape, static_offset).pose(
            self.bind_expr().to(shape)[None], jaw=self.bind_jaw()[None]
        )[0]

    def with_landmarks(self, landmarks: dict[str, LandmarkEmbedding]) -> Head:
        """This head with other landmark embeddings."""
        return replace(self, landmarks=landmarks, _copies={})

    def restricted(self, vertices: torch.Tensor, lids: Lids) -> Head:
        """What posing some of the vertices [P] needs, with the lids given, numbered alike."""
        correctives = None if self.pose_basis is None else self.pose_basis[:, vertices]
        return replace(
            self, skin_weights=self.skin_weights[vertices], lids=lids, pose_basis=correctives, _copies={}
        )


def pose_feature(neck: torch.Tensor, jaw: torch.Tensor, gaze: torch.Tensor) -> torch.Tensor:
    """What pose correctives are weighted with, [T,36]: rotations of JOINTS less the identity, by rows."""
    turns = torch.stack([neck, jaw, gaze[:, :3], gaze[:, 3:]], 1)
    eye = torch.eye(3, dtype=turns.dtype, device=turns.device)
    return (axis_angle_to_matrix(turns) - eye).flatten(1)


@dataclass(frozen=True)
class Identity:
    """One person: rest [V,3], expr_basis [E,V,3] carried to it, joints [4,3], eyeball radii [2].

    lid_floor [M]: how near to the eyeball's centre each sliding lid vertex may come.
    """

    head: Head
    rest: torch.Tensor
    expr_basis: torch.Tensor
    joints: torch.Tensor
    eye_radius: torch.Tensor
    lid_floor: torch.Tensor

    def pose(
        self,
        expr: torch.Tensor,
        rotation: torch.Tensor | None = None,
        neck: torch.Tensor | None = None,
        jaw: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
        translation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Vertices [T,V,3] of T frames: expr [T,E]; rotation, neck, jaw, translation [T,3]; eyes [T,6].

        Missing ones are zero; all go to the person's device and dtype. Differentiable. `eyes` adds to the gaze
        that eyeLook units in expr stand for; the lids follow the sum. jawOpen turns the jaw joint, `jaw` turns
        it further.
        """
        local = self.formed(expr, neck, jaw, eyes)
        return self.carried(local, self.bones(expr, rotation, neck, jaw, eyes, translation))

    def posed(self, params: HeadParams) -> torch.Tensor:
        """Vertices [T,V,3] of all frames of params, whose shape and offset this person has already."""
        return self.pose(
            params.expr, params.rotation, params.neck, params.jaw, params.eyes, params.translation
        )

    def formed(
        self,
        expr: torch.Tensor,
        neck: torch.Tensor | None = None,
        jaw: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Vertices [T,V,3] as expressions form them, before `bones` carry them; for the arguments of `pose`."""
        expr = expr.to(self.rest)
        gaze = self._gaze(expr, eyes)
        if self.head.has_units:
            local = self.rest + torch.tensordot(self._acting(expr, gaze), self.expr_basis, 1)
            local = slide_lids(self, local, self._blinks(expr))
        else:
            local = self.rest + torch.tensordot(expr, self.expr_basis, 1)
        if self.head.pose_basis is not None:
            zero = expr.new_zeros(expr.shape[0], 3)
            neck, jaw = (zero if turn is None else turn.to(self.rest) for turn in (neck, jaw))
            local = local + torch.tensordot(pose_feature(neck, jaw, gaze), self.head.pose_basis, 1)
        return local

    def carried(self, local: torch.Tensor, bones: torch.Tensor) -> torch.Tensor:
        """Linear blend skinning [T,V,3]: vertices [T,V,3] carried by transforms [T,B,3,4] of BONES."""
        # Coordinate by coordinate, one long row each: a product of its own for every vertex takes five times as long.
        blended = bones.permute(0, 3, 2, 1).flatten(1, 2) @ self.head.skin_weights.T
        x, y, z, shift = blended.unflatten(1, (4, 3)).unbind(1)
        rows = local.transpose(1, 2)
        moved = shift + x * rows[:, 0:1] + y * rows[:, 1:2] + z * rows[:, 2:3]
        return moved.transpose(1, 2).contiguous()

    def part(self, vertices: torch.Tensor) -> Identity:
        """The same person with the vertices [P] alone, which is quick to pose; none of lids and lashes.

        Raises ValueError when eyeballs push one of the vertices.
        """
        lids = self.head.lids
        if torch.isin(vertices, torch.cat([lids.sliding, lids.lashes])).any():
            raise ValueError("a part of a head cannot hold vertices of lids or lashes")
        fixed = replace(
            lids, sliding=lids.sliding[:0], sliding_eye=lids.sliding_eye[:0], lashes=lids.lashes[:0],
            lash_bind=lids.lash_bind[:0], lash_weights=lids.lash_weights[:0],
        )  # fmt: skip
        return Identity(
            self.head.restricted(vertices, fixed), self.rest[vertices], self.expr_basis[:, vertices],
            self.joints, self.eye_radius, self.lid_floor[:0],
        )  # fmt: skip

    def _blinks(self, expr: torch.Tensor) -> torch.Tensor:
        """How far the left and right lids are closed, [T,2] in 0..1."""
        lids = self.head.unit("eyeBlinkLeft"), self.head.unit("eyeBlinkRight")
        return expr.index_select(1, _columns(lids, expr.device)).clamp(0, 1)

    def acting(self, expr: torch.Tensor, eyes: torch.Tensor) -> torch.Tensor:
        """Weights [T,E] with which `expr_basis` forms the face; expr [T,E] and eyes [T,6] as in `pose`."""
        return self._acting(expr, self._gaze(expr, eyes)) if self.head.has_units else expr

    def _acting(self, expr: torch.Tensor, gaze: torch.Tensor) -> torch.Tensor:
        """Unit weights [T,E] as they act: lids follow this gaze, mouthClose closes only what jawOpen opened."""
        follow = lid_weights(gaze, self.head.gaze_angles)
        # A closed lid has nowhere left to follow to.
        follow = follow * (1 - self._blinks(expr)).repeat_interleave(4, dim=1)
        jaw, mouth = self.head.unit("jawOpen"), self.head.unit("mouthClose")
        closing = torch.minimum(expr[:, mouth], expr[:, jaw].clamp_min(0))[:, None]
        columns = _columns((*self.head.gaze_units, mouth), expr.device)
        return expr.index_copy(1, columns, torch.cat([follow, closing], 1))

    def bones(
        self,
        expr: torch.Tensor,
        rotation: torch.Tensor | None = None,
        neck: torch.Tensor | None = None,
        jaw: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
        translation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """World transforms [T,B,3,4] of BONES, rest to world, for the arguments of `pose`."""
        expr = expr.to(self.rest)
        zero = expr.new_zeros(expr.shape[0], 3)
        motion = (rotation, neck, jaw, translation)
        rotation, neck, jaw, translation = (zero if x is None else x.to(self.rest) for x in motion)
        opening = (
            expr[:, self.head.unit("jawOpen"), None] * self.head.jaw_turn if self.head.has_units else zero
        )
        gaze = self._gaze(expr, eyes)
        together = torch.broadcast_tensors(rotation, neck, jaw, opening, gaze[:, :3], gaze[:, 3:])
        root, neck, jaw, opening, left, right = axis_angle_to_matrix(torch.stack(together, 1)).unbind(1)
        shift = self.joints[0] - neck @ self.joints[0]
        bones = [torch.eye(3, 4, dtype=expr.dtype, device=expr.device).expand(len(neck), 3, 4)]
        bones.append(torch.cat([neck, shift[..., None]], -1))
        # Jaw and eyeballs hang from the neck's turn.
        for turn, joint in zip((jaw @ opening, left, right), self.joints[1:], strict=True):
            moved = neck @ (joint - turn @ joint)[..., None] + shift[..., None]
            bones.append(torch.cat([neck @ turn, moved], -1))
        turned = root[:, None] @ torch.stack(bones, 1)
        return torch.cat([turned[..., :3], turned[..., 3:] + translation[:, None, :, None]], -1)

    def _gaze(self, expr: torch.Tensor, eyes: torch.Tensor | None) -> torch.Tensor:
        """Turns [T,6] of the eyeballs: what units stand for, and what is added to it."""
        gaze = self.head.units_to_gaze(expr)
        return gaze if eyes is None else gaze + eyes.to(self.rest)
