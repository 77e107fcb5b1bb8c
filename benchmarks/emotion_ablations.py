"""The ablations: each choice of the optimisation changed alone, on the same edits."""

from __future__ import annotations

from emotion_methods import Method

ABLATIONS = (
    Method("ours"),
    Method("geometry only", choices={"texture": False}),
    Method("texture only", choices={"geometry": False}),
)
