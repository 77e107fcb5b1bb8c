"""What a run that starts from an avatar will take; see plans.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoga.errors import InputError
from emoga_cli.plans import BASE_MEMORY_MB, MEGA, Plan, scaled

if TYPE_CHECKING:
    from emoga.camera import Camera
    from emoga.editing.by_pictures import PictureChoice
    from emoga.editing.together import TogetherChoice
    from emoga.guidance import EditPlan

# Seconds of warp per picture, of learning per iteration and before the first, at 512x512 on four cores.
EDIT_SECONDS, LEARN_SECONDS, LEARN_START = 0.5, 0.3, 60
# Seconds until an edit is learnt from pictures: to begin with, per million pixels, and where it changes shape.
REFIT_START, REFIT_SECONDS, RESHAPE_SECONDS = 5.0, 3.5, 55.0


def plan_optimize_emotion(
    avatar_file: Path,
    track_file: Path,
    emotions: list[str],
    output: Path,
    editor: str,
    iterations: int | None,
    **choices: Any,
) -> Plan:
    """What `emoga optimize-emotion` will do and take; iterations per emotion, None when nothing is learnt.

    choices: of pictures, as `prepare` takes them.
    """
    from emoga.emotion.preparing import prepare

    ready = prepare(avatar_file, track_file, emotions, **choices)
    camera = ready.track.cameras[ready.choice.views[0]]
    pixels, count = camera.width * camera.height, len(ready.choice.pairs)
    names = ", ".join(emotion.name for emotion in ready.emotions)
    steps = [f"read {count} pictures of {camera.width}x{camera.height} ({len(ready.choice.views)} cameras)"]
    seconds = 5 + 0.02 * count
    memory = BASE_MEMORY_MB + 40 * count * pixels * len(emotions) / MEGA
    if iterations is None:
        steps.append(f"write {output}: pictures, masks and prompts for {names}")
        return Plan(steps, scaled(seconds), memory, 2 * count * pixels * len(emotions) / MEGA)
    if editor == "warp":
        seconds += EDIT_SECONDS * len(emotions) * count * pixels / 512**2
        steps.append(f"warp each of them into {names}")
    else:
        steps.append(f"{editor}: each of them into {names}; its own time comes on top")
    learning = LEARN_START + LEARN_SECONDS * iterations * (0.25 + 0.75 * pixels / 512**2)
    seconds += len(emotions) * learning
    steps += [f"learn each emotion in {iterations} iterations", f"write {output}"]
    return Plan(steps, scaled(seconds), memory, 3 * count * pixels * len(emotions) / MEGA + 30)


def plan_reenact(
    avatar_file: str,
    output: str,
    motion: str | None,
    emotion: str | None,
    affect: str | None,
    orbit: str | None,
    camera: Camera | None,
    size: tuple[int, int] | None,
    **span: Any,
) -> Plan:
    """What `emoga reenact` will do and take; span: start, end and fps of the motion."""
    from emoga.avatar import load_avatar
    from emoga.avatar.emotions import emotion_offsets, read_emotions
    from emoga.avatar.rig import avatar_head
    from emoga.reenactment import parse_orbit
    from emoga.reenactment.reenact import motion_to_play

    if avatar_file == "-":
        raise InputError("--dry-run cannot look into stdin; name the avatar file")
    avatar = load_avatar(avatar_file)
    head, count = avatar_head(avatar), len(avatar.gaussians)
    curve = read_emotions(avatar, head, emotion, affect)
    if curve.names:
        emotion_offsets(avatar, head, curve)  # refuses names that nobody knows
    around = None if orbit is None else parse_orbit(orbit)
    frames = motion_to_play(avatar, head, motion, curve, around, **span).frame_count
    width, height = size or ((512, 512) if camera is None else (camera.width, camera.height))
    pixels = width * height
    steps = [f"draw {frames} frames of {width}x{height} from {count} Gaussians", f"write {output}"]
    seconds = 3 + frames * (0.002 + 0.05e-6 * count + 0.006 * pixels / 512**2)
    in_the_making = (os.cpu_count() or 1) * (400 * count + 40 * pixels)
    memory = BASE_MEMORY_MB + (800 * count + in_the_making) / MEGA
    return Plan(steps, scaled(seconds), memory, frames * pixels * 0.08 / MEGA)


def plan_edit(
    avatar_file: Path,
    output: Path | None,
    made: EditPlan,
    choice: PictureChoice | TogetherChoice | None,
    write_edits: Path | None,
) -> Plan:
    """What `emoga edit` will do and take: by formulas, or with a choice of pictures to edit, or to write."""
    from emoga.avatar import load_avatar
    from emoga.editing.choosing import pictures_to_edit
    from emoga.editing.foretelling import foretell
    from emoga.guidance import open_editor

    avatar, steps = load_avatar(avatar_file), _steps(made)
    count = len(avatar.gaussians)
    memory, disk = BASE_MEMORY_MB + 4000 * count / MEGA, 3 * 250 * count / MEGA
    if choice is None:
        seconds = 2 + (1 + len(made.operations)) * 1e-5 * count
        return Plan([*steps, f"write {output}"], seconds, memory, disk)
    editor = None if write_edits is not None else open_editor(choice.editor, **choice.options)
    sides = pictures_to_edit(avatar, choice, getattr(editor, "size", 0))
    pixels = sum(width * height for width, height in sides)
    memory += 60 * pixels / MEGA
    if editor is None:
        steps.append(f"write {write_edits}: {len(sides)} pictures and masks")
        return Plan(steps, scaled(5 + 0.1 * len(sides)), memory, 2 * pixels / MEGA)
    steps += [
        f"{choice.editor}: {len(sides)} pictures; its own time and memory come on top",
        "learn what they agree on",
        f"write {output}",
    ]
    foretold = foretell(avatar, made)
    moves = foretold is None or foretold.move is not None
    return Plan(steps, REFIT_START + REFIT_SECONDS * pixels / 1e6 + moves * RESHAPE_SECONDS, memory, disk)


def plan_undo(avatar_file: Path, output: Path) -> Plan:
    """What `emoga edit --undo` will do."""
    from emoga.editing.edit import parent_of

    parent = parent_of(avatar_file)
    return Plan([f"write {output}: {parent}"], 1.0, BASE_MEMORY_MB, parent.stat().st_size / MEGA)


def _steps(made: EditPlan) -> list[str]:
    return [*(operation.words() for operation in made.operations), *made.remarks()]
