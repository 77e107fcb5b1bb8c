"""What learning found out about the edits and the emotions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

FAILED = 0.3  # trust below which a picture counts as failed


@dataclass(frozen=True)
class EmotionLearnt:
    """One emotion.

    loss: of its last pictures. strengths, weights: of each picture, in the order of the edits: how strongly it plays
    the emotion, one for fully, and what of it is believed, 0..1. failed: (view, frame) of pictures hardly believed.
    units: the offset's largest units by their motion, weight at full strength. color_mean, color_max: change of the
    Gaussians' colours in steps of 8 bits.
    """

    name: str
    loss: float
    strengths: list[float]
    weights: list[float]
    failed: list[tuple[int, int]]
    units: dict[str, float]
    color_mean: float
    color_max: float


@dataclass(frozen=True)
class LearnReport:
    """seconds; emotions; perceptual: what compared patches, or none; notes for the user."""

    seconds: float
    emotions: list[EmotionLearnt]
    iterations: int
    perceptual: str = "none"
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
