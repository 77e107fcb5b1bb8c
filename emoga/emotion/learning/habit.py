"""What pictures of nearly every emotion do to a face beyond what words foretell, and alike: a habit of the editor.

Editors open eyes a little and lift lips, whatever they are asked for. One emotion cannot tell, several can: emotions
differ from one another, and what they have in common is none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from emoga.emotion.learning.registration import Registration
from emoga.emotion.learning.task import Registered, Task

FEWEST = 2  # emotions that can tell
DISSENTERS = 4  # one emotion in so many may have none of it


def habit_of(tasks: Sequence[Task], found: Sequence[Registered]) -> torch.Tensor:
    """The offset [E] that nearly all emotions share beyond what their words stand for, at the strength found of it.

    Of each unit as much as all but a quarter of the emotions have. Emotions of which nothing was found, or of whose
    words nothing is known, do not tell.
    """
    beyond = []
    for task, one in zip(tasks, found, strict=True):
        strength = strength_of(task, one.offset)
        if strength > 0:
            beyond.append(one.offset - strength * torch.from_numpy(task.meant).float())
    if len(beyond) < FEWEST:
        return torch.zeros_like(found[0].offset)
    ordered, dissenters = torch.stack(beyond).sort(0).values, len(beyond) // DISSENTERS
    least, most = ordered[dissenters], ordered[-1 - dissenters]
    return least.clamp(min=0) + most.clamp(max=0)


def strength_of(task: Task, offset: torch.Tensor) -> float:
    """How much an offset [E] has of what the emotion's words stand for; 0 where that is not known, or none of it."""
    if task.meant is None:
        return 0.0
    meant, motion = torch.from_numpy(task.meant).float(), torch.from_numpy(task.motion_mm).float()
    size = float(((motion * meant) ** 2).sum())
    return max(0.0, float((motion**2 * meant * offset).sum()) / size) if size > 0 else 0.0


def shed_habit(registration: Registration) -> None:
    """Take the habit out of all offsets, within bounds, and put it into the editor's face instead."""
    habit = habit_of(registration.tasks, registration.found)
    for e, (task, one) in enumerate(zip(registration.tasks, registration.found, strict=True)):
        if one.offset.any():
            low, high = (torch.from_numpy(end).float() for end in task.bounds)
            offset = torch.minimum(torch.maximum(one.offset - habit, low), high)
            registration.found[e] = replace(one, offset=offset)
    registration.habit = habit
