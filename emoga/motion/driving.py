"""Drive one person's head with another's motion: relative to each one's neutral, lips kept shut, emotions on top."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle, nearest_rotation
from emoga.head import Head, HeadParams
from emoga.motion.expressing import Performance, express, mix
from emoga.motion.lips import bring_together, lips_of
from emoga.motion.motion import Motion
from emoga.motion.neutral import estimate_neutral
from emoga.motion.speech import Speech, listen

POSES = ("relative", "absolute", "still")
FOREHEAD, CHIN = 10, 152


@dataclass(frozen=True)
class Person:
    """Whom to drive: shape [S], static_offset [V,3] or None, neutral [E], and his own motion if known."""

    shape: torch.Tensor
    neutral: torch.Tensor
    static_offset: torch.Tensor | None = None
    motion: Motion | None = None


def drive(
    motion: Motion,
    head: Head,
    person: Person,
    *,
    calibrate: bool = True,
    pose: str = "relative",
    reference: str = "mean",
    offset: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> HeadParams:
    """Parameters that make `person` do what the driver of `motion` does.

    calibrate: subtract the driver's neutral and add the person's; the person's own motion without that is
    taken as it is. pose: "relative" carries the driver's head movement about his "mean" or "first" pose
    (`reference`) to the person's own mean pose; "absolute" takes the poses as they are; "still" keeps the
    person's mean pose. offset: what an emotion adds to the expression, [E] or [T,E], see `express`; or those
    of K emotions [K,E], of which each frame gets weights [T,K], see `mix`. Frames in which the driver's lips
    are shut stay shut; an emotion may open them only where he is not speaking.
    Raises InputError when the motion is for another head.
    """
    check_same_head(motion, head)
    with torch.no_grad():
        source = motion.params
        expr = source.expr
        if calibrate:
            expr = expr - estimate_neutral(head, source) + person.neutral
        has_units = "jawOpen" in head.expr_names
        if has_units and not (torch.equal(source.shape, person.shape) and not calibrate):
            expr = _on_another_face(expr, head, person, _speech_of(motion, head), source.jaw)
        if offset is not None:
            lips = lips_of(head.identify(person.shape, person.static_offset))
            performance = Performance(lips, person.neutral, expr, source.jaw, _speech_of(motion, head))
            expr = express(performance, offset) if weights is None else mix(performance, offset, weights)
        rotation, neck, translation = _head_pose(source, head, person, pose, reference)
        return HeadParams(
            person.shape, person.static_offset, expr, rotation, neck, source.jaw, source.eyes, translation
        )


def check_same_head(motion: Motion, head: Head) -> None:
    """InputError unless the motion is for this head model, in this version where it says which."""
    if motion.head_name != head.name:
        raise InputError(
            f"the motion is for the {motion.head_name} head, the avatar has the {head.name} head; "
            "track the driver again with the avatar's head"
        )
    if motion.head_checksum != head.checksum:
        raise InputError(
            f"the motion was made with {head.name} head version {motion.head_version}, the avatar with "
            f"{head.version}; track the driver again"
        )


def _speech_of(motion: Motion, head: Head) -> Speech:
    """When the driver's own lips are shut, and when he speaks."""
    source = motion.params
    lips = lips_of(head.identify(source.shape, source.static_offset))
    return listen(lips, source.expr, source.jaw, motion.fps)


def _on_another_face(
    expr: torch.Tensor, head: Head, person: Person, speech: Speech, jaw: torch.Tensor
) -> torch.Tensor:
    """Another person's expr [T,E] as this one can show it: in range, lids and lips closing where his do."""
    expr = expr.clamp(0, 1)
    for side in ("Left", "Right"):  # widened eyes fade as they blink
        expr[:, head.unit(f"eyeWide{side}")] *= 1 - expr[:, head.unit(f"eyeBlink{side}")]
    frames = torch.nonzero(speech.lips.shut > 0)[:, 0]
    if not len(frames):
        return expr
    lips = lips_of(head.identify(person.shape, person.static_offset))
    limit = lips.gap(person.neutral[None]).expand(len(frames))
    closed = bring_together(lips, expr[frames], jaw[frames], limit, speech.lips.shut[frames])
    return expr.index_copy(0, frames, closed)


def _head_pose(
    source: HeadParams, head: Head, person: Person, pose: str, reference: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """rotation, neck, translation [T,3] for the person."""
    if pose not in POSES:
        raise InputError(f"pose {pose!r} is unknown; known: {', '.join(POSES)}")
    if reference not in ("mean", "first"):
        raise InputError(f"pose reference {reference!r} is unknown; known: mean, first")
    if pose == "absolute":
        return source.rotation, source.neck, source.translation
    own_turn, own_neck, own_place = rest_pose(person)
    count = source.expr.shape[0]
    if pose == "still":
        turn = matrix_to_axis_angle(own_turn).expand(count, 3)
        return turn, own_neck.expand(count, 3), own_place.expand(count, 3)
    frames = slice(None) if reference == "mean" else slice(0, 1)
    turn, neck, place = _mean_pose(source.select(frames))
    carry = own_turn @ turn.T
    rotation = matrix_to_axis_angle(carry @ axis_angle_to_matrix(source.rotation))
    size = _face_height(head, person.shape) / _face_height(head, source.shape)
    translation = own_place + size * (source.translation - place) @ carry.T
    return rotation, source.neck - neck + own_neck, translation


def rest_pose(person: Person) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean head rotation [3,3], neck [3] and translation [3] of the person's own motion, else at rest."""
    if person.motion is None:
        return torch.eye(3), torch.zeros(3), torch.zeros(3)
    return _mean_pose(person.motion.params)


def _mean_pose(params: HeadParams) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    turn = nearest_rotation(axis_angle_to_matrix(params.rotation).mean(0))
    return turn, params.neck.mean(0), params.translation.mean(0)


def _face_height(head: Head, shape: torch.Tensor) -> torch.Tensor:
    """Metres between the top of the forehead and the chin, of the rest mesh; the extent where unnamed."""
    rest = head.template + torch.tensordot(shape, head.shape_basis, 1)
    if "mediapipe478" not in head.landmarks:
        return (rest.amax(0) - rest.amin(0))[1]
    points = head.landmarks["mediapipe478"].points(rest)
    return (points[FOREHEAD] - points[CHIN]).norm()
