"""HeadParams: everything that places one person's head in T frames."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from emoga.head.model import Head

JOINTS = ("neck", "jaw", "left_eye", "right_eye")
BONES = ("root", *JOINTS)
PER_FRAME = ("expr", "rotation", "neck", "jaw", "eyes", "translation")


@dataclass
class HeadParams:
    """Identity (shape [S], static_offset [V,3] or None) and motion of T frames.

    expr [T,E] unit weights; rotation, neck, jaw [T,3] axis-angle; eyes [T,6] gaze of the left, then the
    right eyeball, axis-angle in the head's frame; translation [T,3] metres.
    """

    shape: torch.Tensor
    static_offset: torch.Tensor | None
    expr: torch.Tensor
    rotation: torch.Tensor
    neck: torch.Tensor
    jaw: torch.Tensor
    eyes: torch.Tensor
    translation: torch.Tensor

    @classmethod
    def zeros(cls, head: Head, frames: int, dtype: torch.dtype = torch.float32) -> HeadParams:
        """The template head at rest in every frame, on the head's device."""

        def zero(*size: int) -> torch.Tensor:
            return torch.zeros(*size, dtype=dtype, device=head.template.device)

        return cls(
            zero(len(head.shape_names)), None, zero(frames, len(head.expr_names)), zero(frames, 3),
            zero(frames, 3), zero(frames, 3), zero(frames, 6), zero(frames, 3),
        )  # fmt: skip

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.expr.shape[0]

    def select(self, frames: torch.Tensor | slice | list[int]) -> HeadParams:
        """The same person in some of the frames."""
        motion = {name: getattr(self, name)[frames] for name in PER_FRAME}
        return HeadParams(self.shape, self.static_offset, **motion)

    def _map(self, change) -> HeadParams:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return HeadParams(**{k: None if v is None else change(v) for k, v in values.items()})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> HeadParams:
        """A copy on another device or in another float dtype."""
        return self._map(lambda value: value.to(device=device, dtype=dtype))

    def detach(self) -> HeadParams:
        """The same values without gradient history."""
        return self._map(lambda value: value.detach())
