"""Everything of rendering that needs an NVIDIA GPU, in one run of under ten minutes.

    python benchmarks/gpu/run_gpu.py --json FILE

1. Which torch, CUDA and gsplat are here, and whether gsplat's kernels load.
2. Parity: the `cuda` tests (against the float64 reference), then `cuda` against `cpu` on 80,000 Gaussians.
3. Times of the `cuda` backend, synchronised, for all sizes, and batches of cameras in one call.

Ends with exit code 1 when a check fails, 3 when there is no GPU or no gsplat.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import render as bench  # noqa: E402
import torch  # noqa: E402
from harness import median_ms, print_row, versions, write_report  # noqa: E402

from emoga.render import rasterize  # noqa: E402

IMAGE_TOLERANCE = 2e-3
GRADIENT_TOLERANCE = 1e-2


def describe() -> dict[str, Any]:
    """Device, driver side CUDA and packages; raises ImportError when gsplat is absent."""
    import gsplat

    start = time.perf_counter()
    scene = bench.ellipsoid(100, 64, 64, "cuda")
    rasterize(**scene.gaussians, **scene.camera)
    torch.cuda.synchronize()
    return {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "gsplat": gsplat.__version__,
        "first_render_s": round(time.perf_counter() - start, 2),
        **versions(),
    }


def compare_with_cpu() -> dict[str, float]:
    """Largest pixel difference and relative gradient differences, cuda to cpu, 80,000 Gaussians at 512²."""
    results = {}
    for backend in ("cpu", "cuda"):
        scene = bench.ellipsoid(80_000, 512, 512, backend)
        leaves = {k: v.requires_grad_() for k, v in scene.gaussians.items()}
        rendering = rasterize(**leaves, **scene.camera)
        target = torch.linspace(0, 1, 512, device=backend)[None, :, None, None]
        gradients = torch.autograd.grad((rendering.image - target).square().sum(), list(leaves.values()))
        results[backend] = [rendering.image.detach().cpu(), *(g.cpu() for g in gradients)]
    ours, theirs = results["cpu"], results["cuda"]
    differences = {"image": (ours[0] - theirs[0]).abs().max().item()}
    for name, a, b in zip(bench.ellipsoid(1, 8, 8).gaussians, ours[1:], theirs[1:], strict=True):
        differences[name] = ((a - b).norm() / a.norm()).item()
    return differences


def time_batches(repeats: int) -> list[dict[str, Any]]:
    """Several cameras in one call: milliseconds per call and pictures per second."""
    rows = []
    for count in ("20k", "80k"):
        scene = bench.ellipsoid(bench.COUNTS[count], 512, 512, "cuda")
        for cameras in (1, 4, 16):
            camera = dict(scene.camera)
            for key in ("viewmats", "Ks"):
                camera[key] = camera[key].expand(cameras, -1, -1).contiguous()
            batch = bench.Scene(scene.gaussians, camera)

            def work(batch: bench.Scene = batch) -> None:
                with torch.no_grad():
                    rasterize(**batch.gaussians, **batch.camera)

            median, least = median_ms(work, repeats, wait=torch.cuda.synchronize)
            case = {"case": f"cuda/{count}/512/forward/{cameras}_cameras", "threads": 1}
            rows.append(case | {"median_ms": median, "min_ms": least, "fps": round(1e3 * cameras / median)})
            print_row(rows[-1])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing ran", file=sys.stderr)
        return 3
    try:
        machine = describe()
    except Exception as error:
        print(f"gsplat does not work here: {error}", file=sys.stderr)
        return 3
    print(machine)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_render_splats.py", "-q", "-k", "cuda"], cwd=ROOT
    )
    differences = compare_with_cpu()
    print("cuda against cpu:", {k: f"{v:.2e}" for k, v in differences.items()})
    rows = time_batches(30)
    for row in bench.time_splats(bench.splat_cases(False)[:-2], "cuda", 30):
        print_row(row)
        rows.append(row)
    extra = {"gpu": machine, "cuda_against_cpu": differences, "tests_exit_code": tests.returncode}
    write_report(rows, torch.get_num_threads(), arguments.json, **extra)
    image = differences.pop("image")
    good = image < IMAGE_TOLERANCE and max(differences.values()) < GRADIENT_TOLERANCE
    return 0 if good and tests.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
