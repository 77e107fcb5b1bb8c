"""Points on the head's surface and how they move with every pose, expression and shape parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, skew
from emoga.head import Head, HeadParams, Identity
from emoga.head.params import BONES

# Units whose effect is not linear (they drive a joint, meet an eyeball or each other): differenced, not derived.
NONLINEAR_UNITS = (
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "cheekSquintLeft", "cheekSquintRight", "mouthClose",
)  # fmt: skip
# Units a camera cannot tell from others, or that no landmark sees.
UNSEEN_UNITS = ("tongueOut",)
# Of these, the ones that act on the lids and what lies around the eyes alone.
EYE_UNITS = tuple(name for name in NONLINEAR_UNITS if "Blink" in name or "Squint" in name or "Wide" in name)
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
        self._differenced = [self.head.unit(n) for n in NONLINEAR_UNITS if n in self.head.expr_names]

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
        return self.gather(_pose(restricted(identity, self.ids), params))

    def jacobian(
        self,
        identity: Identity,
        params: HeadParams,
        shape_basis: torch.Tensor | None = None,
        by_expression: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points x [T,N,3] and their derivatives [T,N,3,P(+G)].

        shape_basis [G,V,3]: directions of the rest mesh to differentiate by as well. by_expression: else the columns of
        units and jaw, most of the work, stay zero.
        """
        part = restricted(identity, self.ids)
        vertices = _pose(part, params)
        points = self.gather(vertices)
        needed = by_expression or shape_basis is not None
        turn = _rest_to_world(part, params, vertices) if needed else None
        columns = points.new_zeros(*points.shape, self.layout.count)
        arm = points - params.translation[:, None, :]
        columns[..., 0:3] = -skew(arm)
        columns[..., 3:6] = torch.eye(3, dtype=points.dtype)
        if by_expression:
            columns[..., self.layout.expr] = self._linear(turn, part.expr_basis[list(self.layout.units)])
        self._difference(part, params, points, columns, by_expression)
        if shape_basis is not None:
            columns = torch.cat([columns, self._linear(turn, shape_basis[:, self.ids])], -1)
        return points, columns

    def _linear(self, turn: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
        """World directions [T,N,3,E] of rest displacements [E,U,3] turned by [T,U,3,3]."""
        frames, corners = len(turn), self.corners.shape[1]
        # One product per point, of all its corners and frames at once: what takes time is going through memory.
        turns = turn[:, self.corners] * self.weights[..., None, None]
        turns = turns.permute(1, 0, 3, 2, 4).reshape(self.count, frames * 3, corners * 3)
        directions = basis.permute(1, 2, 0)[self.corners].reshape(self.count, corners * 3, -1)
        return (turns @ directions).reshape(self.count, frames, 3, -1).transpose(0, 1)

    def _difference(
        self,
        part: Identity,
        params: HeadParams,
        points: torch.Tensor,
        columns: torch.Tensor,
        by_expression: bool,
    ) -> None:
        """Fill the columns that joints and lids make nonlinear, by differences towards the allowed side."""
        rows, ids, corners = self._about_eyes(part)
        eyes, weights, eye_points = restricted(part, ids), self.weights[rows], points[:, rows]
        for unit in self._differenced if by_expression else ():
            # Inside [0,1] whichever side is taken: lids behave differently beyond their ends.
            step = torch.where(params.expr[:, unit] > 0.5, -STEP, STEP).double()
            expr = params.expr.clone()
            expr[:, unit] += step
            column = self.layout.expr.start + self.layout.units.index(unit)
            if self.head.expr_names[unit] in EYE_UNITS:
                moved = _gathered(_pose(eyes, replace(params, expr=expr)), corners, weights)
                columns[:, rows, :, column] = (moved - eye_points) / step[:, None, None]
            else:
                moved = self.gather(_pose(part, replace(params, expr=expr)))
                columns[..., column] = (moved - points) / step[:, None, None]
        places = [("jaw", axis) for axis in self.layout.jaw_axes] if by_expression else []
        places += [("neck", 0), ("neck", 1), ("neck", 2)]
        first = self.layout.jaw.start if by_expression else self.layout.neck.start
        for column, (name, entry) in enumerate(places, start=first):
            moved = self.gather(_pose(part, _nudged(params, name, entry)))
            columns[..., column] = (moved - points) / STEP
        for column, entry in enumerate((0, 1, 3, 4), start=self.layout.eyes.start):
            moved = _gathered(_pose(eyes, _nudged(params, "eyes", entry)), corners, weights)
            columns[:, rows, :, column] = (moved - eye_points) / STEP

    def _about_eyes(self, part: Identity) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points [M] that gaze or EYE_UNITS move, the vertices [P] they are made of, and their corners [M,K] there."""
        head = part.head
        moving = head.skin_weights[:, list(EYE_BONES)].abs().sum(1) > 0
        moving[head.lids.sliding] = True
        if head.pose_basis is not None:
            moving[:] = True
        units = [*head.gaze_units, *(head.unit(name) for name in EYE_UNITS if name in head.expr_names)]
        moving |= (part.expr_basis[units] != 0).any(-1).any(0)
        rows = torch.nonzero((moving[self.corners] & (self.weights != 0)).any(1))[:, 0]
        ids, corners = torch.unique(self.corners[rows], return_inverse=True)
        return rows, ids, corners.reshape(len(rows), self.corners.shape[1])


def _gathered(vertices: torch.Tensor, corners: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Points [...,N,3] of vertices [...,U,3] by corners [N,K] with weights [N,K]."""
    total = vertices[..., corners[:, 0], :] * weights[:, 0, None]
    for corner in range(1, corners.shape[1]):
        total = total + vertices[..., corners[:, corner], :] * weights[:, corner, None]
    return total


def _nudged(params: HeadParams, name: str, entry: int) -> HeadParams:
    """params with one entry of a joint's turn changed by STEP."""
    value = getattr(params, name).clone()
    value[:, entry] += STEP
    return replace(params, **{name: value})


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


def _pose(identity: Identity, params: HeadParams) -> torch.Tensor:
    return identity.pose(
        params.expr, params.rotation, params.neck, params.jaw, params.eyes, params.translation
    )


def _rest_to_world(part: Identity, params: HeadParams, vertices: torch.Tensor) -> torch.Tensor:
    """Matrices [T,U,3,3] that take small displacements of the rest mesh to the world.

    Without the lids' sliding, posing is linear in the rest mesh: three unit displacements tell all.
    """
    lids = part.head.lids
    free = replace(lids, sliding=lids.sliding[:0], sliding_eye=lids.sliding_eye[:0])
    part = replace(part, head=replace(part.head, lids=free, _copies={}), lid_floor=part.lid_floor[:0])
    base = _pose(part, params)
    axes = torch.eye(3, dtype=base.dtype)
    return torch.stack([_pose(replace(part, rest=part.rest + axis), params) - base for axis in axes], -1)
