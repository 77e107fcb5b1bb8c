"""Frames drawn ahead by several threads, one frame each, and handed over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from emoga.avatar.score import Score
from emoga.camera import Camera
from emoga.kernels import torch_on_one_thread, worker_count
from emoga.optimize.picture import AvatarRenderer, Pose
from emoga.render import Rendering
from emoga.threads import one_thread_each

Item = TypeVar("Item")

# Frames are posed in groups that begin at its multiples, whichever of them are wanted: the last bits of a
# pose may depend on its group, and a resumed run must end in the same pictures.
POSED_TOGETHER = 8
# What the frames in the making may hold; beyond it one is drawn at a time, by all threads.
MEMORY = 2**31
BYTES_PER_PIXEL, BYTES_PER_GAUSSIAN = 40, 400


def draw_in_order(
    renderer: AvatarRenderer,
    score: Score,
    cameras: Sequence[Camera],
    background: Sequence[float],
    wanted: Sequence[int],
    finish: Callable[[Rendering], Item],
    hand_over: Callable[[int, Item], None],
) -> None:
    """Call `hand_over(frame, finish(rendering))` for every frame wanted (ascending), in order.

    cameras: one per frame of the score. `finish` runs in the drawing threads, `hand_over` in the caller's; while
    it waits, at most a few frames per thread are finished ahead. The pictures do not depend on the number of
    threads. What any of the calls raises ends the drawing and is raised here.
    """
    drawers = _drawers(renderer, cameras[0], len(wanted))

    def draw(frame: int, pose: Pose) -> Item:
        return finish(renderer.draw(pose, [cameras[frame]], background, score.mixture(frame)))

    waiting: deque[tuple[int, Future[Item]]] = deque()
    # One frame per thread wastes nothing on sorting in step and waiting for each other; a single drawer
    # uses all threads for its frame.
    with one_thread_each() if drawers > 1 else torch_on_one_thread():
        pool = ThreadPoolExecutor(drawers, thread_name_prefix="emoga-draw")
        try:
            for frame, pose in _posed(renderer, score, wanted):
                if len(waiting) > 2 * drawers:
                    first, item = waiting.popleft()
                    hand_over(first, item.result())
                waiting.append((frame, pool.submit(draw, frame, pose)))
            for frame, item in waiting:
                hand_over(frame, item.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _drawers(renderer: AvatarRenderer, camera: Camera, frames: int) -> int:
    """How many frames to draw at the same time: one per thread, or one where that cannot help."""
    threads = worker_count()
    size = camera.width * camera.height * BYTES_PER_PIXEL
    size += len(renderer.puppet.gaussians) * BYTES_PER_GAUSSIAN
    return threads if renderer.device.type == "cpu" and frames >= threads and size * threads <= MEMORY else 1


def _posed(renderer: AvatarRenderer, score: Score, wanted: Sequence[int]) -> Iterator[tuple[int, Pose]]:
    """Every frame wanted with its pose."""
    count, start, poses = score.frame_count, -1, []
    for frame in wanted:
        if frame - frame % POSED_TOGETHER != start:
            start = frame - frame % POSED_TOGETHER
            poses = renderer.pose(score.params, start, min(start + POSED_TOGETHER, count))
        yield frame, poses[frame - start]
