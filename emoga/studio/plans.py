"""A plan says everything about a capture before a single ray is traced: who, what, where, how fine, how long."""

from __future__ import annotations

import os
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.capture import parse_hold_out, parse_pictures
from emoga.errors import InputError
from emoga.head import load_head
from emoga.studio.acting import Performance, perform
from emoga.studio.changes import known_change
from emoga.studio.rig import rig_cameras, single_camera

STUDIO_VERSION = 3  # goes up when the same plan gives other pictures, so that nothing old is resumed
HELD_OUT_FACTOR = 4
FLOOR_PICTURES = 3  # of each kind are rendered a second time to measure the noise
SAMPLES_PER_SECOND = 0.6e6  # pixels x samples that one core traces
SCENE_SECONDS = 1.1  # to build the scene of one frame
START_SECONDS = 15  # to paint the performer and start the workers
FRAME_SPACING = 0.12  # seconds between frames of a rig capture: few frames still show much
LIMITS = {
    "size": (16, 4096),
    "views": (1, 256),
    "frames": (1, 100_000),
    "samples": (1, 4096),
    "max_depth": (2, 64),
    "intensity": (0.0, 1.5),
}


@dataclass(frozen=True)
class Plan:
    """Everything that determines a capture; two equal plans give the same files.

    Views and frames are counted in the whole rig and performance. only_views, only_frames: those that are
    filmed, all when empty; their pictures are those of the whole plan.
    """

    studio: int
    head: str
    kind: str
    performer: int
    in_model: bool
    emotion: str | None
    intensity: float
    seed: int
    size: int
    views: int
    frames: int
    fps: float
    duration: float
    head_motion: float
    samples: int
    max_depth: int
    texture: int
    held_out_views: tuple[int, ...]
    held_out_frames: tuple[int, ...]
    only_views: tuple[int, ...] = ()
    only_frames: tuple[int, ...] = ()
    change: str | None = None

    @property
    def filmed_views(self) -> tuple[int, ...]:
        """The views that are filmed, in the order of the capture's cameras."""
        return self.only_views or tuple(range(self.views))

    @property
    def filmed_frames(self) -> tuple[int, ...]:
        """The frames that are filmed, in the order of the capture's frames."""
        return self.only_frames or tuple(range(self.frames))

    def cameras(self) -> list[Camera]:
        """The cameras that film, under the names they have in the whole rig."""
        rig = [single_camera(self.size)] if self.kind == "single" else rig_cameras(self.views, self.size)
        return [rig[view] for view in self.filmed_views]

    def record(self) -> dict[str, Any]:
        """The plan as it is written into files; of a whole one, nothing is said about choices, or a change."""
        written = asdict(self)
        for name in ("only_views", "only_frames", "change"):
            if not written[name]:
                del written[name]
        return written

    def samples_at(self, view: int, frame: int) -> int:
        """Samples per pixel of one picture: held-out ones get four times as many."""
        held = view in self.held_out_views or frame in self.held_out_frames
        return self.samples * (HELD_OUT_FACTOR if held else 1)

    def seed_at(self, view: int, frame: int) -> int:
        """Seed of one picture's rays: no film has the grain of another that shows the same people and frames."""
        acted = f"{self.emotion} {self.intensity} {self.change}" if self.emotion or self.change else ""
        return (self.seed * 7_919 + view * 613 + frame * 17 + zlib.crc32(acted.encode())) % 400_000

    def performance(self) -> Performance:
        """What the performer does in the frames that are filmed."""
        whole = perform(
            load_head(), self.frames, self.seed, self.fps, self.emotion, self.intensity, self.head_motion,
            self.duration,
        )  # fmt: skip
        return whole.select(list(self.filmed_frames))

    def seconds(self, cores: int | None = None) -> float:
        """How long filming takes on so many idle cores (all, when None)."""
        samples = sum(self.samples_at(*at) for at in self._pictures() + self.floor_pictures())
        frames = len(self.filmed_frames)
        work = self.size**2 * samples / SAMPLES_PER_SECOND + frames * SCENE_SECONDS
        return work / min(cores or usable_cores(), frames) + START_SECONDS

    def floor_pictures(self) -> list[tuple[int, int]]:
        """The (view, frame) that are rendered twice: some that train and some that are held out."""
        chosen = []
        for held in (False, True):
            kind = [at for at in self._pictures() if (self.samples_at(*at) > self.samples) == held]
            step = max(len(kind) // FLOOR_PICTURES, 1)
            chosen += kind[step // 2 :: step][:FLOOR_PICTURES]
        return chosen

    def _pictures(self) -> list[tuple[int, int]]:
        """(view, frame) of everything that is filmed."""
        return [(view, frame) for view in self.filmed_views for frame in self.filmed_frames]


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_hold_out(views: int, frames: int) -> tuple[str, ...]:
    """Two views of a full rig or one of a small one, and the last frames; never all of them."""
    chosen = ("views:3,9",) if views > 9 else (f"views:{views // 2}",) if views > 1 else ()
    return (*chosen, *((f"frames:last:{'25%' if views > 1 else '20%'}",) if frames > 1 else ()))


def plan_rig(
    performer: int = 0,
    in_model: bool = False,
    emotion: str | None = None,
    intensity: float = 1.0,
    cameras: int = 16,
    frames: int = 24,
    size: int = 512,
    seed: int = 0,
    samples: int = 20,
    hold_out: tuple[str, ...] | None = None,
    duration: float | None = None,
    max_depth: int = 5,
    only: tuple[str, ...] = (),
    change: str | None = None,
) -> Plan:
    """A performer (a seed) before a rig of cameras.

    duration: seconds the frames are spread over. hold_out: pictures that get four times the samples (two
    views and the last quarter of the frames when None). only: what of the rig and the performance is filmed,
    written as hold_out is; everything when empty. change: of `changes.CHANGES`, what is different about them.
    Raises InputError for values out of range.
    """
    held = parse_hold_out(
        default_hold_out(cameras, frames) if hold_out is None else hold_out, cameras, frames
    )
    duration = frames * FRAME_SPACING if duration is None else duration
    return _checked(
        Plan(
            STUDIO_VERSION, load_head().checksum, "rig", performer, in_model, emotion, intensity, seed, size,
            cameras, frames, frames / duration, duration, 1.0, samples, max_depth, _texture_size(size), held.views,
            held.frames, *parse_pictures("--only", only, cameras, frames), change,
        )
    )  # fmt: skip


def plan_single(
    performer: int = 0,
    in_model: bool = False,
    emotion: str | None = None,
    intensity: float = 1.0,
    frames: int = 120,
    size: int = 512,
    seed: int = 0,
    samples: int = 20,
    hold_out: tuple[str, ...] | None = None,
    fps: float = 25.0,
    head_motion: float = 1.7,
    max_depth: int = 5,
    only: tuple[str, ...] = (),
    change: str | None = None,
) -> Plan:
    """A moving head before one camera on a tripod; arguments as `plan_rig`."""
    held = parse_hold_out(default_hold_out(1, frames) if hold_out is None else hold_out, 1, frames)
    return _checked(
        Plan(
            STUDIO_VERSION, load_head().checksum, "single", performer, in_model, emotion, intensity, seed, size, 1,
            frames, fps, frames / fps, head_motion, samples, max_depth, _texture_size(size), held.views,
            held.frames, *parse_pictures("--only", only, 1, frames), change,
        )
    )  # fmt: skip


def _texture_size(size: int) -> int:
    return int(np.clip(4 * size, 512, 2560))


def _checked(plan: Plan) -> Plan:
    for name, (low, high) in LIMITS.items():
        value = getattr(plan, name)
        if not low <= value <= high:
            raise InputError(f"studio: {name} must be between {low} and {high}, {value} was given")
    if plan.emotion is not None:
        load_head().emotion(plan.emotion)
    if plan.change is not None:
        known_change(plan.change)
    return plan
