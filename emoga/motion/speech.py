"""Speech: how far a performance parts lips and teeth in words, and how far an emotion may part them with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.motion.lips import TRACKING_SLACK, Lips, resting_gap

# Beyond rest, metres: below the first value lips and teeth count as shut, above the second as open.
SHUT, OPEN = 0.0005, 0.002
EAGER = 6.0  # metres that an emotion adds at most to each metre by which speech parts lips or teeth
# Metres more that count as parted of teeth, which trackers see through the lips only: an emotion adds three millimetres
# at most to teeth that words bring together.
TEETH_APART = 0.0005
# Seconds from a parting: up to the first it is all one word, from the second on it is silence.
WITHIN_WORDS, SILENCE = 0.2, 0.5


@dataclass(frozen=True)
class Parting:
    """How T frames part lips or teeth: apart [T], metres beyond rest; free [T], metres of it that an emotion can
    build on; words [T], 1 within words, 0 in silence."""

    apart: torch.Tensor
    free: torch.Tensor
    words: torch.Tensor

    def select(self, frames: torch.Tensor | slice | list[int]) -> Parting:
        """Some of the frames."""
        return Parting(self.apart[frames], self.free[frames], self.words[frames])

    @property
    def shut(self) -> torch.Tensor:
        """1 where they touch, 0 where they are apart, [T]."""
        return 1 - _smoothstep(self.apart, SHUT, OPEN)

    def held(self, opening: torch.Tensor) -> torch.Tensor:
        """How far words keep an emotion from parting them by `opening` [T] metres: 1 where none is free, 0 where apart.

        The wider it parts them the later they let go of it, or a mouth that hardly moves in words would snap open.
        Still a stronger emotion never shows less: opening * (1 - held), what is let through, only grows.
        """
        return (1 - self._freed(opening)) ** 2

    def let_through(self, opening: torch.Tensor) -> torch.Tensor:
        """What shows of one metre more in words, [T] in 0..1, where an emotion parts them by `opening` [T] metres."""
        return self._freed(opening) ** 2

    def _freed(self, opening: torch.Tensor) -> torch.Tensor:
        """How far words have come, [T] in 0..1, on the way to letting an emotion part them as it likes."""
        return (EAGER * self.free / (2 * opening).clamp_min(1e-9)).clamp_max(1)


@dataclass(frozen=True)
class Speech:
    """How T frames use lips and teeth: a word that shuts either keeps them so under an emotion."""

    lips: Parting
    teeth: Parting

    def select(self, frames: torch.Tensor | slice | list[int]) -> Speech:
        """Some of the frames."""
        return Speech(self.lips.select(frames), self.teeth.select(frames))


@torch.no_grad()
def listen(lips: Lips, expr: torch.Tensor, jaw: torch.Tensor, fps: float) -> Speech:
    """The speech of a whole motion of the person with these lips: expr [T,E], jaw [T,3]."""
    gap, gap_of_jaw = lips.gap(expr, jaw), lips.gap_of_jaw(expr)
    parted = gap - resting_gap(lips, gap)
    opened = gap_of_jaw - torch.quantile(gap_of_jaw, 0.02).clamp_max(TRACKING_SLACK)
    beyond, soft = (parted - SHUT).clamp_min(0), OPEN - SHUT
    surely = torch.where(beyond < soft, beyond**2 / (2 * soft), beyond - soft / 2)
    return Speech(
        Parting(parted, surely, _around(_smoothstep(parted, SHUT, OPEN), fps)),
        Parting(opened, opened.clamp_min(0) + TEETH_APART, _around(_smoothstep(opened, SHUT, OPEN), fps)),
    )


def _smoothstep(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _around(values: torch.Tensor, fps: float) -> torch.Tensor:
    """Largest of values [T] in 0..1 within words of each frame; farther ones fade with time until silence."""
    reach = max(1, round(fps * SILENCE))
    away = torch.arange(-reach, reach + 1, device=values.device).abs().to(values) / fps
    fade = 1 - _smoothstep(away, WITHIN_WORDS, SILENCE)
    near = torch.nn.functional.pad(values, (reach, reach)).unfold(0, 2 * reach + 1, 1)
    return (near * fade).amax(1)
