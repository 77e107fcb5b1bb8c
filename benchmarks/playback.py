"""Time an avatar at play: whole `emoga reenact` commands, and the parts that make a frame.

    python benchmarks/playback.py --json benchmarks/results/playback.json
    python benchmarks/playback.py --avatar fitted.ply
    python benchmarks/playback.py --quick

With --avatar the commands play that one, at 512x512. Otherwise the avatar is the open head's template with
Gaussians spread over it as a fit starts, in many colours. Either talks in the studio's manner. A command counts
from its start to its end, imports included, with compiled kernels in the cache. The parts are those of one frame
on one thread, as `reenact` draws them. The named peer is the same frame with Gaussians carried in plain torch, as
GaussianAvatars does it, before the same rasterizer; on CUDA that rasterizer is gsplat.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch
from harness import median_ms, print_row, write_report

from emoga.avatar import Avatar, load_avatar, save_avatar
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import rig_of, to_world, turn_since_bind
from emoga.camera import Camera, look_at, stack_cameras
from emoga.head import HeadParams, load_head
from emoga.motion import Motion
from emoga.optimize.first_gaussians import start_gaussians
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment.drawing import POSED_TOGETHER
from emoga.render import evaluate_sh, rasterize
from emoga.studio.acting import perform
from emoga.video import VideoWriter

COUNT = 80_000
DEGREES = (3, 1)
SIZES = (256, 512, 1024)
FRAMES, QUICK_FRAMES = 1000, 100


def make_avatar(count: int, degree: int, frames: int) -> Avatar:
    """The template head with about `count` Gaussians of random colours and some frames of talk."""
    head = load_head()
    shape = torch.zeros(len(head.shape_names))
    gaussians = start_gaussians(
        head, head.identify(shape).rest, rig_of(head), count, degree, np.random.default_rng(0)
    )
    generator = torch.Generator().manual_seed(0)
    gaussians.sh.normal_(0, 0.1, generator=generator)
    gaussians.sh[:, 0].uniform_(-1, 1, generator=generator)
    neutral = torch.zeros(len(head.expr_names))
    return talking(Avatar(gaussians, head.name, head.version, head.checksum, shape, neutral), frames)


def talking(avatar: Avatar, frames: int) -> Avatar:
    """The avatar with some frames of talk as its motion."""
    acted = perform(load_head(), frames, seed=0)
    moving = (acted.expr, acted.rotation, acted.neck, acted.jaw, acted.eyes, acted.translation)
    params = HeadParams(avatar.shape, avatar.static_offset, *moving)
    motion = Motion(avatar.head_name, avatar.head_version, avatar.head_checksum, params, 25.0)
    return replace(avatar, motion=motion)


def portrait(size: int) -> Camera:
    """A frontal camera that the head fills."""
    return look_at((0, -0.02, 0.9), (0, -0.02, -0.05), 0.32, size, size)


def commands(fitted: Avatar | None, device: str, frames: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Whole commands: the first frame alone, then all of them into mp4 and into y4m that nobody reads."""
    made = [make_avatar(COUNT, degree, frames) for degree in DEGREES]
    with tempfile.TemporaryDirectory() as folder:
        for avatar in [talking(fitted, frames)] if fitted else made:
            degree = avatar.gaussians.sh_degree
            path = Path(folder) / f"degree{degree}.h5"
            save_avatar(avatar, path)
            line = ["reenact", str(path), "--size", "512", "--device", device, "--quiet"]
            mp4 = ["-o", str(Path(folder) / "play.mp4"), "--overwrite"]
            run(line + mp4 + ["--end", "1"])  # compiles what the cache lacks
            cases = {
                "1 frame to mp4": (1, mp4 + ["--end", "1"]),
                f"{frames} frames to mp4": (frames, mp4),
                f"{frames} frames to y4m": (frames, ["-o", "-"]),
            }
            for name, (count, output) in cases.items():
                runs = sorted(run(line + output) for _ in range(repeats))
                seconds, peak = runs[len(runs) // 2]
                yield {
                    "case": f"emoga reenact, {'fitted, ' if fitted else ''}SH {degree}, 512, {name}",
                    "threads": torch.get_num_threads(),
                    "median_ms": round(1e3 * seconds / count, 3),
                    "min_ms": round(1e3 * runs[0][0] / count, 3),
                    "fps": round(count / seconds, 1),
                    "seconds": round(seconds, 2),
                    "peak_rss_mb": peak,
                    "device": device,
                    "gaussians": len(avatar.gaussians),
                    "sh_degree": degree,
                }


def run(line: list[str]) -> tuple[float, float | None]:
    """Seconds of one command and its peak memory in MB (None where the system does not tell)."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "emoga_cli.main", *line], stdout=subprocess.DEVNULL)
    if not hasattr(os, "wait4"):  # Windows
        if process.wait() != 0:
            raise SystemExit(f"emoga {' '.join(line)} failed")
        return time.perf_counter() - started, None
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"emoga {' '.join(line)} failed")
    return seconds, round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1)


def in_turn(work: Callable[[int], Any], count: int) -> Callable[[], Any]:
    """A call that takes the next frame every time."""
    frame = iter(range(10**9))
    return lambda: work(next(frame) % count)


def parts(avatar: Avatar, degree: int, repeats: int) -> Iterator[dict[str, Any]]:
    """What makes a frame of 512x512 on the CPU, each part by itself, on one thread (the encoder has two)."""
    renderer, camera = AvatarRenderer(avatar), portrait(512)
    params, position = avatar.motion.params, camera.position[None]
    viewmats, Ks = stack_cameras([camera])
    background = torch.ones(3)
    count = avatar.motion.frame_count
    poses = renderer.pose(params, 0, count)
    splats = renderer.carry(poses[0], position)
    images = [renderer.draw(pose, [camera]).image[0].numpy() for pose in poses]

    def draw() -> Any:
        return rasterize(
            splats.means, splats.quats, splats.scales, splats.opacities, splats.colors, viewmats, Ks,
            512, 512, background=background,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder, VideoWriter(Path(folder) / "a.mp4", 25, 512, 512) as writer:

        def encode() -> None:
            with VideoWriter(Path(folder) / "b.mp4", 25, 512, 512, overwrite=True) as other:
                for image in images:
                    other.write(image)

        yield from (
            _row(f"part: {name}, SH {degree}", call, repeats, lambda: None, avatar, "cpu", degree, frames)
            for name, call, frames in (
                ("pose", lambda: renderer.pose(params, 0, POSED_TOGETHER), POSED_TOGETHER),
                ("carry", in_turn(lambda frame: renderer.carry(poses[frame], position), count), 1),
                ("draw", torch.no_grad()(draw), 1),
                ("convert", in_turn(lambda frame: writer.prepare(images[frame]), count), 1),
                ("convert and encode", encode, count),
            )
        )


def plain_torch(renderer: AvatarRenderer, params: HeadParams, camera: Camera) -> Callable[[int], Any]:
    """The peer: one frame with every Gaussian carried by torch operations."""
    puppet = renderer.puppet
    viewmats, Ks = stack_cameras([camera], renderer.device)
    position = torch.as_tensor(camera.position, dtype=torch.float32, device=renderer.device)

    @torch.no_grad()
    def draw(frame: int) -> Any:
        _, frames = pose_frames(puppet.identity, puppet.rig, params, frame)
        world = to_world(puppet.gaussians, frames)
        turn = turn_since_bind(frames, puppet.bind, puppet.gaussians.binding)
        towards = torch.nn.functional.normalize(world.means - position, dim=-1)
        colors = evaluate_sh(puppet.gaussians.sh, (towards[:, None] @ turn)[:, 0])
        return rasterize(
            world.means, world.quats, world.scales, world.opacities, colors, viewmats, Ks,
            camera.width, camera.height,
        )  # fmt: skip

    return draw


def single_frames(avatar: Avatar, device: str, repeats: int) -> Iterator[dict[str, Any]]:
    """One frame after the other, each on all threads, and the peer."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    renderer, count = AvatarRenderer(avatar, device), avatar.motion.frame_count
    params = avatar.motion.params.to(device)
    for size in SIZES:
        camera = portrait(size)

        def draw(frame: int, camera=camera) -> Any:
            return renderer.render(params, frame, [camera])

        for name, work in (
            (f"frame {size}", draw),
            (f"frame {size}, plain torch", plain_torch(renderer, params, camera)),
        ):
            yield _row(name, in_turn(work, count), repeats, wait, avatar, device, DEGREES[0])


def _row(
    case: str,
    work: Callable[[], Any],
    repeats: int,
    wait: Callable[[], None],
    avatar: Avatar,
    device: str,
    degree: int,
    frames: int = 1,
) -> dict[str, Any]:
    """Times per frame of a call that makes several."""
    median, least = (round(time / frames, 3) for time in median_ms(work, repeats, wait=wait))
    times = {"median_ms": median, "min_ms": least, "fps": round(1000 / median, 1)}
    shared = {"device": device, "gaussians": len(avatar.gaussians), "sh_degree": degree}
    return {"case": case, "threads": torch.get_num_threads(), **times, **shared}


def rows(fitted: Avatar | None, quick: bool) -> Iterator[dict[str, Any]]:
    """Timed cases, one after the other."""
    frames, repeats = (QUICK_FRAMES, 10) if quick else (FRAMES, 50)
    threads = torch.get_num_threads()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        yield from commands(fitted, device, frames, 1 if quick else 3)
    if fitted:
        return
    torch.set_num_threads(1)
    for degree in DEGREES:
        yield from parts(make_avatar(COUNT, degree, 5 * POSED_TOGETHER), degree, repeats)
    torch.set_num_threads(threads)
    for device in devices:
        yield from single_frames(make_avatar(COUNT, DEGREES[0], 50), device, repeats)


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    parser.add_argument("--avatar", type=Path, help="a fitted avatar (default: Gaussians as a fit starts)")
    parser.add_argument("--quick", action="store_true", help="fewer frames and repeats")
    arguments = parser.parse_args()
    found = []
    fitted = load_avatar(arguments.avatar) if arguments.avatar else None
    for row in rows(fitted, arguments.quick):
        print_row(row)
        found.append(row)
    write_report(found, torch.get_num_threads(), arguments.json)


if __name__ == "__main__":
    main()
