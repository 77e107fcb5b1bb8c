"""What every benchmark shares: timing, the description of the machine, the table and the JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding

from emoga.progress import Event, Note, Stage

WARM_SECONDS = 0.3
PACKAGES = ("emoga", "torch", "numba", "llvmlite", "numpy", "gsplat")


def processor() -> dict[str, Any]:
    """Model name, cores and clock in GHz (None where the system does not tell)."""
    name, clock = platform.processor() or platform.machine(), None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "cpu MHz":
            clock = round(float(value) / 1000, 2)
    return {"processor": name, "cores": os.cpu_count(), "clock_ghz": clock}


def lanes() -> int:
    """float32 lanes of the widest vectors the processor has: 16 with AVX-512, 8 with AVX, else 4."""
    features = llvmlite.binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


def versions() -> dict[str, str]:
    """Versions of the packages that matter, those installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def median_ms(
    work: Callable[[], Any], repeats: int, warm_up: int = 2, wait: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Median and smallest time of `work` in milliseconds; `wait` ends work that runs elsewhere.

    Beforehand it runs `warm_up` times and for WARM_SECONDS: processors take a while to spread threads over
    their cores and to raise the clock, and the first dozen renders would take twice as long as all later ones.
    """
    times: list[float] = []
    begun, run = time.perf_counter(), 0
    while len(times) < repeats:
        start = time.perf_counter()
        work()
        wait()
        run += 1
        if run > warm_up and start - begun > WARM_SECONDS:
            times.append(1e3 * (time.perf_counter() - start))
    return round(statistics.median(times), 3), round(min(times), 3)


def write_report(rows: list[dict[str, Any]], threads: int, path: Path | None, **extra: Any) -> None:
    """Write {machine, versions, threads, …, rows} as JSON, if a path was given."""
    if path is None:
        return
    report = {"machine": processor(), "versions": versions(), "threads": threads, **extra, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def print_row(row: dict[str, Any]) -> None:
    """One line of the table on the terminal."""
    rest = "  ".join(
        f"{k} {v}" for k, v in row.items() if k not in ("case", "threads", "median_ms", "min_ms")
    )
    times = f"{row['median_ms']:>10.2f} ms (min {row['min_ms']:.2f})"
    print(f"{row['case']:<36} {row['threads']:>2} threads {times}  {rest}", flush=True)


def print_figures(row: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    """One row of figures on the terminal, without those named in `but`."""
    shown = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k not in but)
    print("  ".join(shown), flush=True)


def say(event: Event) -> None:
    """What long work is at, on stderr; a reporter without a progress bar."""
    if isinstance(event, Note | Stage):
        print(f"  {event.text if isinstance(event, Note) else event.name}", file=sys.stderr, flush=True)


@contextmanager
def cache_folder(folder: Path | None) -> Iterator[Path]:
    """The folder that keeps what was made, or one that goes away with the run."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
