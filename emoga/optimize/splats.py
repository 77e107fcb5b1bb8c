"""Gaussians under optimisation with everything that must follow when some are added or removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch

from emoga.avatar.avatar import Gaussians
from emoga.optimize.adam import AdamState, adam_step
from emoga.optimize.carry import Bindings, sort_bindings

PARAMETERS = (
    "means",
    "quats",
    "log_scales",
    "logit_opacities",
    "sh",
)  # what is trained unless said otherwise


@dataclass
class Splats:
    """N trainable Gaussians, their optimiser state, and what density control has gathered about them.

    states: of what is trained, by name. triangles: faces of the head, needed to place bone bindings after them.
    slope [N]: sum of pixel-gradient norms over the `seen` [N] pictures that showed a Gaussian since density
    control last ran.
    """

    gaussians: Gaussians
    states: dict[str, AdamState]
    triangles: int
    slope: torch.Tensor
    seen: torch.Tensor
    _bindings: Bindings | None = None

    @classmethod
    def start(cls, gaussians: Gaussians, triangles: int, trained: Sequence[str] = PARAMETERS) -> Splats:
        """Fresh optimiser state for Gaussians, whose `trained` arrays become leaves that record gradients."""
        leaves = _leaves(gaussians, trained)
        states = {name: AdamState.zeros_like(getattr(leaves, name)) for name in trained}
        zeros = gaussians.means.new_zeros(len(gaussians))
        return cls(leaves, states, triangles, zeros, zeros.clone())

    def __len__(self) -> int:
        return len(self.gaussians)

    @property
    def bindings(self) -> Bindings:
        """Gaussians sorted by what they hang on."""
        if self._bindings is None:
            self._bindings = sort_bindings(self.gaussians.binding, self.triangles)
        return self._bindings

    def select(self, rows: torch.Tensor) -> Splats:
        """Some of the Gaussians with all that belongs to them."""
        return replace(
            self,
            gaussians=_leaves(self.gaussians.select(rows), self.states),
            states={name: state.select(rows) for name, state in self.states.items()},
            slope=self.slope[rows],
            seen=self.seen[rows],
            _bindings=None,
        )

    def extended(self, born: Gaussians) -> Splats:
        """With new Gaussians at the end, whose optimiser state and statistics start afresh."""
        joined = {
            item.name: torch.cat([getattr(self.gaussians, item.name).detach(), getattr(born, item.name)])
            for item in fields(Gaussians)
        }
        zeros = self.slope.new_zeros(len(born))
        return replace(
            self,
            gaussians=_leaves(Gaussians(**joined), self.states),
            states={name: state.extended(len(born)) for name, state in self.states.items()},
            slope=torch.cat([self.slope, zeros]),
            seen=torch.cat([self.seen, zeros]),
            _bindings=None,
        )

    def observe(self, slope: torch.Tensor, visible: torch.Tensor) -> None:
        """Add one picture's pixel-gradient norms [N] of visible [N] Gaussians to the statistics."""
        self.slope.addcmul_(slope, visible.to(slope.dtype))
        self.seen.add_(visible)

    def forget(self) -> None:
        """Start the statistics of density control again."""
        self.slope.zero_()
        self.seen.zero_()

    def update(self, rates: dict[str, float | torch.Tensor], visible: torch.Tensor) -> None:
        """One Adam step for the visible Gaussians from the gradients at hand, which are then cleared."""
        for name, rate in rates.items():
            value = getattr(self.gaussians, name)
            if value.grad is not None:
                adam_step(value, value.grad, self.states[name], rate, visible)
                value.grad = None


def _leaves(gaussians: Gaussians, trained: Iterable[str]) -> Gaussians:
    # In one piece, as the optimiser writes them in place; what was read from a file may lie otherwise.
    return replace(gaussians, **{name: _in_one_piece(getattr(gaussians, name)) for name in trained})


def _in_one_piece(values: torch.Tensor) -> torch.Tensor:
    return values.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
