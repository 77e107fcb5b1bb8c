"""The performer: a head with true geometry that, out of model, no parameters of the shipped head can reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

import numpy as np
import torch

from emoga.head import Head, HeadParams, load_head
from emoga.head.model import Identity
from emoga.head.params import BONES, JOINTS
from emoga.studio.acting import Performance
from emoga.studio.anatomy import Anatomy
from emoga.studio.appearance import Appearance
from emoga.studio.changes import change_of_shape, known_change
from emoga.studio.lips import LipContact
from emoga.studio.noise import gradient_noise

SHAPE_SPREAD = 0.8  # of the population that the shape basis describes: people as different as people are
ASYMMETRY_MM = 0.75  # RMS over the face of the smooth asymmetric offset
UNIT_CHANGE = 0.34  # relative size of a person's own version of each unit
JAW_PIVOT_SHIFT = (0.0, 0.006, 0.006)  # metres, reach of the jitter of the joint
JAW_SLIDE = (0.0, -0.0008, 0.0028)  # metres a real jaw glides forward at jawOpen 1


@dataclass(frozen=True)
class Performer:
    """One synthetic person.

    identity poses the true head-topology vertices; shape [S] and static_offset [V,3] are the nearest the
    shipped model can say (exact when in_model). grown_on [V,3]: rest vertices of before a change, over which hair
    is still spread; None without one.
    """

    seed: int
    in_model: bool
    head: Head
    shape: torch.Tensor
    static_offset: torch.Tensor | None
    identity: Identity
    looks: Appearance
    anatomy: Anatomy
    grown_on: np.ndarray | None = None

    def vertices(self, acted: Performance) -> np.ndarray:
        """True vertices [T,V,3] in head topology, float64, before creases."""
        posed = self.identity.pose(
            acted.expr.double(), acted.rotation.double(), acted.neck.double(), acted.jaw.double(),
            acted.eyes.double(), acted.translation.double(),
        )  # fmt: skip
        posed = posed.numpy()
        return posed if self.in_model else self._lips.separate(posed, self.identity.rest.numpy())

    @property
    def _lips(self) -> LipContact:
        return _lip_contact(self.head.name)

    def params(self, acted: Performance) -> HeadParams:
        """The shipped head's parameters of a performance; for out-of-model performers only the motion is true."""
        return HeadParams(
            self.shape.float(), None if self.static_offset is None else self.static_offset.float(), acted.expr,
            acted.rotation, acted.neck, acted.jaw, acted.eyes, acted.translation,
        )  # fmt: skip


def make_performer(
    seed: int,
    in_model: bool = False,
    head_name: str = "open",
    spread: float = SHAPE_SPREAD,
    change: str | None = None,
) -> Performer:
    """The performer of a seed; the same seed has the same looks in and out of model.

    spread: of the shape, in standard deviations of the population; at twice that it ends.
    change: of `changes.CHANGES`, what is different about them. Raises InputError for an unknown one.
    """
    head = load_head(head_name).to(dtype=torch.float64)
    rng = np.random.default_rng([seed, 11])
    shape = torch.tensor(np.clip(rng.normal(0, spread, len(head.shape_names)), -2 * spread, 2 * spread))
    looks = Appearance.drawn(np.random.default_rng([seed, 12]))
    anatomy = _anatomy(head_name)
    offset = (
        None if in_model else torch.tensor(_outside_offset(head, np.random.default_rng([seed, 13]), seed))
    )
    identity = head.identify(shape, offset)
    grown_on = None
    if change is not None:
        known = known_change(change)
        grown_on, looks = identity.rest.numpy(), known.looks(looks)
        moved = torch.tensor(change_of_shape(head, known, seed))
        offset = moved if offset is None else offset + moved
        identity = head.identify(shape, offset)
    if not in_model:
        identity = _personal(identity, np.random.default_rng([seed, 14]), seed)
    return Performer(seed, in_model, head, shape, offset, identity, looks, anatomy, grown_on)


@lru_cache(maxsize=2)
def _anatomy(head_name: str) -> Anatomy:
    return Anatomy.of(load_head(head_name))


@lru_cache(maxsize=2)
def _lip_contact(head_name: str) -> LipContact:
    return LipContact.of(load_head(head_name))


def face_weights(head: Head) -> np.ndarray:
    """Bool [V]: the face region in which distances from the model are measured."""
    return head.regions["face"].numpy()


def span_residual(head: Head, offset: np.ndarray) -> np.ndarray:
    """What is left [N,3] of an offset over the face after the best shape coefficients and rigid motion."""
    face = face_weights(head)
    points = head.template.double().numpy()[face]
    moves = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, points) for axis in np.eye(3)]
    basis = np.concatenate([head.shape_basis.double().numpy()[:, face], np.stack(moves + turns)])
    columns = basis.reshape(len(basis), -1).T
    target = offset[face].ravel()
    solution = np.linalg.lstsq(columns, target, rcond=None)[0]
    return (target - columns @ solution).reshape(-1, 3)


def _outside_offset(head: Head, rng: np.random.Generator, seed: int) -> np.ndarray:
    """Held-out modelling targets and smooth asymmetry [V,3], grown until 1.15 mm RMS lie outside the basis."""
    template = head.template.numpy()
    targets = _held_out_targets()
    chosen = rng.choice(len(targets), size=min(4, len(targets)), replace=False)
    offset = np.tensordot(rng.uniform(0.35, 0.8, len(chosen)), targets[chosen], 1)
    bumps = np.stack(
        [gradient_noise(template, 0.055, seed * 17 + 5 + axis)
         + 0.22 * gradient_noise(template, 0.026, seed * 17 + 9 + axis) for axis in range(3)], -1,
    ).astype(np.float64)  # fmt: skip
    bumps *= _calm_zones(head)[:, None]
    face = face_weights(head)
    bumps *= ASYMMETRY_MM * 1e-3 / np.sqrt((bumps[face] ** 2).sum(-1).mean())
    offset = offset + bumps
    outside = np.sqrt((span_residual(head, offset) ** 2).sum(-1).mean())
    return offset * max(1.0, 1.15e-3 / outside)


def _calm_zones(head: Head) -> np.ndarray:
    """Weights [V] that spare eyes, lids, teeth and mouth: noise there would tear lids off eyeballs."""
    template = head.template.numpy()
    calm = np.ones(len(template))
    joints = head.joints.numpy()
    for eye in joints[2:]:
        away = np.linalg.norm(template - eye, axis=1)
        calm *= np.clip((away - 0.020) / 0.014, 0, 1)
    mouth = template[head.regions["mouth_interior"].numpy() | head.regions["teeth"].numpy()]
    for name in ("ears", "teeth", "tongue", "mouth_interior", "eyeballs"):
        calm[head.regions[name].numpy()] = 0
    away = np.sqrt((((template - mouth.mean(0)) / [0.045, 0.022, 0.055]) ** 2).sum(1))
    # Below the jaw nothing is measured, and lumps on a neck look ill.
    calm *= np.clip((template[:, 1] + 0.150) / 0.04, 0.15, 1)
    return calm * np.clip((away - 0.8) / 0.7, 0.25, 1)


@lru_cache(maxsize=1)
def _held_out_targets() -> np.ndarray:
    with (
        resources.files("emoga.head").joinpath("data/studio_identities.npz").open("rb") as stream,
        np.load(stream, allow_pickle=False) as archive,
    ):
        return archive["deltas"].astype(np.float64)


def _personal(identity: Identity, rng: np.random.Generator, seed: int) -> Identity:
    """A person's own way to move: units of other strength, reach and side balance, and another jaw pivot."""
    head, rest = identity.head, identity.rest.numpy()
    basis = identity.expr_basis.numpy().copy()
    left = 1 / (1 + np.exp(-rest[:, 0] / 0.006))
    lids = np.zeros(len(rest), bool)
    lids[head.lids.sliding.numpy()] = True
    lids[head.lids.lashes.numpy()] = True
    for index, name in enumerate(head.expr_names):
        if name.startswith(("eyeLook", "eyeBlink")):
            continue  # lids must still meet
        gains = 1 + UNIT_CHANGE * 0.6 * rng.normal(size=2).clip(-1.5, 1.5)
        warp = gradient_noise(rest, 0.045, seed * 131 + index)
        factor = (left * gains[0] + (1 - left) * gains[1]) * (1 + UNIT_CHANGE * warp)
        factor = np.where(lids, 1.0, factor)
        basis[index] *= factor[:, None]
    jaw = head.skin_weights[:, BONES.index("jaw"), None].numpy()
    basis[head.unit("jawOpen")] += jaw * np.asarray(JAW_SLIDE) * rng.uniform(0.5, 1.5)
    joints = identity.joints.clone()
    joints[JOINTS.index("jaw")] += torch.tensor(rng.uniform(-1, 1, 3) * JAW_PIVOT_SHIFT)
    return replace(identity, expr_basis=torch.tensor(basis), joints=joints)
