"""Drive one person's head with another's motion: relative to each one's neutral, lips kept shut."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams, Identity
from emoga.motion.motion import Motion
from emoga.motion.neutral import estimate_neutral, lip_gap, resting_gap

POSES = ("relative", "absolute", "still")
# Beyond the resting gap, metres: below the first value lips count as shut, above the second as open.
SHUT, OPEN = 0.0005, 0.002
SPEECH_SECONDS = 0.4
LIP_PARTING_UNITS = (
    "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel",
)  # fmt: skip
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
) -> HeadParams:
    """Parameters that make `person` do what the driver of `motion` does.

    calibrate: subtract the driver's neutral and add the person's. pose: "relative" carries the driver's head
    movement about his "mean" or "first" pose (`reference`) to the person's own mean pose; "absolute" takes
    the poses as they are; "still" keeps the person's mean pose. offset [T,E] or [E] is added before
    clamping, such as an emotion's. Frames in which the driver's lips are shut stay shut; an offset may
    open them only where he is not speaking. Raises InputError when the motion is for another head.
    """
    check_same_head(motion, head)
    with torch.no_grad():
        source = motion.params
        expr = source.expr
        if calibrate:
            expr = expr - estimate_neutral(head, source) + person.neutral
        if offset is not None:
            expr = expr + offset
        if "jawOpen" in head.expr_names:
            expr = _let_lids_close(expr.clamp(0, 1), head)
            expr = _keep_lips_shut(expr, motion, head, person, offset)
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


def _keep_lips_shut(
    expr: torch.Tensor, motion: Motion, head: Head, person: Person, offset: torch.Tensor | None
) -> torch.Tensor:
    """expr [T,E] with the mouth shut where the driver's is: by the jaw, then by what parts the lips."""
    source = motion.params
    driver = head.identify(source.shape, source.static_offset)
    gap = lip_gap(driver, source.expr, source.jaw)
    excess = gap - resting_gap(driver, gap)
    shut = 1 - _smoothstep(excess, SHUT, OPEN)
    frames = torch.nonzero(shut > 0)[:, 0]
    if not len(frames):
        return expr
    identity = head.identify(person.shape, person.static_offset)
    jaw = source.jaw[frames]
    resting = lip_gap(identity, person.neutral[None])
    limit = resting.expand(len(frames))
    if offset is not None:
        opened = lip_gap(identity, _offset_alone(expr, offset, person)[frames], jaw)
        speaking = _smoothstep(_sliding_maximum(excess, motion.fps * SPEECH_SECONDS), SHUT, OPEN)[frames]
        limit = limit + (1 - speaking) * (opened - resting).clamp_min(0)
    wanted = torch.lerp(lip_gap(identity, expr[frames], jaw), limit, shut[frames])
    closed = _close(identity, expr[frames], jaw, wanted, [head.unit("jawOpen")])
    closed = _close(identity, closed, jaw, wanted, [head.unit(name) for name in LIP_PARTING_UNITS])
    return expr.index_copy(0, frames, closed)


def _let_lids_close(expr: torch.Tensor, head: Head) -> torch.Tensor:
    """Fade widened eyes out of expr [T,E] as they blink: a surprised face still shuts its lids."""
    expr = expr.clone()
    for side in ("Left", "Right"):
        expr[:, head.unit(f"eyeWide{side}")] *= 1 - expr[:, head.unit(f"eyeBlink{side}")]
    return expr


def _offset_alone(expr: torch.Tensor, offset: torch.Tensor, person: Person) -> torch.Tensor:
    return (person.neutral + offset).expand_as(expr).clamp(0, 1)


def _close(
    identity: Identity, expr: torch.Tensor, jaw: torch.Tensor, wanted: torch.Tensor, units: list[int]
) -> torch.Tensor:
    """Scale some units of expr [T,E] down until the lip gap is at most `wanted` [T], if they can do it."""
    without = expr.clone()
    without[:, units] = 0
    low, high = torch.zeros(len(expr)), torch.ones(len(expr))
    gap_low, gap_high = lip_gap(identity, without, jaw), lip_gap(identity, expr, jaw)
    too_open = gap_high > wanted + 1e-5
    # The gap is nearly linear in the scale: a few secant steps kept inside the bracket are plenty.
    for _ in range(3):
        share = ((wanted - gap_low) / (gap_high - gap_low).clamp_min(1e-9)).clamp(0, 1)
        middle = low + share * (high - low)
        trial = expr.clone()
        trial[:, units] *= middle[:, None]
        gap = lip_gap(identity, trial, jaw)
        above = gap > wanted
        high, gap_high = torch.where(above, middle, high), torch.where(above, gap, gap_high)
        low, gap_low = torch.where(above, low, middle), torch.where(above, gap_low, gap)
    closed = expr.clone()
    closed[:, units] *= torch.where(too_open, low, torch.ones_like(low))[:, None]
    return closed


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
    u, _, vh = torch.linalg.svd(axis_angle_to_matrix(params.rotation).mean(0))
    signs = torch.diag(torch.tensor([1.0, 1.0, float(torch.sign(torch.linalg.det(u @ vh)))]).to(u))
    return u @ signs @ vh, params.neck.mean(0), params.translation.mean(0)


def _face_height(head: Head, shape: torch.Tensor) -> torch.Tensor:
    """Metres between the top of the forehead and the chin, of the rest mesh; the extent where unnamed."""
    rest = head.template + torch.tensordot(shape, head.shape_basis, 1)
    if "mediapipe478" not in head.landmarks:
        return (rest.amax(0) - rest.amin(0))[1]
    points = head.landmarks["mediapipe478"].points(rest)
    return (points[FOREHEAD] - points[CHIN]).norm()


def _smoothstep(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _sliding_maximum(values: torch.Tensor, radius: float) -> torch.Tensor:
    """Largest of values [T] within `radius` frames on either side."""
    reach = max(1, round(radius))
    return torch.nn.functional.max_pool1d(values[None, None], 2 * reach + 1, 1, reach)[0, 0]
