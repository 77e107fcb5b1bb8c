"""Choices of views and frames, as of those kept from training: `views:3,9`, `frames:last:20%`, `frames:0-4,17`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from emoga.errors import InputError

FORMS = "write views:3,9 or frames:last:20% or frames:0-4,17"


@dataclass(frozen=True)
class HeldOut:
    """Indices of the held-out views and frames, sorted; faceless: of frames that show no face.

    The head is bridged over those, so nothing is learnt from their pictures, and nothing measured there.
    """

    views: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    faceless: tuple[int, ...] = ()

    def training_views(self, count: int) -> list[int]:
        """The views that train, of `count`."""
        return [index for index in range(count) if index not in self.views]

    def training_frames(self, count: int) -> list[int]:
        """The frames that train, of `count`."""
        left_out = {*self.frames, *self.faceless}
        return [index for index in range(count) if index not in left_out]

    @property
    def tested_frames(self) -> list[int]:
        """The held-out frames that show a face."""
        return [index for index in self.frames if index not in self.faceless]

    def joined(self, other: HeldOut) -> HeldOut:
        """What either leaves out."""
        return HeldOut(
            tuple(sorted({*self.views, *other.views})),
            tuple(sorted({*self.frames, *other.frames})),
            tuple(sorted({*self.faceless, *other.faceless})),
        )


def parse_hold_out(specifications: Sequence[str], view_count: int, frame_count: int) -> HeldOut:
    """Read `--hold-out` values. Raises InputError for unknown forms, indices out of range, or nothing left."""
    views, frames = parse_pictures("--hold-out", specifications, view_count, frame_count)
    if len(views) >= view_count or len(frames) >= frame_count:
        raise InputError("--hold-out leaves nothing to train on; hold out less")
    return HeldOut(views, frames)


def parse_pictures(
    option: str, specifications: Sequence[str], view_count: int, frame_count: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The views and the frames that the values of `option` name, sorted; empty where none name any.

    Raises InputError for unknown forms and indices out of range.
    """
    views: set[int] = set()
    frames: set[int] = set()
    for text in specifications:
        kind, _, rest = text.partition(":")
        if kind == "views":
            views |= _indices(f"{option} {text}", rest, view_count)
        elif kind == "frames":
            frames |= _indices(f"{option} {text}", rest, frame_count)
        else:
            raise InputError(f"{option} {text}: {FORMS}")
    return tuple(sorted(views)), tuple(sorted(frames))


def _indices(written: str, rest: str, count: int) -> set[int]:
    try:
        if rest.startswith("last:"):
            amount = rest.removeprefix("last:")
            share = float(amount[:-1]) / 100 * count if amount.endswith("%") else int(amount)
            # 1e-9 keeps 20% of 150 at 30 despite rounding in the product.
            number = math.ceil(share - 1e-9)
            if not 0 <= number <= count:
                raise ValueError
            return set(range(count - number, count))
        chosen: set[int] = set()
        for part in rest.split(","):
            first, dash, last = part.partition("-")
            low, high = int(first), int(last if dash else first)
            if not 0 <= low <= high:
                raise ValueError
            if high >= count:
                raise InputError(f"{written}: {high} is out of range, there are {count} (0 to {count - 1})")
            chosen |= set(range(low, high + 1))
        return chosen
    except (ValueError, OverflowError):
        raise InputError(f"{written}: {FORMS}") from None
