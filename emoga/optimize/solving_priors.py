"""Priors of the tracker: units in millimetres of motion, calm joints, smooth time, plausible shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from emoga.head import Head, Identity
from emoga.optimize.solving_points import Layout
from emoga.optimize.solving_system import SequenceSystem

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
SIDEWAYS = ("jawLeft", "mouthLeft")


@dataclass(frozen=True)
class PriorWeights:
    """Standard deviations of what the tracker expects; millimetres, degrees, per frame where said.

    expression: mm of motion of all units together, over the vertices each moves; sparsity: cost per mm while the form
    is sought, which could pass for expression; settled_sparsity: the same once the form is known, and asymmetry: mm by
    which one side of a pair then moves further than the other by mistake, heavy-tailed since faces also mean it;
    expression_change: mm per frame, lid_change the same of blinks, over in five frames; turn_change: degrees per
    frame; shift_change, depth_change: mm per frame across the image and along the view; gaze, vergence, jaw, neck:
    degrees; shape: its own units.
    For heads without units: free_jaw instead of jaw, and component: standard deviations of each.
    """

    expression: float = 3.0
    sparsity: float = 0.4
    settled_sparsity: float = 0.2
    asymmetry: float = 0.5
    expression_change: float = 1.5
    lid_change: float = 6.0
    turn_change: float = 4.0
    shift_change: float = 8.0
    depth_change: float = 1.0
    gaze: float = 15.0
    gaze_change: float = 12.0
    vergence: float = 2.5
    jaw: float = 2.0
    jaw_change: float = 1.0
    neck: float = 2.0
    free_jaw: float = 10.0
    free_jaw_change: float = 3.0
    component: float = 1.0
    shape: float = 0.8


class Priors:
    """Quadratic and linear penalties on a sequence, for one identity."""

    def __init__(
        self,
        head: Head,
        identity: Identity,
        weights: PriorWeights,
        gaps: torch.Tensor,
        depth_axis: torch.Tensor | None,
        form_is_free: bool = False,
    ) -> None:
        """gaps [T-1]: frames between neighbours; depth_axis [3]: the one camera's axis, None with several;
        form_is_free: the identity is solved for as well.
        """
        self.weights, self.layout = weights, Layout.of(head)
        if not head.has_units:  # of components with two signs neither is the rarer one
            calm = {"jaw": weights.free_jaw, "jaw_change": weights.free_jaw_change}
            self.weights = replace(weights, **calm, sparsity=0.0, settled_sparsity=0.0)
        self._component = 0.0 if head.has_units else weights.component**-2
        self.motion = unit_motion(head, identity)[list(self.layout.units)]
        lids = torch.tensor([head.expr_names[unit] in LIDS for unit in self.layout.units])
        self._expression_change = torch.where(lids, self.weights.lid_change, self.weights.expression_change)
        self._sparsity = self.motion * (
            self.weights.sparsity if form_is_free else self.weights.settled_sparsity
        )
        pairs = mirrored(head, self.layout)
        # Told that both sides move alike, a form that is sought would take up whatever they do not.
        self._pairs = pairs[:0] if form_is_free else pairs
        self.gaps = gaps.double()
        self._depth_axis = depth_axis

    def add(self, system: SequenceSystem, values: torch.Tensor, turns: torch.Tensor) -> None:
        """Add to a system around values [T,P]; turns [T-1,3] take each frame's head to the next one's."""
        precision, target = self._static(), torch.zeros_like(values[0])
        system.diagonal += precision
        system.gradient += (values - target) @ precision
        system.gradient[:, self.layout.expr] += self._sparsity
        self._add_asymmetry(system, values)
        if len(values) > 1:
            self._add_changes(system, values, turns)

    def cost(self, values: torch.Tensor, turns: torch.Tensor) -> float:
        """The penalty whose derivatives `add` adds."""
        total = 0.5 * ((values @ self._static()) * values).sum()
        total = total + (values[:, self.layout.expr] @ self._sparsity).sum()
        total = total + 0.5 * torch.log1p((self._uneven(values)[0] / self.weights.asymmetry).square()).sum()
        if len(values) > 1:
            change = self._changes(values, turns)
            total = total + 0.5 * ((change @ self._change_precision()) * change / self.gaps[:, None]).sum()
        return float(total)

    def _static(self) -> torch.Tensor:
        w, layout = self.weights, self.layout
        diagonal = torch.zeros(layout.count, dtype=torch.float64)
        diagonal[layout.expr] = (self.motion / w.expression) ** 2 + self._component
        diagonal[layout.jaw] = _per_degree(w.jaw)
        diagonal[layout.neck] = _per_degree(w.neck)
        diagonal[layout.eyes] = _per_degree(w.gaze)
        precision = torch.diag(diagonal)
        # Eyes turn together: the difference of their pitches and of their yaws is small.
        start = layout.eyes.start
        for entry, width in ((0, 0.5 * w.vergence), (1, w.vergence)):
            pair = torch.zeros(layout.count, dtype=torch.float64)
            pair[start + entry], pair[start + 2 + entry] = 1, -1
            precision += _per_degree(width) * pair[:, None] * pair[None, :]
        return precision

    def _uneven(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How much further [T,K] mm the left of each pair moves than the right, and the motion [K] of a pair at 1."""
        left, right = self._pairs.T
        first = self.layout.expr.start
        motion = (self.motion[left - first] + self.motion[right - first]) / 2
        return motion * (values[:, left] - values[:, right]), motion

    def _add_asymmetry(self, system: SequenceSystem, values: torch.Tensor) -> None:
        left, right = self._pairs.T
        uneven, motion = self._uneven(values)
        precision = 1 / (self.weights.asymmetry**2 + uneven.square())
        curvature = precision * motion.square()
        system.diagonal[:, left, left] += curvature
        system.diagonal[:, right, right] += curvature
        system.diagonal[:, left, right] -= curvature
        system.diagonal[:, right, left] -= curvature
        system.gradient[:, left] += precision * uneven * motion
        system.gradient[:, right] -= precision * uneven * motion

    def _change_precision(self) -> torch.Tensor:
        w, layout = self.weights, self.layout
        diagonal = torch.zeros(layout.count, dtype=torch.float64)
        diagonal[0:3] = _per_degree(w.turn_change)
        diagonal[layout.expr] = (self.motion / self._expression_change) ** 2
        diagonal[layout.jaw] = _per_degree(w.jaw_change)
        diagonal[layout.neck] = _per_degree(w.turn_change)
        diagonal[layout.eyes] = _per_degree(w.gaze_change)
        precision = torch.diag(diagonal)
        across, along = (1e3 / w.shift_change) ** 2, (1e3 / w.depth_change) ** 2
        move = across * torch.eye(3, dtype=torch.float64)
        if self._depth_axis is not None:
            move += (along - across) * self._depth_axis[:, None] * self._depth_axis[None, :]
        precision[3:6, 3:6] = move
        return precision

    def _changes(self, values: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        change = values[1:] - values[:-1]
        return torch.cat([turns, change[:, 3:]], 1)

    def _add_changes(self, system: SequenceSystem, values: torch.Tensor, turns: torch.Tensor) -> None:
        precision = self._change_precision() / self.gaps[:, None, None]
        push = (precision @ self._changes(values, turns)[..., None])[..., 0]
        system.diagonal[1:] += precision
        system.diagonal[:-1] += precision
        system.lower -= precision
        system.gradient[1:] += push
        system.gradient[:-1] -= push


def mirrored(head: Head, layout: Layout) -> torch.Tensor:
    """Columns [K,2] of the units of the left and the right side that faces mostly move alike.

    Not of lids, which wink, nor of jaw and mouth as a whole, which go to one side or the other.
    """
    at = {head.expr_names[unit]: layout.expr.start + place for place, unit in enumerate(layout.units)}
    sides = [
        (name, name.removesuffix("Left") + "Right")
        for name in at
        if name.endswith("Left") and name not in (*LIDS, *SIDEWAYS)
    ]
    pairs = [(at[left], at[right]) for left, right in sides if right in at]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def unit_motion(head: Head, identity: Identity) -> torch.Tensor:
    """How far each unit at 1 moves what it moves, [E] mm: root mean square weighted towards the moved."""
    zero = identity.rest.new_zeros(1, len(head.expr_names))
    moved = identity.expr_basis.norm(dim=-1)
    if head.has_units:
        jaw = head.unit("jawOpen")
        opened = zero.clone()
        opened[0, jaw] = 1
        moved[jaw] = (identity.pose(opened) - identity.pose(zero))[0].norm(dim=-1)
    moved = moved[:, head.regions["face"]] * 1e3
    squared = moved * moved
    return ((squared * squared).sum(1) / squared.sum(1).clamp_min(1e-12)).sqrt().clamp_min(0.05)


def growth(head: Head, basis: torch.Tensor | None, spread: float | None, count: int) -> torch.Tensor:
    """By how much, in log units over `spread`, each of `count` directions [count,V,3] of a rest mesh enlarges the face.

    Zeros without directions or spread.
    """
    if basis is None or spread is None:
        return torch.zeros(count, dtype=torch.float64)
    face = head.regions["face"]
    places = head.template[face].double()
    places = places - places.mean(0)
    return (basis[:, face].double() * places).sum((1, 2)) / places.square().sum() / spread


def _per_degree(degrees: float) -> float:
    """Precision in 1/radian² of a spread in degrees."""
    return (180 / (torch.pi * degrees)) ** 2
