"""Lids: how they meet, slide over the eyeballs of any person, and carry the lashes along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from emoga.head.params import BONES

if TYPE_CHECKING:
    from emoga.head.model import Head, Identity

LID_CLEARANCE = 0.0009  # metres a moving lid keeps from the eyeball
CLOSED_CLEARANCE = 0.0014  # the same of a closed one, whose stretched triangles cut corners
REST_CLEARANCE = 0.0005  # the same of a person at rest; the template has more
POCKET_DEPTH = 0.001  # metres that the inside of a closed lid stays below the eyeball's surface
LID_SOFTNESS = 0.00015


@dataclass(frozen=True)
class Lids:
    """How lids meet and slide, for both eyes (index e: left, right).

    upper [2,P], lower [2,Q] vertex ids of the rims; meeting [P,Q] weights of the lower rim's points that the
    upper's meet; closing [N,P] weights that spread a gap of the rims over the lid vertices `closing_ids`
    [2,N]; sliding [M] ids of vertices kept off the eyeball and
    sliding_eye [M] which eye; lashes [L] ids, lash_bind [L,K] sliding rows they ride on with weights
    lash_weights [L,K]; pocket [2,Q] ids of the lids' inside behind the rims.
    """

    upper: torch.Tensor
    lower: torch.Tensor
    meeting: torch.Tensor
    closing_ids: torch.Tensor
    closing: torch.Tensor
    sliding: torch.Tensor
    sliding_eye: torch.Tensor
    lashes: torch.Tensor
    lash_bind: torch.Tensor
    lash_weights: torch.Tensor
    pocket: torch.Tensor

    @classmethod
    def none(cls) -> Lids:
        """Those of a head whose lids are skin like the rest."""
        ids, values = torch.zeros(0, dtype=torch.long), torch.zeros(0, 0)
        pairs = ids.reshape(2, 0)
        return cls(pairs, pairs, values, pairs, values, ids, ids, ids, ids.reshape(0, 1), values, pairs)


def slide_lids(identity: Identity, local: torch.Tensor, blinks: torch.Tensor) -> torch.Tensor:
    """Keep lids off the eyeballs [T,V,3], the more so the further they close; lashes ride along."""
    lids = identity.head.lids
    centre = identity.joints[2:][lids.sliding_eye]
    arm = local[:, lids.sliding] - centre
    distance = arm.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    lift = identity.eye_radius[lids.sliding_eye] + CLOSED_CLEARANCE - identity.lid_floor
    floor = identity.lid_floor + blinks[:, lids.sliding_eye] * lift.clamp_min(0)
    excess = distance - floor[..., None]
    soft = (excess + LID_SOFTNESS).clamp(0, 2 * LID_SOFTNESS) ** 2 / (4 * LID_SOFTNESS)
    # Above the soft band nothing moves; below it the vertex sits on the floor.
    push = torch.where(excess >= LID_SOFTNESS, torch.zeros_like(excess), soft - excess)
    push = arm / distance * push
    lash_push = (push[:, lids.lash_bind] * lids.lash_weights[..., None]).sum(2)
    return local.index_add(1, torch.cat([lids.sliding, lids.lashes]), torch.cat([push, lash_push], 1))


def _eye_radii(head: Head, rest: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Radii [2] of the eyeballs of a rest mesh [V,3] about their centres [2,3]."""
    balls = [head.skin_weights[:, BONES.index(name)] > 0.5 for name in ("left_eye", "right_eye")]
    return torch.stack([(rest[b] - centres[e]).norm(dim=-1).mean() for e, b in enumerate(balls)])


def lids_on_eyeballs(head: Head, rest: torch.Tensor) -> torch.Tensor:
    """Lift lids, and lashes with them, out of the eyeballs of an unusual person [V,3]."""
    lids = head.lids
    centres = (head.joint_regressor @ rest + head.joint_offset)[2:]
    arm = rest[lids.sliding] - centres[lids.sliding_eye]
    distance = arm.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    least = _eye_radii(head, rest, centres)[lids.sliding_eye, None] + REST_CLEARANCE
    push = arm / distance * (least - distance).clamp_min(0)
    lash_push = (push[lids.lash_bind] * lids.lash_weights[..., None]).sum(1)
    return rest.index_add(0, lids.sliding, push).index_add(0, lids.lashes, lash_push)


def lashes_like_lids(lids: Lids, deformation: torch.Tensor) -> torch.Tensor:
    """Give lashes the deformation [V,3,3] of the lid they are rooted in: their own strips say little."""
    roots = lids.sliding[lids.lash_bind]
    rooted = (deformation[roots] * lids.lash_weights[..., None, None]).sum(1)
    return deformation.index_copy(0, lids.lashes, rooted)


def close_lids(head: Head, rest: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """Correct the carried blinks so that the rims of this person's lids meet at 1."""
    lids, basis = head.lids, basis.clone()
    centres = (head.joint_regressor @ rest + head.joint_offset)[2:]
    radii = _eye_radii(head, rest, centres)
    for side, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        index = head.unit(name)
        closed = rest + basis[index]
        gap = lids.meeting @ closed[lids.lower[side]] - closed[lids.upper[side]]
        change = torch.zeros_like(rest).index_add(0, lids.closing_ids[side], lids.closing @ gap)
        roots = lids.sliding[lids.lash_bind]
        lashes = (change[roots] * lids.lash_weights[..., None]).sum(1)
        change = change.index_add(0, lids.lashes, lashes)
        change = change + _hidden_pocket(lids.pocket[side], closed + change, centres[side], radii[side])
        basis[index] = basis[index] + change
    return basis


def _hidden_pocket(
    pocket: torch.Tensor, closed: torch.Tensor, centre: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Change [V,3] of a blink that keeps the lids' inside within the eyeball, out of sight."""
    arm = closed[pocket] - centre
    distance = arm.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    pull = arm / distance * (radius - POCKET_DEPTH - distance).clamp_max(0)
    return torch.zeros_like(closed).index_add(0, pocket, pull)


def lid_limits(head: Head, rest: torch.Tensor, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eyeball radii [2] and the nearest distance [M] each sliding lid vertex may come to the centre."""
    radius = _eye_radii(head, rest, joints[2:])
    own = (rest[head.lids.sliding] - joints[2:][head.lids.sliding_eye]).norm(dim=-1)
    floor = torch.minimum(own - 2 * LID_SOFTNESS, radius[head.lids.sliding_eye] + LID_CLEARANCE)
    return radius, floor
