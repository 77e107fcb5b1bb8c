"""Frames drawn ahead by several threads, one frame each, and handed over in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from emoga.avatar.score import Score
from emoga.camera import Camera
from emoga.kernels import worker_count
from emoga.optimize.picture import AvatarRenderer, Pose
from emoga.render import Rendering
from emoga.threads import MEMORY, in_order

Item = TypeVar("Item")

# Frames are posed in groups that begin at its multiples, whichever of them are wanted: the last bits of a
# pose may depend on its group, and a resumed run must end in the same pictures.
POSED_TOGETHER = 8
# Of a frame in the making; where MEMORY holds too few, one is drawn at a time, by all threads.
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

    def draw(posed: tuple[int, Pose]) -> tuple[int, Item]:
        frame, pose = posed
        return frame, finish(renderer.draw(pose, [cameras[frame]], background, score.mixture(frame)))

    # One frame per thread wastes nothing on sorting in step and waiting for each other.
    drawers = _drawers(renderer, cameras[0], len(wanted))
    for frame, item in in_order(_posed(renderer, score, wanted), draw, drawers):
        hand_over(frame, item)


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
