"""When geometry and when texture is learnt, and how fast: warm-up, then cycles of geometry alone and both in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emoga.emotion.learning.settings import Learning


@dataclass(frozen=True)
class Phase:
    """What a step learns, and in which cycle: 0 is the warm-up; every cycle begins by looking at the edits anew."""

    cycle: int
    geometry: bool
    texture: bool


def phase_at(learning: Learning, progress: float) -> Phase:
    """The phase at a share 0..1 of the run."""
    if progress < learning.warm_up:
        return Phase(0, learning.geometry, learning.texture and not learning.geometry)
    at = (progress - learning.warm_up) / max(1 - learning.warm_up, 1e-9) * learning.cycles
    cycle = min(int(at), learning.cycles - 1)
    alone = learning.geometry and at - cycle < 0.5
    return Phase(1 + cycle, learning.geometry, learning.texture and not alone)


def decay_at(learning: Learning, progress: float) -> float:
    """Factor on all rates: up over a tenth of the warm-up, then exponentially down from 1 to `last_rate`."""
    rise = min(1.0, (progress + 1e-3) / max(0.1 * learning.warm_up, 1e-3))
    return rise * math.exp(math.log(learning.last_rate) * progress)
