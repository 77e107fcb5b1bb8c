"""The ablations: each choice of the optimisation changed alone, on the same edits.

Colours by a network that was trained with the avatar need a fit of their own: `--appearance color_mlp`.
"""

from __future__ import annotations

from emotion_methods import Method

REGULARISERS = (
    "motion_prior", "drift", "debias", "detail", "registered", "anchored", "strengths", "named", "lengthened", "habit",
)  # fmt: skip
ABLATIONS = (
    Method("ours"),
    Method("geometry only", choices={"texture": False}),
    Method("texture only", choices={"geometry": False}),
    Method("offset per frame", choices={"shared_offset": False}),
    Method("even weights", choices={"weighting": "even"}),
    Method("view weights", choices={"weighting": "views"}),
    Method("hard masks", masks="hard"),
    Method("soft masks", masks="soft"),
    *(Method(f"without {name}", choices={name: False}) for name in REGULARISERS),
)
