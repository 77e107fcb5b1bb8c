"""A torso mostly at rest: what turns a head is its neck, which the face alone does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, nearest_rotation
from emoga.head import HeadParams, over_torso
from emoga.optimize.solving_state import State
from emoga.tracking.stages import Tracker

SETTLES = 2.0  # seconds over which a torso follows where its head looks
REACH = np.radians(40.0)  # by which a neck turns; the torso does the rest


def torso_at_rest(tracker: Tracker, state: State) -> State:
    """The state with every head where it is, turned by its neck as far as its torso stays behind.

    To landmarks it is all one whether neck or torso turns a face, and a prior on the neck leaves it all to the torso:
    shoulders then swing with every glance, and the skin of the neck, which does not, is looked for where it is not.
    Only where several cameras stand around somebody: a single one may itself be what moves. Heads whose form follows
    the neck's turn are left alone, for their faces would move.
    """
    if len(tracker.clip.views) == 1 or tracker.head.pose_basis is not None:
        return state
    seconds = np.asarray(tracker.clip.frames) / tracker.clip.capture.fps
    params, joint = state.params, tracker.identity(state).joints[0]
    torsos = torso_turns(params, seconds, tracker.clip.training_frames)
    return replace(state, params=over_torso(params, torsos, joint))


def torso_turns(params: HeadParams, seconds: np.ndarray, known: Sequence[int]) -> torch.Tensor:
    """Turns [T,3,3] of a torso that follows the head's, seen at `seconds` [T], as slowly as torsos do.

    known: frames whose heads it follows; what is held out tells others nothing.
    """
    heads = axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck)
    followed, times = heads[list(known)], seconds[list(known)]
    means = torch.stack([_around(followed, (times - moment) / SETTLES) for moment in seconds])
    neck = matrix_to_axis_angle(nearest_rotation(means).mT @ heads)
    within = (REACH / neck.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp(max=1.0)
    return heads @ axis_angle_to_matrix(neck * within).mT


def _around(turns: torch.Tensor, apart: np.ndarray) -> torch.Tensor:
    """The sum [3,3] of turns [T,3,3], each weighted by how near in time it is; the nearest always counts."""
    further = apart**2 - (apart**2).min()
    return torch.tensordot(torch.from_numpy(np.exp(-0.5 * further)).to(turns), turns, 1)
