"""Compiled kernels and the threads that run them.

`kernel` is numba's njit with emoga's settings. Compiled code is kept in emoga's cache folder under a
name made from the sources of all kernel files and of the constants they import, because numba's own cache
looks only at the file that defines a function and would keep stale code when an inlined helper or a
constant elsewhere changes.

`run_parallel` runs one kernel on several threads, which share out work with `take_ticket`. numba's own
thread layers are not used: they differ from machine to machine, spin against torch's threads, and abort
when two Python threads render at once.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import llvmlite
import numba
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from emoga.files import cache_dir

FOLDERS = (".", "render", "optimize")  # of this package, where kernels and what is inlined into them lie


def _constant_sources(source: Path, text: bytes) -> set[Path]:
    """Files of this package from which a kernel file takes constants, which its kernels hold compiled in."""
    root = Path(__file__).parent
    found = set()
    for node in ast.walk(ast.parse(text, str(source))):
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{root.name}.")
        if ours and any(alias.name.lstrip("_").isupper() for alias in node.names):
            found.add(root.joinpath(*node.module.split(".")[1:]).with_suffix(".py"))
    return {file for file in found if file.exists()}


def kernel_sources() -> list[Path]:
    """Files that compiled kernels depend on: those with kernels or lanes in them, and their constants'."""
    found: set[Path] = set()
    for source in (file for name in FOLDERS for file in (Path(__file__).parent / name).glob("*.py")):
        text = source.read_bytes()
        if re.search(rb"^(import numba|from numba|@kernel)", text, re.MULTILINE):
            found |= {source.resolve(), *_constant_sources(source, text)}
    return sorted(found)


@lru_cache(maxsize=1)
def _kernel_cache_folder() -> Path | None:
    """Where compiled kernels go, or None when nothing can be written there."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for source in kernel_sources():
        digest.update(source.name.encode() + source.read_bytes())
    root = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else cache_dir() / "kernels"
    folder = root / f"emoga-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def _numba_cache_at(folder: Path) -> Iterator[None]:
    """numba reads its cache folder once, when a function is decorated."""
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = previous


def kernel(function: Callable | None = None, *, inline: bool = False) -> Callable:
    """Compile `function` on first call: no GIL, relaxed float order, no zero-division checks, cached.

    `inline` forces LLVM to inline it into its callers.
    """
    if function is None:
        return lambda target: kernel(target, inline=inline)
    options = {"nogil": True, "fastmath": True, "error_model": "numpy", "forceinline": inline}
    folder = _kernel_cache_folder()
    if folder is None:
        return numba.njit(**options)(function)
    with _numba_cache_at(folder):
        return numba.njit(cache=True, **options)(function)


_workers: int | None = None


def worker_count() -> int:
    """Threads to use: torch's setting, but never more than NUMBA_NUM_THREADS."""
    return _workers or max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Inside, torch keeps to one thread while kernels use as many as before.

    For loops of kernels and many small torch operations: torch would wait at a barrier after each of them,
    for milliseconds whenever another process holds a core.
    """
    global _workers
    before, threads = _workers, torch.get_num_threads()
    _workers = worker_count()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _workers = before
        torch.set_num_threads(threads)


class _Crew:
    """Sleeping threads that run a kernel as workers 1, 2, …; the caller is worker 0."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.inboxes: list[SimpleQueue] = []
        self.process = os.getpid()

    def _serve(self, inbox: SimpleQueue) -> None:
        while True:
            call, worker, workers, arguments, finished = inbox.get()
            try:
                call(worker, workers, *arguments)
                finished.put(None)
            except BaseException as error:  # handed to the caller, whatever it is
                finished.put(error)

    def run(self, call: Callable, workers: int, arguments: tuple[Any, ...]) -> None:
        while len(self.inboxes) < workers - 1:
            inbox: SimpleQueue = SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), daemon=True, name="emoga-kernel").start()
            self.inboxes.append(inbox)
        failure: BaseException | None = None
        # A queue of its own for each run: one that Ctrl-C cuts short must not answer for the next.
        finished: SimpleQueue = SimpleQueue()
        for worker in range(1, workers):
            self.inboxes[worker - 1].put((call, worker, workers, arguments, finished))
        try:
            call(0, workers, *arguments)
        finally:
            for _ in range(1, workers):
                failure = finished.get() or failure
        if failure is not None:
            raise failure


_crew = _Crew()


def run_parallel(call: Callable, *arguments: Any, workers: int | None = None) -> None:
    """Run `call(worker, workers, *arguments)` once per worker and wait for all of them.

    Kernels must give the same result for any number of workers. When another Python thread is already
    rendering, the call runs on this thread alone: one core per thread is then the best split.
    """
    global _crew
    workers = worker_count() if workers is None else workers
    if _crew.process != os.getpid():  # threads do not survive a fork
        _crew = _Crew()
    if workers > 1 and _crew.busy.acquire(blocking=False):
        try:
            _crew.run(call, workers, arguments)
        finally:
            _crew.busy.release()
    else:
        call(0, 1, *arguments)


@intrinsic
def take_ticket(typing_context, counter):
    """Atomically add one to counter[0] (int64) and return what it was; works only inside kernels."""

    def generate(context, builder, sig, args):
        first = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", first, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate
