"""Points on the head's surface and how they move with every pose, expression and shape parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, skew
from emoga.head import Head, HeadParams, Identity
from emoga.head.params import BONES

# Units whose say on how much others act is not linear: they are closed by others, or close what others move.
BENDING_UNITS = ("jawOpen", "mouthClose", "eyeBlinkLeft", "eyeBlinkRight")
# Units under which lids meet an eyeball.
EYE_UNITS = (
    "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "cheekSquintLeft", "cheekSquintRight",
)  # fmt: skip
# Units a camera cannot tell from others, or that no landmark sees.
UNSEEN_UNITS = ("tongueOut",)
EYE_BONES = (BONES.index("left_eye"), BONES.index("right_eye"))
STEP = 1e-4


@dataclass(frozen=True)
class Layout:
    """Where each per-frame parameter sits in the vector of P unknowns.

    rotation (a turn in the world about the head's origin) 0:3, translation 3:6, then the free units, the jaw
    (yaw and roll where a unit opens it, else all three), neck (3), and pitch and yaw of the left and the right
    eye (4).
    """

    units: tuple[int, ...]
    jaw_axes: tuple[int, ...] = (1, 2)
    limits: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, head: Head) -> Layout:
        """The layout for a head: all its units but gaze (eyeballs turn instead) and unseen ones."""
        held = set(head.gaze_units) | {head.unit(name) for name in UNSEEN_UNITS if name in head.expr_names}
        free = tuple(i for i in range(len(head.expr_names)) if i not in held)
        return cls(free, (1, 2) if head.has_units else (0, 1, 2), head.expr_limits)

    @property
    def count(self) -> int:
        """P."""
        return 6 + len(self.units) + len(self.jaw_axes) + 3 + 4

    @property
    def expr(self) -> slice:
        """Columns of the free units."""
        return slice(6, 6 + len(self.units))

    @property
    def jaw(self) -> slice:
        """Columns of the jaw's free axes."""
        return slice(self.expr.stop, self.expr.stop + len(self.jaw_axes))

    @property
    def neck(self) -> slice:
        """Columns of the neck's turn."""
        return slice(self.jaw.stop, self.jaw.stop + 3)

    @property
    def eyes(self) -> slice:
        """Columns of the gaze."""
        return slice(self.neck.stop, self.neck.stop + 4)

    def values(self, params: HeadParams) -> torch.Tensor:
        """The vector [T,P] of params, the turn's columns zero because turns are steps, not values."""
        zero = torch.zeros_like(params.rotation)
        return torch.cat(
            [zero, params.translation, params.expr[:, list(self.units)], params.jaw[:, list(self.jaw_axes)],
             params.neck, params.eyes[:, [0, 1, 3, 4]]], 1,
        )  # fmt: skip

    def moved(self, params: HeadParams, step: torch.Tensor) -> HeadParams:
        """params after a step [T,P]; units stay within their limits."""
        turn = axis_angle_to_matrix(step[:, :3]) @ axis_angle_to_matrix(params.rotation)
        expr, jaw, eyes = params.expr.clone(), params.jaw.clone(), params.eyes.clone()
        units = list(self.units)
        expr[:, units] = (expr[:, units] + step[:, self.expr]).clamp(*self.limits)
        jaw[:, list(self.jaw_axes)] += step[:, self.jaw]
        eyes[:, [0, 1, 3, 4]] += step[:, self.eyes]
        return HeadParams(
            params.shape, params.static_offset, expr, matrix_to_axis_angle(turn),
            params.neck + step[:, self.neck], jaw, eyes, params.translation + step[:, 3:6],
        )  # fmt: skip


class SurfacePoints:
    """N points fixed on a head's surface, cheap to place and to differentiate.

    corners [N,K] vertex ids and weights [N,K] make each point; K is 3 for points inside triangles, 1 for
    vertices.
    """

    def __init__(self, head: Head, corners: torch.Tensor, weights: torch.Tensor) -> None:
        self.head = head.to(dtype=torch.float64)
        self.layout = Layout.of(self.head)
        self.ids, flat = torch.unique(corners, return_inverse=True)
        self.corners = flat.reshape(corners.shape)
        self.weights = weights.double()

    @property
    def count(self) -> int:
        """N."""
        return self.corners.shape[0]

    def gather(self, vertices: torch.Tensor) -> torch.Tensor:
        """Points [...,N,3] from values at the vertices in use [...,U,3]."""
        return _gathered(vertices, self.corners, self.weights)

    def on_mesh(self, values: torch.Tensor) -> torch.Tensor:
        """Points [...,N,3] from values at all vertices [...,V,3]."""
        return self.gather(values[..., self.ids, :])

    def place(self, identity: Identity, params: HeadParams) -> torch.Tensor:
        """Points [T,N,3] in the world."""
        return self.gather(restricted(identity, self.ids).posed(params))

    def jacobian(
        self,
        identity: Identity,
        params: HeadParams,
        shape_basis: torch.Tensor | None = None,
        free: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points x [T,N,3] and their derivatives [T,N,3,P(+G)].

        shape_basis [G,V,3]: directions of the rest mesh to differentiate by as well. free: those of the P unknowns to
        differentiate by, else all. Turn and place of the head are free together, or neither is.
        """
        slots = {column: n for n, column in enumerate(range(self.layout.count) if free is None else free)}
        part = restricted(identity, self.ids)
        local, bones = _formed(part, params), _bones(part, params)
        points = self.gather(part.carried(local, bones))
        columns = points.new_zeros(*points.shape, len(slots))
        if 0 in slots:
            columns[..., slots[0] : slots[0] + 6] = self._by_pose(points, params)
        # Without the lids' sliding, carrying is linear in the rest mesh.
        turn = torch.einsum("ub,tbij->tuij", part.head.skin_weights, bones[..., :3])
        units = [n for n in range(len(self.layout.units)) if self.layout.expr.start + n in slots]
        if units:
            at = [slots[self.layout.expr.start + n] for n in units]
            columns[..., at] = self._linear(turn, part.expr_basis[[self.layout.units[n] for n in units]])
        if self.head.has_units:
            self._bend(part, params, turn, columns, slots)
        self._add_joints(part, params, local, bones, columns, slots)
        self._difference_eyes(part, params, points, columns, slots)
        if shape_basis is not None:
            columns = torch.cat([columns, self._linear(turn, shape_basis[:, self.ids])], -1)
        return points, columns

    def _by_pose(self, points: torch.Tensor, params: HeadParams) -> torch.Tensor:
        """Derivatives [T,N,3,6] by the head's turn and place."""
        arm = points - params.translation[:, None, :]
        still = torch.eye(3, dtype=points.dtype).expand(*points.shape, 3)
        return torch.cat([-skew(arm), still], -1)

    def _linear(self, turn: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
        """World directions [T,N,3,E] of rest displacements [E,U,3] turned by [T,U,3,3]."""
        frames, corners = len(turn), self.corners.shape[1]
        # One product per point, of all its corners and frames at once: what takes time is going through memory.
        turns = turn[:, self.corners] * self.weights[..., None, None]
        turns = turns.permute(1, 0, 3, 2, 4).reshape(self.count, frames * 3, corners * 3)
        directions = basis.permute(1, 2, 0)[self.corners].reshape(self.count, corners * 3, -1)
        return (turns @ directions).reshape(self.count, frames, 3, -1).transpose(0, 1)

    def _bend(
        self,
        part: Identity,
        params: HeadParams,
        turn: torch.Tensor,
        columns: torch.Tensor,
        slots: Mapping[int, int],
    ) -> None:
        """Fill the columns of the gaze and of BENDING_UNITS by how they change what units act how much."""
        nudges = _kept(self._turns_of_eyes() + self._of_units(params, BENDING_UNITS), slots)
        if not nudges:
            return
        nudged, acting = _nudged(params, nudges), part.acting(params.expr, params.eyes)
        change = _differences(part.acting(nudged.expr, nudged.eyes), acting, nudges)
        units = torch.nonzero((change != 0).any(0).any(-1))[:, 0]
        # One product per frame: one of its own for every point takes five times as long.
        moved = self._linear(turn, part.expr_basis[units]).flatten(1, 2) @ change[:, units]
        columns[..., _slots(nudges, slots)] = moved.unflatten(1, (self.count, 3))

    def _add_joints(
        self,
        part: Identity,
        params: HeadParams,
        local: torch.Tensor,
        bones: torch.Tensor,
        columns: torch.Tensor,
        slots: Mapping[int, int],
    ) -> None:
        """Add what jaw and neck do to their columns; local [T,U,3] carried by bones [T,B,3,4] are the vertices."""
        layout = self.layout
        nudges = [_Nudge("neck", axis, layout.neck.start + axis) for axis in range(3)]
        nudges += [_Nudge("jaw", axis, layout.jaw.start + n) for n, axis in enumerate(layout.jaw_axes)]
        nudges = _kept(nudges + self._of_units(params, ("jawOpen",)), slots)
        if not nudges:
            return
        nudged, count = _nudged(params, nudges), len(nudges)
        if self.head.pose_basis is None:
            # Carrying is linear in the bones: their own differences, which cost little, are carried.
            change = _differences(_bones(part, nudged), bones, nudges).movedim(-1, 0).flatten(0, 1)
            moved = self.gather(part.carried(local.repeat(count, 1, 1), change))
            found = moved.unflatten(0, (count, -1)).movedim(0, -1)
        else:
            still = self.gather(part.carried(local, bones))
            found = _differences(self.gather(part.posed(nudged)), still, nudges)
        columns[..., _slots(nudges, slots)] += found

    def _difference_eyes(
        self,
        part: Identity,
        params: HeadParams,
        points: torch.Tensor,
        columns: torch.Tensor,
        slots: Mapping[int, int],
    ) -> None:
        """Fill the columns of the gaze and of EYE_UNITS, of points that slide or turn with an eyeball."""
        nudges = _kept(self._turns_of_eyes() + self._of_units(params, EYE_UNITS), slots)
        if not nudges:
            return
        rows, ids, corners = self._at_eyes(part)
        moved = _gathered(restricted(part, ids).posed(_nudged(params, nudges)), corners, self.weights[rows])
        block = columns[:, rows]
        block[..., _slots(nudges, slots)] = _differences(moved, points[:, rows], nudges)
        columns[:, rows] = block

    def _turns_of_eyes(self) -> list[_Nudge]:
        first = self.layout.eyes.start
        return [_Nudge("eyes", entry, first + number) for number, entry in enumerate((0, 1, 3, 4))]

    def _of_units(self, params: HeadParams, names: Sequence[str]) -> list[_Nudge]:
        """Nudges of those of the named units that the head has."""
        found = []
        for unit in (self.head.unit(name) for name in names if name in self.head.expr_names):
            # Inside [0,1] whichever side is taken: lids behave differently beyond their ends.
            step = torch.where(params.expr[:, unit] > 0.5, -STEP, STEP).double()
            found.append(_Nudge("expr", unit, self.layout.expr.start + self.layout.units.index(unit), step))
        return found

    def _at_eyes(self, part: Identity) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points [M] that slide over or turn with an eyeball, the vertices [P] they are made of, and their corners
        [M,K] there."""
        head = part.head
        moving = head.skin_weights[:, list(EYE_BONES)].abs().sum(1) > 0
        moving[head.lids.sliding] = True
        if head.pose_basis is not None:
            moving[:] = True
        rows = torch.nonzero((moving[self.corners] & (self.weights != 0)).any(1))[:, 0]
        ids, corners = torch.unique(self.corners[rows], return_inverse=True)
        return rows, ids, corners.reshape(len(rows), self.corners.shape[1])


@dataclass(frozen=True)
class _Nudge:
    """A change of one entry of some params by `step`, of each frame [T] or of all, and the column that it fills."""

    name: str
    entry: int
    column: int
    step: torch.Tensor | float = STEP


def _nudged(params: HeadParams, nudges: list[_Nudge]) -> HeadParams:
    """params [T] once per nudge, changed by it: [K*T], nudge by nudge."""
    frames = params.frames
    many = params.select(list(range(frames)) * len(nudges))
    for number, nudge in enumerate(nudges):
        getattr(many, nudge.name)[number * frames : (number + 1) * frames, nudge.entry] += nudge.step
    return many


def _kept(nudges: list[_Nudge], slots: Mapping[int, int]) -> list[_Nudge]:
    return [nudge for nudge in nudges if nudge.column in slots]


def _slots(nudges: list[_Nudge], slots: Mapping[int, int]) -> list[int]:
    return [slots[nudge.column] for nudge in nudges]


def _differences(moved: torch.Tensor, still: torch.Tensor, nudges: list[_Nudge]) -> torch.Tensor:
    """Derivatives [T,...,K] of values [T,...] that nudges moved to [K*T,...]."""
    change = moved.unflatten(0, (len(nudges), -1)) - still
    steps = torch.stack([change.new_ones(len(still)) * nudge.step for nudge in nudges])
    return (change / steps.reshape(*steps.shape, *[1] * (still.dim() - 1))).movedim(0, -1)


def _gathered(vertices: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Points [...,N,3] of vertices [...,U,3] by corners [N,K] with weights [N,K]."""
    total = vertices[..., corners[:, 0], :] * weights[:, 0, None]
    for corner in range(1, corners.shape[1]):
        total = total + vertices[..., corners[:, corner], :] * weights[:, corner, None]
    return total


def landmark_points(head: Head, scheme: str) -> SurfacePoints:
    """The landmarks of a scheme as surface points."""
    embedding = head.landmarks[scheme]
    return SurfacePoints(head, embedding.corners, embedding.bary)


def restricted(identity: Identity, ids: torch.Tensor) -> Identity:
    """The identity with only the vertices `ids`, in that order: poses them exactly as the whole would."""
    head, lids = identity.head, identity.head.lids
    place = torch.full((identity.rest.shape[0],), -1, dtype=torch.long)
    place[ids] = torch.arange(len(ids))
    kept = place[lids.sliding] >= 0
    lids = replace(
        lids,
        sliding=place[lids.sliding[kept]],
        sliding_eye=lids.sliding_eye[kept],
        lashes=lids.lashes[:0],
        lash_bind=lids.lash_bind[:0],
        lash_weights=lids.lash_weights[:0],
    )
    return replace(
        identity,
        head=head.restricted(ids, lids),
        rest=identity.rest[ids],
        expr_basis=identity.expr_basis[:, ids],
        lid_floor=identity.lid_floor[kept],
    )


def _formed(identity: Identity, params: HeadParams) -> torch.Tensor:
    return identity.formed(params.expr, params.neck, params.jaw, params.eyes)


def _bones(identity: Identity, params: HeadParams) -> torch.Tensor:
    return identity.bones(
        params.expr, params.rotation, params.neck, params.jaw, params.eyes, params.translation
    )
