"""Time the whole training step of `emoga fit`: picture, pose, carry, render, loss, backward, optimiser.

    python benchmarks/step.py --json benchmarks/results/step.json
    python benchmarks/step.py --avatar fitted.ply
    python benchmarks/step.py --quick --threads 1

The avatar is one that was fitted, or the open head with 80,000 Gaussians spread over it as a fit starts, colours
of degree 3. Its pictures are renders of the same Gaussians in other colours, 512x512, one a step. The trainer is
the fit's own, in the middle of a fit that corrects motion as well. The parts are timed inside the same steps;
`rest` is what none of them holds.
"""

from __future__ import annotations

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import print_row, processor, versions, write_report

from emoga.avatar import Avatar, load_avatar
from emoga.avatar.posing import make_puppet
from emoga.avatar.rig import rig_of
from emoga.camera import look_at
from emoga.capture import Track
from emoga.fitting import trainer as training
from emoga.fitting.presets import Preset, Rates
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.trainer import Trainer
from emoga.head import HeadParams, load_head
from emoga.images import to_uint8, write_png
from emoga.kernels import torch_on_one_thread
from emoga.optimize.first_gaussians import paint, start_gaussians
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.splats import Splats
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import silent
from emoga.studio.acting import perform

COUNT, SH_DEGREE, SIZE = 80_000, 3, 512
VIEWS, FRAMES = 3, 4
WARM_UP = 20  # steps
# Far from density control and past the warm-up of the motion.
PRESET = Preset(10**6, COUNT, SH_DEGREE, coarse=0.0, refine_every=10**9)
START = 500_001

# What a step consists of: where a function is looked up, its name there, and what to call it.
PARTS = (
    (Trainer, "next_example", "picture"),
    (training, "pose_frames", "pose"),
    (training, "carry", "carry"),
    (training, "rasterize", "rasterize"),
    (training, "picture_loss", "loss"),
    (torch.Tensor, "backward", "backward"),
    (Splats, "observe", "statistics"),
    (training, "add_tether", "tether"),
    (Splats, "update", "optimiser"),
    (MotionRefinement, "update", "motion optimiser"),
)
# Within `backward`: the output that leads to the part's node of the graph.
NODES = {"carry": "means", "rasterize": "image"}


def make_avatar(seed: int) -> Avatar:
    """The template head with COUNT Gaussians of random colours."""
    head, generator = load_head(), np.random.default_rng(seed)
    shape = torch.zeros(len(head.shape_names))
    rest = head.identify(shape).rest
    gaussians = start_gaussians(head, rest, rig_of(head), COUNT, SH_DEGREE, generator)
    colors = torch.from_numpy(generator.random((len(gaussians), 3), np.float32))
    paint(gaussians, torch.arange(len(gaussians)), colors)
    neutral = torch.zeros(len(head.expr_names))
    return Avatar(gaussians, head.name, head.version, head.checksum, shape, neutral)


def recoloured(avatar: Avatar) -> Avatar:
    """The avatar in colours that leave a fit something to learn."""
    gaussians = avatar.gaussians
    noise = torch.randn(gaussians.sh.shape, generator=torch.Generator().manual_seed(1))
    return avatar.with_gaussians(replace(gaussians, sh=gaussians.sh + 0.2 * noise))


def film(avatar: Avatar, folder: Path) -> Track:
    """The avatar talking before a few cameras: pictures under `folder`, as the track of them."""
    head = load_head()
    acted = perform(head, FRAMES, seed=0)
    motion = (acted.expr, acted.rotation, acted.neck, acted.jaw, acted.eyes, acted.translation)
    params = HeadParams(avatar.shape, avatar.static_offset, *motion)
    target = (0, -0.02, -0.05)
    cameras = [
        look_at((0.9 * np.sin(a), -0.02, 0.9 * np.cos(a)), target, 0.32, SIZE, SIZE, name=f"cam{i}")
        for i, a in enumerate(np.linspace(-0.5, 0.5, VIEWS))
    ]
    renderer = AvatarRenderer(avatar)
    masks = np.zeros((VIEWS, FRAMES, SIZE, SIZE), np.uint8)
    for frame in range(FRAMES):
        rendering = renderer.render(params, frame, cameras)
        for view, camera in enumerate(cameras):
            write_png(folder / camera.name / f"{frame:06d}.png", rendering.image[view].numpy())
            masks[view, frame] = to_uint8(rendering.alpha[view, ..., 0].numpy())
    media = [folder / camera.name for camera in cameras]
    names = (head.name, head.version, head.checksum)
    return Track(*names, params, cameras, media, np.arange(FRAMES), 25.0, masks=masks, head_masks=masks)


def make_trainer(avatar: Avatar) -> Trainer:
    """The fit's trainer in the middle of its work on the avatar's Gaussians."""
    head, rates = load_head(), Rates()
    with tempfile.TemporaryDirectory() as folder:
        track = film(recoloured(avatar), Path(folder))
        pictures = TrainingPictures(track, list(range(VIEWS)), list(range(FRAMES)), silent, halves=False)
    puppet = make_puppet(avatar)
    turns = dict.fromkeys(("rotation", "neck", "jaw"), rates.turn)
    motion_rates = {"expr": rates.expr, "eyes": rates.eyes, "translation": rates.translation, **turns}
    motion = MotionRefinement(track.params, motion_rates)
    splats = Splats.start(puppet.gaussians, len(head.faces))
    fixed = (head, puppet.identity, puppet.rig, puppet.bind)
    return Trainer(*fixed, splats, motion, pictures, PRESET, rates, seed=0, iteration=START)


class Stopwatch:
    """Time spent in each part of one step after the other."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def watch(self) -> None:
        """Put a clock around every part, for good."""
        for owner, name, part in PARTS:
            setattr(owner, name, self._clocked(getattr(owner, name), part))

    def _clocked(self, function: Callable, part: str) -> Callable:
        def call(*args: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **named)
            self._add(part, started)
            if part in NODES:
                self._clock_node(getattr(result, NODES[part]).grad_fn, f"backward, {part}")
            return result

        return call

    def _clock_node(self, node: Any, part: str) -> None:
        if node is None:
            return
        started = []
        node.register_prehook(lambda _: started.append(time.perf_counter()))
        node.register_hook(lambda *_: self._add(part, started[-1]))

    def _add(self, part: str, started: float) -> None:
        if self.steps:
            self.steps[-1][part] += 1e3 * (time.perf_counter() - started)

    def time(self, step: Callable[[], Any]) -> None:
        """One step, milliseconds."""
        self.steps.append(defaultdict(float))
        started = time.perf_counter()
        step()
        self.steps[-1]["whole"] = 1e3 * (time.perf_counter() - started)


def rows(trainer: Trainer, case: str, threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    """The whole step and its parts, as `emoga fit` runs them: torch on one thread, kernels on `threads`."""
    watch = Stopwatch()
    watch.watch()
    with torch_on_one_thread():
        for _ in range(WARM_UP):
            trainer.step()
        for _ in range(repeats):
            watch.time(trainer.step)
    parts = [part for _, _, part in PARTS]
    for step in watch.steps:
        step["backward, loss"] = step["backward"] - sum(step[f"backward, {part}"] for part in NODES)
        step["rest"] = step["whole"] - sum(step[part] for part in parts)
    for part in ("whole", *parts, *(f"backward, {part}" for part in (*NODES, "loss")), "rest"):
        times = [step[part] for step in watch.steps]
        row = {"case": f"step/{case}/{SIZE}/{part}", "threads": threads, "gaussians": len(trainer.splats)}
        yield row | {"median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3)}


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    parser.add_argument("--avatar", type=Path, help="a fitted avatar (default: Gaussians as a fit starts)")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--threads", type=int, help="threads to use (default: torch's)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    threads = torch.get_num_threads()
    print(f"{processor()} {versions()}")
    found = []
    avatar = load_avatar(arguments.avatar) if arguments.avatar else make_avatar(0)
    case = "fitted" if arguments.avatar else "80k"
    for row in rows(make_trainer(avatar), case, threads, 20 if arguments.quick else 100):
        print_row(row)
        found.append(row)
    write_report(found, threads, arguments.json)


if __name__ == "__main__":
    main()
