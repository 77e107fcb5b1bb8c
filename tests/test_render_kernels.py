"""Compiled kernels: lanes against NumPy, threads, forks, interrupts, and the cache of compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import emoga.kernels
from emoga.kernels import kernel, kernel_sources, run_parallel, take_ticket
from emoga.render import lane_math, lanes, rasterize, views, warm_up


@kernel
def _every_operation(source, target, rounded):
    a = lanes.load(source, 0)
    b = lanes.load(source, 8)
    lanes.store(target, 0, a + b * np.float32(2) - np.float32(1) / b)
    lanes.store(target, 8, lanes.select((a < b) & (a >= np.float32(-1)), a, np.float32(7)))
    lanes.store(target, 16, lane_math.minimum(a, b))
    lanes.store(target, 24, lane_math.exp2(a))
    lanes.store(target, 32, lane_math.sqrt_or_zero(a))
    lanes.store(target, 40, lanes.ramp() + lanes.splat(np.float32(3)))
    lanes.store(target, 48, lane_math.maximum(a, b))
    lanes.store(target, 56, lane_math.floor_lanes(a) + np.float32(10) * lane_math.ceil_lanes(a))
    lanes.store(target, 64, lane_math.minus_size(a))
    lanes.store_totals(target, 72, a, b, a + b, lanes.splat(np.float32(2)))
    target[76] = 1 if lanes.any_set(a > np.float32(1e9)) else 0
    target[77] = 1 if lanes.any_set(a <= source[0]) else 0
    rounded[0] = lane_math.floor_int(source[1])
    rounded[1] = lane_math.ceil_int(source[1])
    rounded[2] = lane_math.float_bits(source[1])


def test_lanes_do_what_numpy_does() -> None:
    source = np.array([-3.5, 0.25, 2, -0.75, 9.5, -20, 1, 0, 1, -1, 2.5, 4, 0.5, 3, 1, 5], np.float32)
    a, b = source[:8], source[8:]
    target, rounded = np.zeros(78, np.float32), np.zeros(3, np.int32)
    _every_operation(source, target, rounded)
    expected = [
        a + b * 2 - 1 / b,
        np.where((a < b) & (a >= -1), a, 7),
        np.minimum(a, b),
        np.exp2(a),
        np.sqrt(np.maximum(a, 0)),
        np.arange(8) + 3,
        np.maximum(a, b),
        np.floor(a) + 10 * np.ceil(a),
        -np.abs(a),
    ]
    assert np.allclose(target[:72].reshape(9, 8), expected, rtol=5e-7, atol=0)
    assert target[72:].tolist() == [a.sum(), b.sum(), (a + b).sum(), 16, 0, 1]
    assert rounded.tolist() == [0, 1, np.float32(0.25).view(np.int32)]


@kernel
def _sixteen(source, target):
    a = lanes.load16(source, 0)
    b = lanes.select(a > np.float32(0), a, lanes.splat16(np.float32(2)))
    lanes.store(target, 0, lane_math.exp2(a) + lane_math.minimum(b, np.float32(3)))
    lanes.store_totals(target, 16, a, b, a - b, a * a)


def test_sixteen_lanes_too() -> None:
    source = np.arange(-8, 8, dtype=np.float32)
    target = np.zeros(20, np.float32)
    _sixteen(source, target)
    b = np.where(source > 0, source, 2)
    assert np.allclose(target[:16], np.exp2(source) + np.minimum(b, 3), rtol=5e-7, atol=0)
    assert target[16:].tolist() == [source.sum(), b.sum(), (source - b).sum(), (source**2).sum()]


@kernel
def _bits(first, stop, found):
    rows = lanes.bit_rows(lanes.load(first, 0), lanes.load(stop, 0))
    found[0] = rows
    count = 1
    while rows != 0:
        found[count] = lanes.lowest_bit(rows)
        rows &= rows - 1
        count += 1
    return count


def test_rows_of_bits_and_their_sweep() -> None:
    first = np.array([0, 1, 3, 8, 0, 7, 2, 0], np.float32)
    stop = np.array([0, 2, 6, 8, 8, 8, 2, 1], np.float32)
    found = np.zeros(65, np.int64)
    count = _bits(first, stop, found)
    expected = [8 * row + k for row in range(8) for k in range(int(first[row]), int(stop[row]))]
    assert found[1:count].tolist() == expected
    assert found[0] == sum(1 << k for k in expected)


def test_exp2_is_accurate_over_its_range() -> None:
    values = np.linspace(-125, 125, 8 * 4000, dtype=np.float32)
    target, rounded = np.zeros(78, np.float32), np.zeros(3, np.int32)
    worst = 0.0
    for chunk in values.reshape(-1, 8):
        _every_operation(np.concatenate([chunk, np.ones(8, np.float32)]), target, rounded)
        truth = np.exp2(chunk.astype(np.float64))
        worst = max(worst, np.abs(target[24:32] / truth - 1).max())
    assert worst < 4e-7


@kernel
def _log2_of(source, target):
    lanes.store(target, 0, lane_math.log2(lanes.load16(source, 0)))


def test_log2_is_accurate_over_its_range() -> None:
    values = np.exp2(np.linspace(-120, 120, 16 * 2000)).astype(np.float32)
    near_one = np.linspace(0.9, 1.1, 16 * 2000, dtype=np.float32)
    target = np.zeros(16, np.float32)
    for chunk in np.concatenate([values, near_one]).reshape(-1, 16):
        _log2_of(chunk, target)
        truth = np.log2(chunk.astype(np.float64))
        assert (np.abs(target - truth) <= 2e-7 * np.maximum(1, np.abs(truth))).all()


@kernel
def _columns(threes, fours, target):
    a, b, c = lanes.columns_of_3(threes, 3)
    d, e, f, g = lanes.columns_of_4(fours, 4)
    fine = lanes.at_most(a, np.int32(0x42C80000))  # the bits of 100
    lanes.store(target, 0, lanes.select(fine, a, np.float32(-1)))
    lanes.store(target, 16, -b + c)
    lanes.store(target, 32, d * e + f * g)


def test_columns_of_rows_and_the_mask_of_sane_numbers() -> None:
    rng = np.random.default_rng(0)
    threes = rng.normal(size=(17, 3)).astype(np.float32)
    fours = rng.normal(size=(17, 4)).astype(np.float32)
    threes[[2, 3, 4, 5, 6], 0] = np.nan, np.inf, -np.inf, 100, -100.1
    target = np.zeros(48, np.float32)
    _columns(threes, fours, target)
    (a, b, c), (d, e, f, g) = threes[1:].T, fours[1:].T
    expected = np.where([k in (1, 2, 3, 5) for k in range(16)], -1, a)
    assert np.array_equal(target[:16], expected)
    assert np.allclose(target[16:], np.concatenate([c - b, d * e + f * g]), rtol=1e-6, atol=1e-6)


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
t.test_sixteen_lanes_too()
t.test_rows_of_bits_and_their_sweep()
t.test_columns_of_rows_and_the_mask_of_sane_numbers()
"""
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    environment |= {"EMOGA_CACHE": str(blocked), "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)


def test_the_cache_key_covers_kernels_and_the_constants_they_hold() -> None:
    """Beside each file with kernels the files whose upper-case names it imports: `packed` has no kernel."""
    names = {file.relative_to(Path(emoga.kernels.__file__).parent).as_posix() for file in kernel_sources()}
    assert {"kernels.py", "render/lanes.py", "render/packed.py", "render/blend_backward.py"} <= names
    assert {"optimize/adam.py", "triangles.py"} <= names and "render/rendering.py" not in names


def test_a_warm_render_compiles_nothing() -> None:
    kernels = [value for value in vars(views).values() if hasattr(value, "signatures")]
    assert len(kernels) >= 8
    warm_up()
    before = [list(k.signatures) for k in kernels]
    K = torch.tensor([[[9.0, 0, 4], [0, 9, 4], [0, 0, 1]]]).repeat(2, 1, 1)
    inputs = [torch.rand(5, 3), torch.rand(5, 4), torch.rand(5, 3), torch.rand(5), torch.rand(5, 3)]
    inputs[0].requires_grad_()
    for width, height in ((1, 1), (1, 40), (40, 1), (70, 33)):
        for with_depth in (False, True):
            call = (*inputs, torch.eye(4).repeat(2, 1, 1), K, width, height)
            made = rasterize(*call, with_depth=with_depth, background=torch.rand(2, 3))
            made.alpha.sum().backward()
            with torch.no_grad():
                rasterize(*(t.detach()[1:] for t in inputs), *call[5:], with_depth=with_depth)
    assert [list(k.signatures) for k in kernels] == before
