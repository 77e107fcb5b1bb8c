"""Compiled kernels: lanes against NumPy, threads, forks, interrupts, and the cache of compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from emoga.kernels import kernel, run_parallel, take_ticket
from emoga.render import lanes, rasterize


@kernel
def _every_operation(source, target, rounded):
    a = lanes.load(source, 0)
    b = lanes.load(source, 8)
    lanes.store(target, 0, a + b * np.float32(2) - np.float32(1) / b)
    lanes.store(target, 8, lanes.select((a < b) & (a >= np.float32(-1)), a, np.float32(7)))
    lanes.store(target, 16, lanes.minimum(a, b))
    lanes.store(target, 24, lanes.exp2(a))
    lanes.store(target, 32, lanes.sqrt_or_zero(a))
    lanes.store(target, 40, lanes.ramp() + lanes.splat(np.float32(3)))
    lanes.store_floor(rounded, 0, a)
    lanes.store_ceil(rounded, 8, a)
    target[48] = lanes.total(a)
    target[49] = 1 if lanes.any_set(a > np.float32(1e9)) else 0
    target[50] = 1 if lanes.any_set(a <= source[0]) else 0
    rounded[16] = lanes.floor_int(source[1])
    rounded[17] = lanes.ceil_int(source[1])
    rounded[18] = lanes.float_bits(source[1])


def test_lanes_do_what_numpy_does() -> None:
    source = np.array([-3.5, 0.25, 2, -0.75, 9.5, -20, 1, 0, 1, -1, 2.5, 4, 0.5, 3, 1, 5], np.float32)
    a, b = source[:8], source[8:]
    target, rounded = np.zeros(51, np.float32), np.zeros(19, np.int32)
    _every_operation(source, target, rounded)
    expected = [
        a + b * 2 - 1 / b,
        np.where((a < b) & (a >= -1), a, 7),
        np.minimum(a, b),
        np.exp2(a),
        np.sqrt(np.maximum(a, 0)),
        np.arange(8) + 3,
    ]
    assert np.allclose(target[:48].reshape(6, 8), expected, rtol=5e-7, atol=0)
    assert target[48:].tolist() == [a.sum(), 0, 1]
    assert np.array_equal(rounded[:16].reshape(2, 8), [np.floor(a), np.ceil(a)])
    assert rounded[16:].tolist() == [0, 1, np.float32(0.25).view(np.int32)]


def test_exp2_is_accurate_over_its_range() -> None:
    values = np.linspace(-125, 125, 8 * 4000, dtype=np.float32)
    target, rounded = np.zeros(51, np.float32), np.zeros(19, np.int32)
    worst = 0.0
    for chunk in values.reshape(-1, 8):
        _every_operation(np.concatenate([chunk, np.ones(8, np.float32)]), target, rounded)
        truth = np.exp2(chunk.astype(np.float64))
        worst = max(worst, np.abs(target[24:32] / truth - 1).max())
    assert worst < 4e-7


@kernel
def _take_tickets(worker, workers, counter, taken):
    while True:
        ticket = take_ticket(counter)
        if ticket >= taken.size:
            break
        taken[ticket] += 1


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_ticket_is_taken_once(workers: int) -> None:
    taken = np.zeros(5000, np.int32)
    run_parallel(_take_tickets, np.zeros(1, np.int64), taken, workers=workers)
    assert (taken == 1).all()


def test_a_failing_worker_is_heard_and_the_rest_goes_on() -> None:
    def fail_elsewhere(worker: int, workers: int) -> None:
        if worker == workers - 1:
            raise ValueError("from a worker")

    for _ in range(2):
        with pytest.raises(ValueError, match="from a worker"):
            run_parallel(fail_elsewhere, workers=3)
    seen = [0] * 3

    def mark(worker: int, workers: int) -> None:
        seen[worker] += 1

    run_parallel(mark, workers=3)
    assert seen == [1, 1, 1]


def _picture(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    means = torch.rand(300, 3, generator=generator) + torch.tensor([-0.5, -0.5, 1.0])
    K = torch.tensor([[[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]])
    rest = (torch.rand(300, d, generator=generator) for d in (4, 3))
    opacities, colors = torch.rand(300, generator=generator), torch.rand(300, 3, generator=generator)
    quats, scales = rest
    return rasterize(means, quats, 0.05 * scales, opacities, colors, torch.eye(4)[None], K, 64, 48).image


def test_python_threads_may_render_at_once() -> None:
    expected = [_picture(k) for k in range(4)]
    wrong: list[int] = []

    def render(seed: int) -> None:
        wrong.extend(seed for _ in range(20) if not torch.equal(_picture(seed), expected[seed]))

    threads = [threading.Thread(target=render, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT RUN: no fork on this system")
def test_a_forked_process_renders_too() -> None:
    code = """
import os, numpy as np
from emoga.kernels import run_parallel
seen = [0, 0]
def mark(worker, workers):
    seen[worker] += 1
run_parallel(mark, workers=2)
child = os.fork()
if child == 0:
    run_parallel(mark, workers=2)
    os._exit(0 if seen == [2, 2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_kernels_compile_without_avx_and_without_a_cache(tmp_path) -> None:
    """The plainest processor numba can aim at, and a cache folder that cannot be made."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = """
import sys; sys.path.insert(0, "tests")
import test_render_kernels as t
t.test_lanes_do_what_numpy_does()
"""
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    environment |= {"EMOGA_CACHE": str(blocked), "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)
