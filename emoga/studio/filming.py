"""Film the pictures of a plan in several processes, resumable picture by picture."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch

from emoga.errors import EnvironmentFailure
from emoga.files import atomic_output
from emoga.geometry import axis_angle_to_matrix
from emoga.images import from_uint8, to_uint8, write_png
from emoga.studio.acting import Performance
from emoga.studio.mitsuba_scene import use_threads
from emoga.studio.performer import Performer, make_performer
from emoga.studio.plans import Plan
from emoga.studio.stage import Picture, Stage
from emoga.studio.wardrobe import Wardrobe, dress

MAX_CRASHES = 20
SECOND_SEED = 500_000  # added to a picture's seed for the second rendering that measures the noise
NEXT_ATTEMPT = 1_000_003
# How much blood an acted emotion brings into the face (or, below zero, drives out of it).
FLUSH = {
    "happy": 0.35,
    "sad": 0.15,
    "angry": 0.65,
    "surprised": 0.0,
    "fear": -0.6,
    "disgust": -0.25,
    "contempt": 0.1,
}


def picture_paths(output: Path, view: int, index: int) -> dict[str, Path]:
    """Files of one picture by kind; `view` of the whole rig, `index` among the filmed frames."""
    return {
        kind: output / kind / f"cam_{view:02d}" / f"{index:06d}.png"
        for kind in ("images", "masks", "head_masks")
    }


def part_path(output: Path, index: int) -> Path:
    """The file that marks a frame as filmed and holds its true vertices."""
    return output / "parts" / f"{index:06d}.npz"


def is_missing(plan: Plan, output: Path, index: int) -> bool:
    """Whether any file of a filmed frame is not there yet."""
    files = [path for view in plan.filmed_views for path in picture_paths(output, view, index).values()]
    return not all(path.exists() for path in (*files, part_path(output, index)))


def film(plan: Plan, output: Path, frames: list[int], workers: int) -> Iterator[int]:
    """Render frames (indices of the filmed ones), each yielded when done.

    Several processes of one thread beat one of several threads.

    Mitsuba's curves have been seen to crash a process on some ray; what is missing then is rendered again, with
    other rays.
    """
    wardrobe = dress(make_performer(plan.performer, plan.in_model, change=plan.change), plan.texture)
    crashes = 0
    while frames:
        try:
            yield from _film_once(plan, output, frames, min(workers, len(frames)), wardrobe, crashes)
            return
        except BrokenProcessPool as error:
            crashes += 1
            frames = [frame for frame in frames if is_missing(plan, output, frame)]
            if crashes > MAX_CRASHES:
                raise EnvironmentFailure(
                    "studio: the renderer keeps crashing; out of memory? use fewer workers"
                ) from error


def _film_once(
    plan: Plan, output: Path, frames: list[int], workers: int, wardrobe: Wardrobe, attempt: int
) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan, wardrobe))
    try:
        for future in as_completed([pool.submit(film_frame, output, frame, attempt) for frame in frames]):
            yield future.result()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What a process keeps between frames."""

    plan: Plan
    performance: Performance
    performer: Performer
    stage: Stage


def _start_worker(plan: Plan, wardrobe: Wardrobe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    use_threads(1)
    performer = make_performer(plan.performer, plan.in_model, change=plan.change)
    flush = FLUSH.get(plan.emotion or "", 0.0) * plan.intensity
    _Worker.plan, _Worker.performer, _Worker.performance = plan, performer, plan.performance()
    _Worker.stage = Stage(performer, wardrobe, flush, plan.max_depth)


def _die_with_parent() -> None:
    """End this process when its parent was killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def film_frame(output: Path, index: int, attempt: int = 0) -> int:
    """Render every missing picture of one frame; the part file with the truth comes last."""
    plan, stage = _Worker.plan, _Worker.stage
    now = plan.filmed_frames[index]
    one = _Worker.performance.select([index])
    vertices = _Worker.performer.vertices(one)[0]
    frame = stage.frame(vertices, one.expr[0].double().numpy(), bust_motion(one))
    floors = {}
    for view, camera in zip(plan.filmed_views, plan.cameras(), strict=True):
        paths = picture_paths(output, view, index)
        twice = (view, now) in plan.floor_pictures()
        if all(path.exists() for path in paths.values()) and not twice:
            continue
        samples, seed = plan.samples_at(view, now), plan.seed_at(view, now) + attempt * NEXT_ATTEMPT
        picture = stage.take(frame, camera, samples, seed)
        if twice:
            floors[f"{view}"] = noise_variance(
                picture, stage.take(frame, camera, samples, seed + SECOND_SEED)
            )
        write_png(paths["masks"], picture.alpha)
        write_png(paths["head_masks"], picture.head)
        write_png(paths["images"], picture.image)
    with (
        atomic_output(part_path(output, index), overwrite=True) as temporary,
        open(temporary, "wb") as stream,
    ):
        np.savez_compressed(stream, vertices=frame.truth.astype(np.float32), floor=json.dumps(floors))
    return index


def noise_variance(first: Picture, second: Picture) -> float:
    """Variance of one picture's noise in the head, from two: half of their mean squared difference."""
    weight = (first.head > 0.5).astype(float)
    difference = from_uint8(to_uint8(first.image)) - from_uint8(to_uint8(second.image))
    return float(((difference**2).mean(-1) * weight).sum() / max(weight.sum(), 1) / 2)


def bust_motion(one: Performance) -> np.ndarray:
    """Rigid motion [3,4] of the shoulders in the first frame."""
    turn = axis_angle_to_matrix(one.rotation[0].double())
    return torch.cat([turn, one.translation[0].double()[:, None]], 1).numpy()
