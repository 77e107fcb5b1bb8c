"""What a run will take: rough, honest estimates of time, memory and disk for `--dry-run`.

The rates were measured on four cores of a laptop-class machine; a machine with other cores scales them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emoga.capture import Track, load_track, open_capture, parse_hold_out, parse_pictures
from emoga.errors import InputError

MEGA = 2**20
BASE_MEMORY_MB = 700
# Seconds per picture on four cores.
TRACK_SECONDS = {"fast": 0.05, "default": 0.3, "best": 0.6}
PORTRAIT_SECONDS = {"fast": 0, "default": 60, "best": 120}  # learning how a single video's head looks, twice
NETWORK_SECONDS = 0.25e-6  # per Gaussian and iteration: the colour network and the patches
TRACK_START = {"fast": 15, "default": 25, "best": 45}


@dataclass(frozen=True)
class Plan:
    """Steps in words, and estimates: seconds, memory and disk in MB."""

    steps: list[str]
    seconds: float
    memory_mb: float
    disk_mb: float

    def text(self) -> str:
        """For the terminal."""
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, start=1)]
        estimates = (
            f"about {_time(self.seconds)}, {self.memory_mb / 1000:.1f} GB of memory, "
            f"{max(self.disk_mb, 1):.0f} MB on disk (estimates for {os.cpu_count()} cores)"
        )
        return "\n".join([*lines, estimates])


def plan_track(
    source: Path,
    output: Path,
    preset: str,
    start: int | None,
    end: int | None,
    overlay: bool,
    convention: str | None = None,
) -> Plan:
    """What `emoga track` will do and take."""
    from emoga.tracking.downscaling import memory_needed_mb

    capture = open_capture(source, convention=convention)
    frames = _span(capture.frame_count, start, end)
    views, size = len(capture.pictures), (capture.pictures[0].width, capture.pictures[0].height)
    pictures, pixels = views * frames, size[0] * size[1]
    steps = [
        f"read {pictures} pictures of {size[0]}x{size[1]} ({views} cameras, {frames} frames)",
        "solve cameras and shape over a spread of frames, then every frame",
        "foreground and head masks",
        f"write {output}" + (", overlay video and quality plot" if overlay else ""),
    ]
    seconds = TRACK_START[preset] + pictures * (TRACK_SECONDS[preset] + 0.1 * pixels / 512**2)
    if views == 1 and PORTRAIT_SECONDS[preset]:
        steps.insert(3, "learn what the head looks like, and align every frame's pose to that")
        seconds += PORTRAIT_SECONDS[preset] * pixels / 512**2 + 0.8 * pictures
    disk = pictures * pixels * 0.03 / MEGA + (pictures * pixels * 0.05 / MEGA if overlay else 0)
    return Plan(steps, scaled(seconds), memory_needed_mb(pictures, pixels), disk)


def plan_tracks(sources: list[Path], plans: list[Plan], jobs: int) -> Plan:
    """Several tracks, `jobs` at a time, of which each has a share of the cores."""
    steps = [
        f"{source}: {plan.steps[0]}, about {_time(plan.seconds)}"
        for source, plan in zip(sources, plans, strict=True)
    ]
    together = sorted((plan.memory_mb for plan in plans), reverse=True)[:jobs]
    return Plan(
        steps, sum(plan.seconds for plan in plans), sum(together), sum(plan.disk_mb for plan in plans)
    )


def plan_fit(
    track_file: Path,
    output: Path,
    preset: str,
    media: Path | None,
    iterations: int | None,
    gaussians: int | None = None,
    refine_motion: bool | None = None,
    appearance: str = "sh",
    light: bool = True,
) -> Plan:
    """What `emoga fit` will do and take."""
    from emoga.fitting.presets import for_one_camera
    from emoga.fitting.presets import preset as find_preset

    track: Track = load_track(track_file, media)
    chosen = find_preset(preset) if len(track.cameras) > 1 else for_one_camera(find_preset(preset))
    iterations, gaussians = iterations or chosen.iterations, gaussians or chosen.gaussians
    refined = chosen.refine_motion if refine_motion is None else refine_motion
    camera = track.cameras[0]
    pixels = camera.width * camera.height
    pictures = len(track.cameras) * track.frame_count
    steps = [
        f"read {pictures} pictures of {camera.width}x{camera.height}",
        f"{iterations} iterations on up to {gaussians} Gaussians"
        + (", head refined along" if refined else "")
        + (", in the light found in the pictures" if light else ""),
        "measure training and held-out pictures",
        f"write {output}",
    ]
    network = gaussians * NETWORK_SECONDS if appearance == "color_mlp" else 0.0
    # A quarter of an iteration is independent of the picture's size.
    seconds = 20 + iterations * (0.07 * (0.25 + 0.75 * pixels / 512**2) + network) + 0.2 * pictures
    memory = BASE_MEMORY_MB + 5 * pictures * pixels / MEGA + gaussians * 2500 / MEGA
    return Plan(steps, scaled(seconds), memory, gaussians * 250 * 3 / MEGA)


def plan_studio(
    output: Path,
    size: int,
    views: int,
    frames: int,
    samples: int,
    hold_out: tuple[str, ...],
    only: tuple[str, ...],
) -> Plan:
    """What `emoga studio` will do and take."""
    from emoga.studio.plans import HELD_OUT_FACTOR, SAMPLES_PER_SECOND, SCENE_SECONDS

    held_out = parse_hold_out(hold_out, views, frames)
    only_views, only_frames = parse_pictures("--only", only, views, frames)
    filmed_views, filmed_frames = only_views or range(views), only_frames or range(frames)
    trained = len(set(filmed_views) - set(held_out.views)) * len(set(filmed_frames) - set(held_out.frames))
    views, frames = len(filmed_views), len(filmed_frames)
    pictures = views * frames
    traced = size**2 * samples * (trained + HELD_OUT_FACTOR * (pictures - trained))
    cores = os.cpu_count() or 1
    seconds = (traced / SAMPLES_PER_SECOND + frames * SCENE_SECONDS) / cores + 12
    steps = [
        f"film {pictures} pictures of {size}x{size}, {views} cameras, {frames} frames, {samples} samples per "
        f"pixel, four times as many in {pictures - trained} held-out ones",
        f"write {output}: pictures, masks, landmarks, truth",
    ]
    return Plan(steps, seconds, 900 * cores, pictures * size**2 * 2.5 / MEGA)


def _span(count: int, start: int | None, end: int | None) -> int:
    length = min(count, end if end is not None else count) - (start or 0)
    if length < 1:
        raise InputError(f"frames {start or 0} to {end}: there are frames 0 to {count - 1}")
    return length


def scaled(seconds: float) -> float:
    """Seconds on this machine: the work runs in parallel, though not perfectly."""
    return seconds * (4 / (os.cpu_count() or 1)) ** 0.8


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
