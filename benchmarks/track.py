"""Time `emoga track` stage by stage on a single video and on a calibrated rig.

    python benchmarks/track.py --json benchmarks/results/track.json
    python benchmarks/track.py --quick
    python benchmarks/track.py --video CLIP.mp4 --presets fast default

The captures are made on the spot: the open head with painted skin that talks, blinks and turns, landmarks with a
pixel of noise. `seconds` is the whole command in this process, `fps` the pictures it went through in that time.
Pictures and head are cheap to draw, so the figures say how fast tracking is, not how well it does. A video of your own
is tracked without landmarks, overlay included, as `emoga track CLIP.mp4` would; starting Python comes on top of that.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import emoga  # isort: skip  before torch: it sets how torch's threads wait
import numpy as np
import torch
from harness import write_report
from painted import film

from emoga.capture import Track, save_landmarks
from emoga.capture.capture import write_capture_index
from emoga.head import load_head
from emoga.progress import Event, Stage


@dataclass
class Clock:
    """A reporter that notes how long every stage takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = "open"
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stage):
            self.stop()
            self._stage = event.name

    def stop(self) -> None:
        """Give the current stage the time since it began."""
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._since = now


def noisy_landmarks(truth: Track, view: int) -> np.ndarray:
    """Where a detector might see the 478 points of one view, [T,478,2] pixels."""
    head = load_head()
    points = head.landmarks["mediapipe478"].points(head.vertices(truth.params)).double().numpy()
    noise = np.random.default_rng(view).normal(0, 1, (truth.frame_count, points.shape[1], 2))
    return (truth.cameras[view].project(points)[0] + noise).astype(np.float32)


def capture(folder: Path, views: int, frames: int, size: int) -> Path:
    """A capture folder with landmarks beside it in `folder`/landmarks."""
    truth = film(folder / "images", views, frames, size)
    write_capture_index(folder, truth.cameras, frames, truth.fps, {})
    (folder / "landmarks").mkdir()
    seen = np.ones(frames, bool)
    for view, camera in enumerate(truth.cameras):
        path = folder / "landmarks" / f"{camera.name}.npz"
        save_landmarks(path, noisy_landmarks(truth, view), seen, size, size, truth.fps)
    return folder


def rows(case: str, views: int, frames: int, size: int) -> Iterator[dict[str, Any]]:
    """Rows of one capture: the whole, then its stages."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = capture(Path(temporary), views, frames, size)
        source, marks = folder, folder / "landmarks"
        if views == 1:  # as an uncalibrated video
            source, marks = folder / "images" / "c0", marks / "c0.npz"
        clock = Clock()
        emoga.track(source, folder / "t.h5", landmarks=marks, overlay=False, report=clock)
        clock.stop()
    yield from timed(case, clock, {"views": views, "frames": frames, "size": size})


def video_rows(video: Path, preset: str) -> Iterator[dict[str, Any]]:
    """Rows of a video nothing else is known of."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as temporary:
        found = emoga.track(video, Path(temporary) / "t.h5", preset=preset, report=clock)
        clock.stop()
    yield from timed(
        f"track/video/{preset}",
        clock,
        {"views": 1, "frames": found.frame_count, "size": found.cameras[0].width},
    )


def timed(case: str, clock: Clock, named: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The row of the whole, then those of its stages."""
    total, named = sum(clock.seconds.values()), {"threads": torch.get_num_threads(), **named}
    pictures = named["views"] * named["frames"]
    yield {"case": case, **named, "seconds": round(total, 2), "fps": round(pictures / total, 2)}
    for stage, seconds in clock.seconds.items():
        yield {"case": f"{case}/{stage}", **named, "seconds": round(seconds, 2)}


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    parser.add_argument("--quick", action="store_true", help="short and small captures")
    parser.add_argument("--video", type=Path, help="time this video instead")
    parser.add_argument("--presets", nargs="+", default=["fast"], help="presets for the video")
    options = parser.parse_args()
    frames, size = (12, 256) if options.quick else (100, 512)
    if options.video:
        cases = (video_rows(options.video, preset) for preset in options.presets)
    else:
        shapes = (("track/single", 1), ("track/rig", 8))
        cases = (rows(case, views, max(4, frames // views), size) for case, views in shapes)
    found = []
    for row in itertools.chain.from_iterable(cases):
        found.append(row)
        rate = f"  {row['fps']} pictures/s" if "fps" in row else ""
        print(f"{row['case']:<44} {row['seconds']:>8.2f} s{rate}", flush=True)
    write_report(found, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
