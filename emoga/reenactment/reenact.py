"""reenact: an avatar driven by its own or another's motion, by emotions and cameras, to video or pictures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emoga.avatar import Avatar, load_avatar
from emoga.avatar.emotions import Emotions, read_emotions
from emoga.avatar.rig import avatar_head
from emoga.avatar.score import (
    STILL_SECONDS,
    Score,
    cut,
    in_its_light,
    own_motion,
    person_of,
    resampled,
    still_motion,
    write_score,
)
from emoga.camera import Camera
from emoga.errors import InputError
from emoga.head import Head
from emoga.images import to_uint8
from emoga.motion import Motion, read_motion
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.playback import Player
from emoga.progress import Reporter, Stage, Step, silent
from emoga.reenactment.cameras import Orbit, fitted_camera, orbited, parse_orbit, portrait_camera, swing
from emoga.reenactment.drawing import draw_in_order
from emoga.reenactment.outputs import (
    FrameSink,
    WriteAhead,
    check_reenact_output,
    is_video,
    open_sink,
    straight_alpha,
)
from emoga.reenactment.playing import play_into
from emoga.render import Rendering
from emoga.render.gsplat_kernels import resolve_device

Pose = Literal["auto", "relative", "absolute", "still"]
WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
MAX_SIDE = 8192


@dataclass(frozen=True)
class Reenactment:
    """What `reenact` made: where, how many frames (and how many of them were drawn now), how fast."""

    output: str
    frames: int
    drawn: int
    fps: float
    width: int
    height: int
    seconds: float


def reenact(
    avatar: Avatar | str | Path,
    output: str | Path,
    *,
    motion: Motion | str | Path | None = "own",
    emotion: Emotions | str | None = None,
    valence_arousal: str | None = None,
    orbit: Orbit | str | None = None,
    camera: Camera | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    start: int = 0,
    end: int | None = None,
    background: Sequence[float] | None = None,
    calibrate: bool = True,
    pose: Pose = "auto",
    pose_reference: Literal["mean", "first"] = "mean",
    audio_from: str | Path | None = None,
    mark: bool = True,
    backend: str = "auto",
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
) -> Reenactment:
    """Draw an avatar doing what a motion and emotions say.

    avatar: the record or its file. output: .mp4, .y4m, "-" (y4m on stdout), or a folder of PNG pictures.
    motion: "own", a record, anything `read_motion` reads, or None for the neutral face held still.
    emotion: weights over named emotions, also over time, see `parse_emotion`; or valence_arousal: a place
    between them, "0.6,0.3" or over time "0,0@0s;0.8,0.5@2s", see `affect_weights`. orbit: see `parse_orbit`.
    camera: default is a portrait of the head; size (width, height): default the camera's, else 512x512.
    start, end: frames of the motion. background: sRGB 0..1, default white in videos and transparent in
    PNG pictures. calibrate: subtract the driver's neutral face and add the avatar's own. pose: "auto" is
    "absolute" for the avatar's own motion and "relative" for another's, see `drive`. audio_from: a video
    whose sound goes into the mp4. mark: metadata says that the pictures are synthetic. resume: go on with
    a folder of pictures.

    Raises InputError for bad input, MissingComponent for a GPU that cannot be used, before anything is written.
    """
    began = time.perf_counter()
    device = resolve_device(device)
    check_reenact_output(output, overwrite, resume, audio_from is not None)
    if not isinstance(avatar, Avatar):
        avatar = load_avatar(avatar)
    head = avatar_head(avatar)
    orbit = parse_orbit(orbit) if isinstance(orbit, str) else orbit
    curve = read_emotions(avatar, head, emotion, valence_arousal)
    own = _is_own(avatar, motion)
    source = motion_to_play(avatar, head, motion, curve, orbit, start=start, end=end, fps=fps)
    if pose == "auto":
        pose = "absolute" if own else "still" if motion is None else "relative"
    score = write_score(
        avatar,
        head,
        source,
        curve,
        calibrate=calibrate and not own and motion is not None,
        pose=pose,
        pose_reference=pose_reference,
    )
    avatar = in_its_light(avatar, score.params)
    cameras = _cameras(avatar, head, camera, size, orbit, score)
    shape = (cameras[0].width, cameras[0].height)
    colour = _background(output, background)
    plan = _plan(avatar, score, cameras, colour)
    with open_sink(
        output, score.fps, shape, mark=mark, overwrite=overwrite, resume=resume, plan=plan,
        audio_from=audio_from,
    ) as sink:  # fmt: skip
        if device == "cuda":
            drawn = play_into(sink, Player(avatar, device, backend), score, cameras, colour, report)
        else:
            renderer = AvatarRenderer(avatar, device=device, backend=backend)
            drawn = _draw(renderer, score, cameras, colour, sink, report)
    elapsed = time.perf_counter() - began
    return Reenactment(str(output), score.frame_count, drawn, score.fps, *shape, elapsed)


def motion_to_play(
    avatar: Avatar,
    head: Head,
    motion: Motion | str | Path | None,
    curve: Emotions,
    orbit: Orbit | None,
    *,
    start: int = 0,
    end: int | None = None,
    fps: float | None = None,
) -> Motion:
    """The frames that `reenact` draws; a face held still lasts as long as what goes on around it."""
    if _is_own(avatar, motion):
        source = own_motion(avatar)
    elif motion is None:
        seconds = max(curve.seconds, orbit.seconds if orbit else 0)
        source = still_motion(avatar, head, seconds or STILL_SECONDS, fps)
    else:
        source = motion if isinstance(motion, Motion) else read_motion(motion, avatar.head_name)
    return resampled(cut(source, start, end), fps)


def _is_own(avatar: Avatar, motion: Motion | str | Path | None) -> bool:
    return motion == "own" if isinstance(motion, str) else motion is avatar.motion and motion is not None


def _cameras(
    avatar: Avatar,
    head: Head,
    camera: Camera | None,
    size: tuple[int, int] | None,
    orbit: Orbit | None,
    score: Score,
) -> list[Camera]:
    """The camera of every frame."""
    person = person_of(avatar)
    width, height = size or ((camera.width, camera.height) if camera else (512, 512))
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise InputError(f"--size {width}x{height}: sides from 1 to {MAX_SIDE} pixels are possible")
    if camera is None:
        camera = portrait_camera(head, person, width, height)
    else:
        camera = fitted_camera(camera, width, height)
    if orbit is None:
        return [camera] * score.frame_count
    around = swing(head, person)
    return [orbited(camera, orbit.yaw(frame / score.fps), *around) for frame in range(score.frame_count)]


def _background(output: str | Path, background: Sequence[float] | None) -> tuple[float, float, float] | None:
    """Colour to draw over, or None for transparency."""
    if background is None:
        return WHITE if is_video(output) else None
    colour = tuple(float(value) for value in background)
    if len(colour) != 3 or not all(0 <= value <= 1 for value in colour):
        raise InputError(f"--background {background}: needs three values from 0 to 1")
    return colour


def _plan(avatar: Avatar, score: Score, cameras: list[Camera], colour: Sequence[float] | None) -> str:
    """Digest of everything that decides the pictures, without what may differ between equal runs."""
    digest = hashlib.sha256(f"{score.digest()} {colour}".encode())
    for camera in cameras:
        digest.update(camera.K.tobytes() + camera.w2c.tobytes())
    deciding = [avatar.gaussians.means, avatar.gaussians.logit_opacities, avatar.gaussians.sh]
    if avatar.appearance is not None:
        deciding += [avatar.gaussians.latents, *avatar.appearance.weights().values()]
    if avatar.light is not None:
        deciding += avatar.light.arrays()
    for tensor in deciding:
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _draw(
    renderer: AvatarRenderer,
    score: Score,
    cameras: list[Camera],
    colour: tuple[float, float, float] | None,
    sink: FrameSink,
    report: Reporter,
) -> int:
    """Draw every frame the sink lacks, ahead of the sink's own work; returns how many."""
    report(Stage("reenact", score.frame_count))
    wanted = [frame for frame in range(score.frame_count) if not sink.has(frame)]
    began, drawn = time.perf_counter(), 0

    def finish(rendering: Rendering) -> Any:
        return sink.prepare(_picture(rendering, with_alpha=colour is None))

    with WriteAhead(sink) as writer:

        def hand_over(frame: int, prepared: Any) -> None:
            nonlocal drawn
            writer.write(frame, prepared)
            drawn += 1
            report(Step(frame + 1, {"fps": drawn / max(time.perf_counter() - began, 1e-6)}))

        draw_in_order(renderer, score, cameras, colour or BLACK, wanted, finish, hand_over)
    report(Step(score.frame_count))
    return drawn


def _picture(rendering: Rendering, with_alpha: bool) -> np.ndarray:
    """uint8 [H,W,3] as drawn, or [H,W,4] with straight alpha."""
    image = rendering.image[0].cpu().numpy()
    return straight_alpha(image, rendering.alpha[0, ..., 0].cpu().numpy()) if with_alpha else to_uint8(image)
