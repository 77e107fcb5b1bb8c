"""Lids once more, after gaze and cheeks, which move them too, have been settled by other evidence."""

from __future__ import annotations

import torch

from emoga.optimize.solving import solve
from emoga.optimize.solving_priors import LIDS
from emoga.optimize.solving_state import State
from emoga.tracking.stages import Tracker, training_first

ROUNDS = 4
# What a blink undoes; a squint raises the lower lid, which gaze leaves alone.
WIDER = ("eyeWideLeft", "eyeWideRight")


def lids_as_seen(tracker: Tracker, before: State, state: State) -> State:
    """A state, made from another without solving for lids, with lids that part as far as landmarks do.

    Upper lids follow the gaze. Where detail and portraits move it and blinks stay where landmarks put them, closed
    eyes come open, and open ones narrower. How far rims part is all that counts here: where they lie these units
    cannot mend, and would part them wrongly trying. Nothing else is changed, and nothing at all where the state is the
    one before.
    """
    head = tracker.head
    if state is before or not head.has_units:
        return state
    units = [head.unit(name) for name in (*LIDS, *WIDER)]

    def step(part: State, frames: list[int], fixed: torch.Tensor | None) -> State:
        _, openings = tracker.evidence(part, frames)
        problem = tracker.problem(frames, [openings], shape=False, focal=False)
        problem.fixed, problem.only_units = fixed, units
        return solve(problem, part, ROUNDS)[0]

    return training_first(tracker, state, step)
