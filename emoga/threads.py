"""Work that several threads do at once, its results in the order of what was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from emoga.kernels import worker_count

Job, Result = TypeVar("Job"), TypeVar("Result")


def in_order(jobs: Iterable[Job], work: Callable[[Job], Result]) -> Iterator[Result]:
    """`work(job)` of every job, done by as many threads as kernels use.

    Jobs are taken from the caller's thread, at most a few per thread ahead of the result asked for. What work raises is
    raised here. `work` must not care what else runs; results do not depend on the number of threads.
    """
    threads = worker_count()
    if threads == 1:
        yield from map(work, jobs)
        return
    waiting: deque[Future[Result]] = deque()
    with one_thread_each():
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


def finish(work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
    """Do `work(job)` of every job, as `in_order` does, for what it changes."""
    for _ in in_order(jobs, work):
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
