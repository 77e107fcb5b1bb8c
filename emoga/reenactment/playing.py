"""Reenactment on a GPU: frames in batches, in the order the sink wants them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from emoga.avatar.score import Score
from emoga.camera import Camera
from emoga.optimize.playback import Player
from emoga.progress import Reporter, Stage, Step
from emoga.reenactment.outputs import FrameSink, WriteAhead


def play_into(
    sink: FrameSink,
    player: Player,
    score: Score,
    cameras: Sequence[Camera],
    colour: tuple[float, float, float] | None,
    report: Reporter,
) -> int:
    """Draw every frame the sink lacks over the colour, or with alpha when that is None; returns how many."""
    report(Stage("reenact", score.frame_count))
    began = time.perf_counter()
    frames = [frame for frame in range(len(cameras)) if not sink.has(frame)]
    pictures = player.play(score.params, frames, [cameras[frame] for frame in frames], colour, score.mixtures)
    with WriteAhead(sink) as writer:
        for drawn, (frame, picture) in enumerate(zip(frames, pictures, strict=True), start=1):
            writer.write(frame, picture)
            report(Step(frame + 1, {"fps": drawn / max(time.perf_counter() - began, 1e-6)}))
    return len(frames)
