"""Work that several threads do at once, its results in the order of what was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from emoga.kernels import torch_on_one_thread, worker_count

Job, Result = TypeVar("Job"), TypeVar("Result")

MEMORY = 2**31  # what all jobs in the making may hold
BYTES_PER_PIXEL = (
    120  # of a picture in work: itself in floats, those that wait for their turn, and what is made of it
)


def in_order(
    jobs: Iterable[Job], work: Callable[[Job], Result], threads: int | None = None
) -> Iterator[Result]:
    """`work(job)` of every job, done by some threads, as many as kernels use unless told.

    Jobs are taken from the caller's thread, at most a few per thread ahead of the result asked for. What work raises is
    raised here. `work` must not care what else runs; results do not depend on the number of threads. A single thread
    leaves the others to the kernels that it calls.
    """
    threads = worker_count() if threads is None else threads
    waiting: deque[Future[Result]] = deque()
    with one_thread_each() if threads > 1 else torch_on_one_thread():
        pool = ThreadPoolExecutor(threads, thread_name_prefix="emoga-work")
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def threads_for_pictures(width: int, height: int) -> int:
    """How many threads may each work on a picture, their memory being bounded."""
    return max(1, min(worker_count(), MEMORY // (BYTES_PER_PIXEL * width * height)))


def finish(jobs: Iterable[Job], work: Callable[[Job], None], threads: int | None = None) -> None:
    """Do `work(job)` of every job, as `in_order` does, for what it changes."""
    for _ in in_order(jobs, work, threads):
        pass


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Inside, torch and the kernels keep to the thread that calls them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
