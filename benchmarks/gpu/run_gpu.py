"""Everything of emoga that needs an NVIDIA GPU, in one run of under ten minutes.

    python benchmarks/gpu/run_gpu.py
    python benchmarks/gpu/run_gpu.py --rehearse     the same steps, tiny, on the CPU: is the script sound?

1. What is here: GPU, driver, torch, CUDA, gsplat; gsplat's kernels are compiled if they are not there yet.
2. The tests marked `cuda`, among them gsplat against the float64 reference.
3. `cuda` against `cpu` on 80,000 Gaussians: largest pixel difference, relative gradient differences.
4. Playback: pose, carry and draw 81,424 and 20,000 Gaussians at 512x512, synchronised, for several batch sizes,
   with and without the CUDA graph, and the whole way to pictures on the host.
5. A fit on the CPU and the same fit on the GPU: seconds and likeness.
6. Times of the rasterizer alone.

stdout carries one JSON object per row, as it is known; the whole goes to --json, by default to gpu.json in the
folder that the variable OUT names. A step for which no time is left says so. Exit code 1 when a check fails, 3
when there is no GPU or gsplat cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import emoga  # noqa: E402, F401  before torch: it sets how torch's threads wait

# isort: split
import numpy as np  # noqa: E402
import render as bench  # noqa: E402
import torch  # noqa: E402
from harness import median_ms, versions, write_report  # noqa: E402
from painted import film, talk  # noqa: E402

from emoga.avatar import Avatar  # noqa: E402
from emoga.avatar.rig import rig_of  # noqa: E402
from emoga.camera import Camera, look_at  # noqa: E402
from emoga.fitting import fit  # noqa: E402
from emoga.fitting.presets import Preset  # noqa: E402
from emoga.head import HeadParams, load_head  # noqa: E402
from emoga.optimize.first_gaussians import start_gaussians  # noqa: E402
from emoga.optimize.playback import Player  # noqa: E402
from emoga.progress import Event, Stage, Step  # noqa: E402
from emoga.render import rasterize  # noqa: E402
from emoga.render.gsplat_kernels import why_unusable  # noqa: E402

IMAGE_TOLERANCE, GRADIENT_TOLERANCE = 2e-3, 1e-2
BARS = {81_424: 1000, 20_000: 2500}  # frames per second at 512x512
SPEED_UP = 10  # of the fit, over the CPU's
LIKENESS = 0.1  # dB that the GPU's fit may stay behind the CPU's
FITTED = Preset(iterations=3000, gaussians=60_000, refine_every=100)
Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    device: str
    seconds: float = 570
    parity: int = 80_000
    size: int = 512
    counts: tuple[int, ...] = tuple(BARS)
    batches: tuple[int, ...] = (1, 4, 16, 64)
    repeats: int = 30
    capture: tuple[int, int] = (6, 15)  # views, frames
    preset: Preset = FITTED
    cases: tuple[tuple[str, str, int], ...] = tuple(bench.splat_cases(False)[:-2])


REHEARSAL = Scale(
    "cpu", 570, 2000, 64, (12_000,), (1, 3), 2, (2, 5),
    Preset(iterations=30, gaussians=9000, refine_every=10), (("20k", "256", 0),),
)  # fmt: skip


def wait(scale: Scale) -> None:
    """Until the device has done what it was asked."""
    if scale.device == "cuda":
        torch.cuda.synchronize()


def describe() -> Row:
    """GPU, driver and packages."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        driver = ""
    return {"gpu": driver, "cuda": torch.version.cuda, "cores": os.cpu_count(), **versions()}


def run_tests(scale: Scale) -> Iterator[Row]:
    """The tests that skip where there is no GPU."""
    command = [sys.executable, "-m", "pytest", "tests", "-q", "-m", "cuda", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    last = (done.stdout.strip().splitlines() or ["nothing printed"])[-12:]
    yield {
        "case": "tests marked cuda",
        "exit_code": done.returncode,
        "output": last,
        "good": done.returncode == 0,
    }


def compare_with_cpu(scale: Scale) -> Iterator[Row]:
    """Largest pixel difference and relative gradient differences, cuda to cpu."""
    results = {}
    for device in ("cpu", scale.device):
        scene = bench.ellipsoid(scale.parity, scale.size, scale.size, device)
        leaves = {k: v.requires_grad_() for k, v in scene.gaussians.items()}
        rendering = rasterize(**leaves, **scene.camera)
        target = torch.linspace(0, 1, scale.size, device=device)[None, :, None, None]
        gradients = torch.autograd.grad((rendering.image - target).square().sum(), list(leaves.values()))
        results[device] = [rendering.image.detach().cpu(), *(g.cpu() for g in gradients)]
    ours, theirs = results["cpu"], results[scale.device]
    image = (ours[0] - theirs[0]).abs().max().item()
    gradients = {
        name: ((a - b).norm() / a.norm()).item()
        for name, a, b in zip(bench.ellipsoid(1, 8, 8).gaussians, ours[1:], theirs[1:], strict=True)
    }
    good = image <= IMAGE_TOLERANCE and max(gradients.values()) <= GRADIENT_TOLERANCE
    yield {"case": f"{scale.device} against cpu, {scale.parity}", "image": image, **gradients, "good": good}


def grey_avatar(count: int) -> Avatar:
    """The template head with exactly `count` grey Gaussians, placed as a fit starts, SH degree 1."""
    head = load_head()
    shape, generator = torch.zeros(len(head.shape_names)), np.random.default_rng(0)
    placed = start_gaussians(head, head.identify(shape).rest, rig_of(head), count, 1, generator)
    placed = placed.select(torch.arange(count) % len(placed))
    neutral = torch.zeros(len(head.expr_names))
    return Avatar(placed, head.name, head.version, head.checksum, shape, neutral)


def time_playback(scale: Scale) -> Iterator[Row]:
    """Animate and draw, synchronised after every call: frames per second."""
    camera = look_at((0, -0.02, 0.9), (0, -0.02, -0.05), 0.32, scale.size, scale.size)
    params = talk(load_head(), 256).to(scale.device)
    for count in scale.counts:
        avatar, best = grey_avatar(count), 0.0
        for batch in scale.batches:
            for recorded in (True, False):
                row = time_batches(avatar, params, camera, batch, recorded, scale)
                best = max(best, row["fps"])
                yield row
        player = Player(avatar, scale.device)
        list(player.play(params, range(32), [camera] * 32))
        start = time.perf_counter()
        pictures = sum(1 for _ in player.play(params, range(256), [camera] * 256))
        fps = round(pictures / (time.perf_counter() - start), 1)
        yield {"case": f"play {count} to the host, {scale.size}", "fps": fps}
        bar = BARS.get(count)
        yield {"case": f"bar: {count}", "best_fps": best, "bar": bar, "good": bar is None or best >= bar}


def time_batches(
    avatar: Avatar, params: HeadParams, camera: Camera, batch: int, recorded: bool, scale: Scale
) -> Row:
    """Batches of one size, posed by a CUDA graph or by single operations."""
    player = Player(avatar, scale.device, batch=batch)
    if not recorded:
        player._posed = player._pose
    frames, cameras = list(range(batch)), [camera] * batch

    def work() -> None:
        player.draw(params, frames, cameras)

    median, least = median_ms(work, scale.repeats, warm_up=3, wait=lambda: wait(scale))
    case = f"animate and draw {len(avatar.gaussians)}, {scale.size}, batch {batch}"
    row = {"case": case + ("" if recorded else ", no graph"), "median_ms": median, "min_ms": least}
    row["fps"] = round(1e3 * batch / median, 1)
    return row | ({"refusal": player.refusal} if recorded and player.refusal else {})


def one_fit(track: Any, scale: Scale, device: str) -> Row:
    """Seconds in the training loop and in all, and the likeness."""
    clock: dict[str, float] = {}
    training = False

    def watch(event: Event) -> None:
        nonlocal training
        if isinstance(event, Stage):
            training = event.name == "fit"
            if training:
                clock["from"] = time.perf_counter()
        elif isinstance(event, Step) and training:
            clock["to"] = time.perf_counter()

    start = time.perf_counter()
    _, report = fit(track, None, preset=scale.preset, device=device, report=watch)
    row = {"case": f"fit on {device}", "train_s": round(clock["to"] - clock["from"], 2)}
    row |= {"total_s": round(time.perf_counter() - start, 2), "iterations": report.iterations}
    row |= {"gaussians": report.gaussians, "training_psnr": round(report.training.psnr, 3)}
    for name, part in report.held_out.items():
        row[f"held_out_{name}_psnr"] = None if part is None else round(part.psnr, 3)
    return row


def time_fits(scale: Scale) -> Iterator[Row]:
    """The same fit on both devices."""
    with tempfile.TemporaryDirectory() as folder:
        track = film(Path(folder), *scale.capture, scale.size)
        rows = []
        for device in (scale.device, "cpu"):
            rows.append(one_fit(track, scale, device))
            yield rows[-1]
    ours, cpu = rows
    ratio, in_all = (cpu[name] / max(ours[name], 1e-9) for name in ("train_s", "total_s"))
    behind = cpu["held_out_views_psnr"] - ours["held_out_views_psnr"]
    good = scale.device == "cpu" or (ratio >= SPEED_UP and behind <= LIKENESS)
    ratios = {"times_faster": round(ratio, 1), "times_faster_in_all": round(in_all, 1)}
    yield {"case": "bar: fit", **ratios, "db_behind": round(behind, 3), "good": good}


def time_rasterizer(scale: Scale) -> Iterator[Row]:
    """Milliseconds of the rasterizer alone, forward and with its backward."""
    yield from bench.time_splats(list(scale.cases), scale.device, scale.repeats)


STEPS: list[Callable[[Scale], Iterator[Row]]] = [
    run_tests, compare_with_cpu, time_playback, time_fits, time_rasterizer,
]  # fmt: skip


def run_all(scale: Scale, keep: Callable[[list[Row]], None]) -> list[Row]:
    """Rows of all steps, kept after each of them; a step that fails is a row that says so."""
    began, rows = time.perf_counter(), []

    def add(row: Row) -> None:
        rows.append(row | {"at_s": round(time.perf_counter() - began, 1)})
        print(json.dumps(rows[-1]), flush=True)
        keep(rows)

    for step in STEPS:
        if time.perf_counter() - began > scale.seconds:
            add({"case": step.__name__, "good": False, "skipped": "no time left"})
            continue
        try:
            for row in step(scale):
                add(row)
                if time.perf_counter() - began > scale.seconds:
                    add({"case": step.__name__, "good": False, "cut_short": "no time left"})
                    break
        except Exception as error:
            add({"case": step.__name__, "good": False, "error": f"{type(error).__name__}: {error}"[:1000]})
    return rows


def main() -> int:
    """Parse, look, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--rehearse", action="store_true", help="tiny and on the CPU")
    arguments = parser.parse_args()
    out = os.environ.get("OUT")
    path = arguments.json or (Path(out) / "gpu.json" if out else None)
    scale = REHEARSAL if arguments.rehearse else Scale("cuda")
    start = time.perf_counter()
    if scale.device == "cuda" and why_unusable():
        print(f"the GPU cannot be used: {why_unusable()}; nothing ran", file=sys.stderr)
        return 3
    machine = describe() | {"kernels_ready_after_s": round(time.perf_counter() - start, 1)}
    print(json.dumps({"case": "machine", **machine}), flush=True)
    rows = run_all(scale, lambda rows: write_report(rows, torch.get_num_threads(), path, gpu=machine))
    return 0 if all(row.get("good", True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
