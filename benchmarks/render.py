"""Time the splat and mesh rasterizers, SSIM and spherical harmonics.

    python benchmarks/render.py --json benchmarks/results/render.json --plot benchmarks/results/render.png
    python benchmarks/render.py --quick

The scene is a head-sized ellipsoid of small Gaussians that fills 60 % of the picture's height. `limit_ms`
is the time the arithmetic alone would take: contributing (pixel, Gaussian) pairs x 25 instructions over the
processor's lanes, the threads and the clock. Brute-force torch, the named peer, is timed where it fits in
memory. The plot shows how cost grows with Gaussians and with pixels, beside lines that grow in proportion.
"""

from __future__ import annotations

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import lanes, median_ms, print_row, processor, versions, write_report

from emoga.kernels import kernel
from emoga.optimize.ssim import ssim_map, ssim_map_reference
from emoga.render import evaluate_sh, interpolate, rasterize, rasterize_mesh
from emoga.render.reference import project_reference
from emoga.render.sh import evaluate_sh_reference

COUNTS = {"20k": 20_000, "80k": 80_000, "200k": 200_000, "1M": 1_000_000}
SIZES = {
    "256": (256, 256),
    "512": (512, 512),
    "802x550": (802, 550),
    "1024": (1024, 1024),
    "2048": (2048, 2048),
}
INSTRUCTIONS_PER_PAIR = 25


@dataclass
class Scene:
    """Arguments of `rasterize`, one camera."""

    gaussians: dict[str, torch.Tensor]
    camera: dict[str, Any]


def ellipsoid(count: int, width: int, height: int, device: str = "cpu") -> Scene:
    """`count` flat Gaussians of about 1.75 px sigma (at 512 rows) on an ellipsoid, seed 0."""
    rng = np.random.default_rng(0)
    radii = np.array([0.75, 1.0, 0.85])
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = direction / radii
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    # The shortest turn from +z to the normal, then a random roll about it.
    turn = np.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], np.zeros(count)], 1)
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    half = rng.uniform(0, np.pi, count)
    w, x, y, _ = turn.T
    c, s = np.cos(half), np.sin(half)
    quats = np.stack([w * c, x * c + y * s, y * c - x * s, w * s], 1)
    distance = 6.0
    pixel = distance / (0.3 * 512 * distance)
    sigma = rng.uniform(1.5, 2.0, (count, 1)) * [1.0, 1.0, 0.2] * rng.uniform(0.85, 1.15, (count, 3))
    focal = 0.3 * height * distance
    view = np.eye(4)
    view[2, 3] = distance
    arrays = {
        "means": direction * radii,
        "quats": quats,
        "scales": sigma * pixel,
        "opacities": rng.uniform(0.3, 1.0, count),
        "colors": rng.uniform(0, 1, (count, 3)),
        "viewmats": view[None],
        "Ks": np.array([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]]),
        "background": np.array([0.2, 0.3, 0.4]),
    }
    tensors = {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in arrays.items()}
    camera = {k: tensors.pop(k) for k in ("viewmats", "Ks", "background")}
    return Scene(tensors, camera | {"width": width, "height": height})


@kernel
def _count_pairs(centres, conics, opacities, reach, width, height):
    """Pairs of pixels and Gaussians (near to far) that get blended: above the cut, before the stop."""
    transmittance = np.ones((height, width), np.float32)
    pairs = 0
    for i in range(len(opacities)):
        x, y = centres[i]
        for row in range(max(0, int(y - reach[i, 1])), min(height, int(y + reach[i, 1]) + 1)):
            for column in range(max(0, int(x - reach[i, 0])), min(width, int(x + reach[i, 0]) + 1)):
                dx, dy = column + 0.5 - x, row + 0.5 - y
                power = conics[i, 0, 0] * dx * dx + 2 * conics[i, 0, 1] * dx * dy + conics[i, 1, 1] * dy * dy
                alpha = min(opacities[i] * np.exp(-0.5 * power), 0.999)
                if alpha >= 1 / 255 and transmittance[row, column] > 0:
                    after = transmittance[row, column] * (1 - alpha)
                    transmittance[row, column] = after if after > 1e-4 else 0
                    pairs += after > 1e-4
    return pairs


def contributing_pairs(scene: Scene) -> int:
    """How many (pixel, Gaussian) pairs one render blends, counted one by one."""
    g, c = scene.gaussians, scene.camera
    size = (c["width"], c["height"])
    centres, covariances, depths = project_reference(
        g["means"], g["quats"], g["scales"], c["viewmats"][0], c["Ks"][0], *size
    )
    order = torch.argsort(depths, stable=True)
    cut = (2 * (255 * g["opacities"]).log()).sqrt()
    reach = cut[:, None] * covariances.diagonal(dim1=1, dim2=2).sqrt()
    arrays = (centres, covariances.inverse(), g["opacities"], reach)
    return _count_pairs(*(a[order].numpy() for a in arrays), *size)


def splat_work(scene: Scene, backend: str, backward: bool) -> Callable[[], None]:
    """A call that renders once, through autograd when `backward`."""
    leaves = {k: v.clone().requires_grad_(backward) for k, v in scene.gaussians.items()}
    grad = torch.ones(1, scene.camera["height"], scene.camera["width"], 3, device=leaves["means"].device)

    def work() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        image = rasterize(**leaves, **scene.camera, backend=backend).image
        if backward:
            image.backward(grad)

    return work


def splat_cases(quick: bool) -> list[tuple[str, str, int]]:
    """(Gaussians, size, threads) to time; threads 0 stands for all."""
    if quick:
        return [("20k", "256", 0), ("80k", "512", 0)]
    threads = (0, 1) if torch.get_num_threads() > 1 else (0,)
    return [(count, size, number) for number in threads for count in COUNTS for size in SIZES]


def limit_ms(pairs: int, threads: int) -> float | None:
    """What blending so many pairs takes if nothing but arithmetic takes time; None at an unknown clock."""
    clock = processor()["clock_ghz"]
    return round(pairs * INSTRUCTIONS_PER_PAIR / (lanes() * threads * clock * 1e6), 3) if clock else None


def time_splats(cases: list[tuple[str, str, int]], backend: str, repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of the splat rasterizer."""
    every = torch.get_num_threads()
    wait = torch.cuda.synchronize if backend == "cuda" else (lambda: None)
    counted: dict[tuple[str, str], int] = {}
    for count, size, threads in cases:
        torch.set_num_threads(threads or every)
        scene = ellipsoid(COUNTS[count], *SIZES[size], device=backend)
        if backend == "cpu" and (count, size) not in counted:
            counted[count, size] = contributing_pairs(scene)
        for name, backward in (("forward", False), ("forward_backward", True)):
            median, least = median_ms(splat_work(scene, backend, backward), repeats, wait=wait)
            row = {"case": f"{backend}/{count}/{size}/{name}", "threads": threads or every}
            row |= {"median_ms": median, "min_ms": least}
            if backend == "cpu":
                pairs = counted[count, size]
                row |= (
                    {"pairs": pairs}
                    if backward
                    else {"pairs": pairs, "limit_ms": limit_ms(pairs, row["threads"])}
                )
            yield row
    torch.set_num_threads(every)


def plot_growth(rows: list[dict[str, Any]], threads: int, path: Path) -> None:
    """Cost over Gaussians at 512x512 and over pixels at 80,000, on logarithmic axes, as a PNG."""
    from matplotlib.figure import Figure

    found = {row["case"]: row["median_ms"] for row in rows if row["threads"] == threads}
    pixels = {size: width * height for size, (width, height) in SIZES.items()}
    sides = (
        ("Gaussians, at 512x512", [(n, f"cpu/{count}/512") for count, n in COUNTS.items()]),
        ("pixels, of 80,000 Gaussians", sorted((n, f"cpu/80k/{size}") for size, n in pixels.items())),
    )
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (label, points) in zip(figure.subplots(1, 2), sides, strict=True):
        for name in ("forward", "forward_backward"):
            shown = [(n, found[f"{case}/{name}"]) for n, case in points if f"{case}/{name}" in found]
            if not shown:
                continue
            x, y = np.array(shown).T
            (line,) = axes.loglog(x, y, "o-", label=name.replace("_", " + "))
            axes.loglog(x, y[0] * x / x[0], ":", color=line.get_color(), label="in proportion")
        axes.set(xlabel=label, ylabel=f"median ms on {threads} threads")
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def time_peers(repeats: int) -> Iterator[dict[str, Any]]:
    """Brute-force torch and our CPU backend on a scene small enough for both."""
    scene = ellipsoid(1000, 64, 64)
    for backend in ("reference", "cpu"):
        for name, backward in (("forward", False), ("forward_backward", True)):
            median, least = median_ms(splat_work(scene, backend, backward), repeats)
            case = {"case": f"{backend}/1k/64/{name}", "threads": torch.get_num_threads()}
            yield case | {"median_ms": median, "min_ms": least}


def time_parts(repeats: int) -> Iterator[dict[str, Any]]:
    """SSIM, spherical harmonics and the mesh rasterizer, each beside plain torch where there is one."""
    threads = torch.get_num_threads()
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(1, 512, 512, 3, generator=generator).requires_grad_()
    b = torch.rand(1, 512, 512, 3, generator=generator)
    sh = torch.randn(80_000, 16, 3, generator=generator).requires_grad_()
    directions = torch.randn(80_000, 3, generator=generator)
    vertices, faces = sphere_mesh()
    scene = ellipsoid(1, 512, 512)
    view = (scene.camera["viewmats"], scene.camera["Ks"], 512, 512)
    work: dict[str, Callable[[], Any]] = {
        "cpu/ssim/512/forward_backward": lambda: ssim_map(a, b).sum().backward(),
        "torch/ssim/512/forward_backward": lambda: ssim_map_reference(a, b).sum().backward(),
        "cpu/sh3/80k/forward_backward": lambda: evaluate_sh(sh, directions).sum().backward(),
        "torch/sh3/80k/forward_backward": lambda: evaluate_sh_reference(sh, directions).sum().backward(),
        "cpu/mesh_10k/512/forward": lambda: rasterize_mesh(vertices, faces, *view),
        "cpu/mesh_10k/512/interpolate": lambda: interpolate(rasterize_mesh(vertices, faces, *view), vertices),
    }
    for case, call in work.items():
        median, least = median_ms(call, repeats)
        yield {"case": case, "threads": threads, "median_ms": median, "min_ms": least}


def sphere_mesh() -> tuple[torch.Tensor, torch.Tensor]:
    """About 10,000 faces on the ellipsoid's sphere of radius 1."""
    rings, around = 51, 100
    polar = torch.linspace(0.01, torch.pi - 0.01, rings)[:, None]
    angle = torch.linspace(0, 2 * torch.pi, around + 1)[None, :-1]
    grid = [polar.sin() * angle.cos(), polar.cos().expand(-1, around), polar.sin() * angle.sin()]
    i, j = torch.meshgrid(torch.arange(rings - 1), torch.arange(around), indexing="ij")
    right = (j + 1) % around
    a, b, c, d = (i * around + j, i * around + right, (i + 1) * around + right, (i + 1) * around + j)
    faces = torch.cat([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)]).reshape(-1, 3)
    return torch.stack(grid, -1).reshape(-1, 3), faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--plot", type=Path, help="write a PNG of cost over Gaussians and over pixels here")
    parser.add_argument("--quick", action="store_true", help="two scenes, few repeats")
    parser.add_argument("--threads", type=int, help="threads to use (default: torch's)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    repeats = 5 if arguments.quick else 21
    print(f"{processor()} {versions()}")
    rows = []
    sources = [time_splats(splat_cases(arguments.quick), "cpu", repeats), time_peers(5), time_parts(repeats)]
    if torch.cuda.is_available():
        sources.append(time_splats(splat_cases(arguments.quick), "cuda", repeats))
    else:
        print("no CUDA device: cuda cases not run")
    for source in sources:
        for row in source:
            print_row(row)
            rows.append(row)
    write_report(rows, torch.get_num_threads(), arguments.json)
    if arguments.plot:
        plot_growth(rows, torch.get_num_threads(), arguments.plot)


if __name__ == "__main__":
    main()
