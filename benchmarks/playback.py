"""Time an avatar at play: posing the head, carrying the Gaussians, drawing, and whole reenactments to mp4.

    python benchmarks/playback.py --json benchmarks/results/playback.json
    python benchmarks/playback.py --quick

The avatar is the open head's template with Gaussians spread over it as a fit starts, talking in the studio's
manner. The named peer is the same frame with Gaussians carried in plain torch, as GaussianAvatars does it,
before the same rasterizer; on CUDA that rasterizer is gsplat.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import median_ms, print_row, write_report

import emoga  # noqa: F401  before torch: it sets how torch's threads wait
from emoga.avatar import Avatar
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import rig_of, to_world, turn_since_bind
from emoga.camera import Camera, look_at, stack_cameras
from emoga.fitting.start import start_gaussians
from emoga.head import HeadParams, load_head
from emoga.motion import Motion
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment import reenact
from emoga.render import evaluate_sh, rasterize
from emoga.studio.acting import perform

COUNTS = {"20k": 20_000, "90k": 90_000}
SIZES = (256, 512, 1024)
FRAMES = 50


def make_avatar(count: int) -> Avatar:
    """The template head with about `count` grey Gaussians and two seconds of talk."""
    head = load_head()
    shape = torch.zeros(len(head.shape_names))
    gaussians = start_gaussians(
        head, head.identify(shape).rest, rig_of(head), count, 1, np.random.default_rng(0)
    )
    acted = perform(head, FRAMES, seed=0)
    params = HeadParams(
        shape, None, acted.expr, acted.rotation, acted.neck, acted.jaw, acted.eyes, acted.translation
    )
    neutral = torch.zeros(len(head.expr_names))
    motion = Motion(head.name, head.version, head.checksum, params, 25.0)
    return Avatar(gaussians, head.name, head.version, head.checksum, shape, neutral, motion=motion)


def portrait(size: int) -> Camera:
    """A frontal camera that the head fills."""
    return look_at((0, -0.02, 0.9), (0, -0.02, -0.05), 0.32, size, size)


def in_turn(work: Callable[[int], Any]) -> Callable[[], Any]:
    """A call that takes the next frame every time."""
    frame = iter(range(10**9))
    return lambda: work(next(frame) % FRAMES)


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


def rows(device: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Timed cases, one after the other."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    repeats = 10 if quick else 50
    for name, count in COUNTS.items():
        avatar = make_avatar(count)
        renderer = AvatarRenderer(avatar, device)
        params = avatar.motion.params.to(device)
        shared = {"threads": torch.get_num_threads(), "device": device, "gaussians": len(avatar.gaussians)}

        def pose(frame: int, renderer=renderer, params=params) -> Any:
            with torch.no_grad():
                return pose_frames(renderer.puppet.identity, renderer.puppet.rig, params, frame)

        yield _row(f"pose head, {name}", in_turn(pose), repeats, wait, shared)
        for size in SIZES[:2] if quick else SIZES:
            camera = portrait(size)

            def draw(frame: int, renderer=renderer, params=params, camera=camera) -> Any:
                return renderer.render(params, frame, [camera])

            yield _row(f"frame {size}, {name}", in_turn(draw), repeats, wait, shared)
            peer = plain_torch(renderer, params, camera)
            yield _row(f"frame {size}, {name}, plain torch", in_turn(peer), repeats, wait, shared)
        yield _whole(avatar, name, device, shared)


def _row(
    case: str, work: Callable[[], Any], repeats: int, wait: Callable[[], None], shared: dict[str, Any]
) -> dict[str, Any]:
    median, least = median_ms(work, repeats, wait=wait)
    return {"case": case, "median_ms": median, "min_ms": least, "fps": round(1000 / median, 1), **shared}


def _whole(avatar: Avatar, name: str, device: str, shared: dict[str, Any]) -> dict[str, Any]:
    """A reenactment to a 512x512 mp4, per frame, encoder included."""
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            reenact(avatar, Path(folder) / "play.mp4", size=(512, 512), device=device, overwrite=True)

        median, least = median_ms(work, 3, warm_up=1)
    per_frame = {"median_ms": round(median / FRAMES, 3), "min_ms": round(least / FRAMES, 3)}
    return {
        "case": f"reenact to mp4, 512, {name}",
        **per_frame,
        "fps": round(1e3 * FRAMES / median, 1),
        **shared,
    }


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    parser.add_argument("--quick", action="store_true", help="fewer cases and repeats")
    arguments = parser.parse_args()
    found = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for row in rows(device, arguments.quick):
            print_row(row)
            found.append(row)
    write_report(found, torch.get_num_threads(), arguments.json)


if __name__ == "__main__":
    main()
