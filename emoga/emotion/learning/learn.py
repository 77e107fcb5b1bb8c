"""`learn_emotions`: an avatar learns emotions it never showed from noisy edits that disagree with each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.avatar import Emotion
from emoga.avatar.conversion import with_emotion_rows
from emoga.capture import Track
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from emoga.emotion.learning.lesson import Body, Lesson
from emoga.emotion.learning.performing import Frames
from emoga.emotion.learning.registration import Registration
from emoga.emotion.learning.report import FAILED, EmotionLearnt, LearnReport
from emoga.emotion.learning.settings import Learning
from emoga.emotion.learning.surface import skin_points
from emoga.emotion.learning.training import Trainer
from emoga.emotion.learning.weighting import check_weights
from emoga.emotion.shading import blood
from emoga.errors import InputError
from emoga.head import Head
from emoga.kernels import torch_on_one_thread
from emoga.motion.driving import check_same_head
from emoga.motion.motion import motion_of_track
from emoga.optimize.adam import AdamState
from emoga.optimize.backdrop import backdrops
from emoga.optimize.carry import sort_bindings
from emoga.optimize.emotion_colors import residual_sh
from emoga.optimize.frame_params import frame_params
from emoga.optimize.perceptual import load_perceptual, stack_note
from emoga.optimize.solving_priors import unit_motion
from emoga.progress import Note, Reporter, Stage, silent
from emoga.render import SH_C0

__all__ = ["learn_emotions"]

COARSE_POINTS = 3000
DEFAULT = Learning()
LARGEST_UNITS = 12


@torch_on_one_thread()
def learn_emotions(
    avatar: Avatar,
    track: Track,
    edits: Sequence[EmotionEdits],
    learning: Learning = DEFAULT,
    *,
    seed: int = 0,
    weights: Sequence[np.ndarray] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    report: Reporter = silent,
) -> tuple[Avatar, LearnReport]:
    """Learn a shared expression offset, and colours, for each emotion of `edits`, all in one run.

    weights: given ones [P,H,W] float32, one array per emotion, for weighting "given". checkpoint: file for the
    state, written along the way and removed at the end; resume continues from it to the same arrays.

    The avatar that comes back shows what the given one shows wherever no emotion has any weight. One that knows
    emotions already keeps their offsets; as all share one network, learning more may change their colours a little.
    Raises InputError for edits that fit neither the track nor each other, an avatar of another head, and a form of
    colours that the avatar's are not.
    """
    started = time.monotonic()
    given = check_weights(learning, edits, weights)
    _check(avatar, track, edits)
    trainer = _prepare(avatar, track, edits, learning, given, seed)
    identity = fingerprint(avatar, track, edits, learning, seed, weights)
    if resume and checkpoint is not None and checkpoint.exists():
        load_checkpoint(trainer, identity, checkpoint)
        report(Note(f"resumed at step {trainer.iteration} of {trainer.total}"))
    else:
        trainer.register(report)
    report(Stage("learn emotions", trainer.total))
    while trainer.iteration < trainer.total:
        every = learning.checkpoint_every
        trainer.run(min((trainer.iteration // every + 1) * every, trainer.total), report)
        if checkpoint is not None:
            save_checkpoint(trainer, identity, checkpoint)
    learnt = _finished(avatar, trainer)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    found = [_told(trainer, index) for index in range(len(edits))]
    notes = [_note(one, len(part)) for one, part in zip(found, edits, strict=True) if one.failed]
    perceptual = trainer.perceptual
    if perceptual is not None:
        notes.append(stack_note(perceptual))
    for note in notes:
        report(Note(note))
    stack = "none" if perceptual is None else perceptual.name
    seconds = round(time.monotonic() - started, 2)
    return learnt, LearnReport(seconds, found, trainer.iteration, stack, notes)


def _check(avatar: Avatar, track: Track, edits: Sequence[EmotionEdits]) -> None:
    if not edits:
        raise InputError("no edits to learn from")
    names = [one.name for one in edits]
    if len(set(names)) != len(names):
        raise InputError(f"emotions {', '.join(names)}: each may be learnt once")
    units = track.params.expr.shape[1]
    for one in edits:
        if one.meant is not None and len(one.meant) != units:
            raise InputError(
                f"edits of {one.name}: {len(one.meant)} units are meant, the track's head has {units}"
            )
        height, width = one.masks.shape[1:]
        for view, frame in one.pairs:
            if not (0 <= view < len(track.cameras) and 0 <= frame < track.frame_count):
                raise InputError(
                    f"edits of {one.name}: view {view}, frame {frame} is not in the track, which has "
                    f"{len(track.cameras)} views and {track.frame_count} frames"
                )
            camera = track.cameras[view]
            if (camera.width, camera.height) != (width, height):
                raise InputError(
                    f"edits of {one.name}: pictures are {width}x{height}, camera {view} of the track "
                    f"{camera.width}x{camera.height}"
                )


def _prepare(
    avatar: Avatar,
    track: Track,
    edits: Sequence[EmotionEdits],
    learning: Learning,
    given: Sequence[np.ndarray | None],
    seed: int,
) -> Trainer:
    base, names = avatar, [one.name for one in edits]
    if learning.texture:
        base = with_emotion_rows(base, names, seed)
        if learning.form not in (None, base.appearance.form):
            raise InputError(
                f"colours of the form {learning.form!r} are to be learnt, the avatar's are {base.appearance.form!r}; "
                "an absolute network is fitted with the avatar, by emoga fit --appearance color_mlp"
            )
    used = sorted({frame for one in edits for frame in one.frames.tolist()})
    params = frame_params(avatar, track)
    frames = Frames.of(base, params, used, track.fps)
    puppet = frames.puppet
    check_same_head(motion_of_track(track), puppet.head)
    rest = puppet.identity.rest.double().numpy()
    # About one point per pixel of the face, which fills a good third of a picture.
    count = int(np.clip(0.2 * edits[0].masks[0].size, 2000, 24_000))
    skin = skin_points(puppet.head, rest, count, seed)
    body = Body(
        frames,
        track.cameras,
        skin,
        skin_points(puppet.head, rest, COARSE_POINTS, seed),
        unit_motion(puppet.head, puppet.identity).double().numpy(),
        _bounds(puppet.head, frames),
        skin.on_mesh(blood(puppet.head)[:, None])[:, 0],
    )
    lessons = [Lesson.begin(body, one, used, learning, own) for one, own in zip(edits, given, strict=True)]
    tasks = [lesson.task(learning) for lesson in lessons]
    shape = (len(body.motion_mm),) if learning.shared_offset else (len(used), len(body.motion_mm))
    offsets = [torch.zeros(shape) for _ in edits]
    states = {
        f"offset {i}": AdamState.zeros_like(offset.reshape(-1, shape[-1])) for i, offset in enumerate(offsets)
    }
    mlp, latents = base.appearance if learning.texture else None, base.gaussians.latents.float()
    rows = [base.emotions[name].embedding if mlp is not None else 0 for name in names]
    if mlp is not None:
        for name, value in {**mlp.weights(), "latents": latents}.items():
            states[name] = AdamState.zeros_like(value.reshape(len(value), -1))
    colors = backdrops(track)[0]
    bindings = sort_bindings(puppet.gaussians.binding, puppet.head.faces.shape[0])
    unwinding = learning.debias
    registration = Registration.begin(tasks, rest, unwinding)
    trainer = Trainer(
        body, lessons, learning, registration, bindings, colors, seed, mlp, latents, offsets, states, rows
    )
    trainer.perceptual = load_perceptual() if learning.perceptual else None
    return trainer


def _bounds(head: Head, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest offset [E]: what frames show may be taken away, on average; gaze is no emotion.

    Nor is a tongue, which no point of the skin speaks for.
    """
    expr = frames.performance.expr
    if "jawOpen" not in head.expr_names:  # components with two signs, in standard deviations
        return np.full(expr.shape[1], -3.0), np.full(expr.shape[1], 3.0)
    low, high = -expr.mean(0).double().numpy(), np.ones(expr.shape[1])
    for held in (head.gaze_units, head.unit("tongueOut")):
        low[held], high[held] = 0, 0
    return np.minimum(low, 0), high


@torch.no_grad()
def _finished(avatar: Avatar, trainer: Trainer) -> Avatar:
    """The avatar with its emotions; Gaussians, neutral and motion are those of the given one."""
    emotions = dict(avatar.emotions)
    for index, lesson in enumerate(trainer.lessons):
        offset = trainer.offsets[index]
        offset = offset if offset.dim() == 1 else offset.mean(0)
        emotions[lesson.edits.name] = Emotion(offset.clone(), trainer.rows[index])
    gaussians = avatar.gaussians
    if trainer.mlp is not None:
        gaussians = replace(gaussians, latents=trainer.latents.detach().clone())
    appearance = avatar.appearance if trainer.mlp is None else trainer.mlp.detach()
    return replace(
        avatar, gaussians=gaussians, emotions=dict(sorted(emotions.items())), appearance=appearance
    )


@torch.no_grad()
def _told(trainer: Trainer, index: int) -> EmotionLearnt:
    lesson, body = trainer.lessons[index], trainer.body
    offset = trainer.offsets[index]
    offset = offset if offset.dim() == 1 else offset.mean(0)
    by_motion = np.argsort(-np.abs(offset.numpy()) * body.motion_mm, kind="stable")[:LARGEST_UNITS]
    names = body.frames.puppet.head.expr_names
    trust = lesson.consensus.trust
    change = torch.zeros(1)
    if trainer.mlp is not None:
        mixture = torch.nn.functional.one_hot(torch.tensor(trainer.rows[index]), trainer.mlp.rows)
        change = 255 * SH_C0 * residual_sh(trainer.mlp, trainer.latents, mixture)[:, 0].abs()
    return EmotionLearnt(
        name=lesson.edits.name,
        loss=trainer.losses.get(index, float("nan")),
        strengths=[round(float(value), 3) for value in lesson.registered.strengths],
        weights=[round(float(value), 3) for value in trust],
        failed=[pair for pair, value in zip(lesson.edits.pairs, trust, strict=True) if value < FAILED],
        units={names[unit]: round(float(offset[unit]), 3) for unit in by_motion if offset[unit] != 0},
        color_mean=round(float(change.mean()), 3),
        color_max=round(float(change.max()), 3),
    )


def _note(found: EmotionLearnt, count: int) -> str:
    named = ", ".join(f"{view}/{frame}" for view, frame in found.failed[:8])
    more = ", …" if len(found.failed) > 8 else ""
    return (
        f"{found.name}: {len(found.failed)} of {count} edits agree with no other and hardly count "
        f"(view/frame {named}{more})"
    )
