"""Root: where another model has its origin and turns its heads, for translations that mean the same place."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Root:
    """`shift` [3] metres from a model's own origin to ours, and the regressor [V] of its first joint.

    Such a model turns a head about that joint, emoga about the origin: `translation_from` and `translation_to`
    carry one's translations over to the other's.
    """

    shift: torch.Tensor
    regressor: torch.Tensor

    def _arm(self, rest: torch.Tensor) -> torch.Tensor:
        """From our origin to the first joint [3], for a rest mesh [V,3]."""
        regressor, shift = self.regressor.to(rest), self.shift.to(rest)
        return regressor @ rest + (regressor.sum() - 1) * shift

    def translation_from(
        self, rest: torch.Tensor, turn: torch.Tensor, translation: torch.Tensor
    ) -> torch.Tensor:
        """Our translations [T,3] for the model's, with the head's rotations as matrices [T,3,3]."""
        arm = self._arm(rest)
        return translation + self.shift.to(rest) + arm - turn @ arm

    def translation_to(
        self, rest: torch.Tensor, turn: torch.Tensor, translation: torch.Tensor
    ) -> torch.Tensor:
        """The model's translations [T,3] for ours."""
        arm = self._arm(rest)
        return translation - self.shift.to(rest) - arm + turn @ arm
