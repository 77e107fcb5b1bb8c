"""Processes that learn side by side, each on examples of its own, and average their weights every few steps.

Small networks gain little from threads, which wait for each other at every layer; processes wait once in ten steps.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

EVERY = 10  # steps


class Team:
    """One learner among `size`; every learner is to make the same calls."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def steps(self, seconds: float) -> Iterator[tuple[int, float]]:
        """Step, and the share of the time that is gone, the same for all learners."""
        begun, step, share = time.monotonic(), 0, torch.zeros(1)
        while share < 1:
            yield step, float(share)
            step += 1
            if step % EVERY == 0:
                share.fill_((time.monotonic() - begun) / seconds)
                self._mean(share)

    def agree(self, step: int, weights: list[torch.Tensor]) -> None:
        """After a step: every so often all learners take the mean of their weights."""
        if (step + 1) % EVERY == 0:
            self.share(weights)

    @torch.no_grad()
    def share(self, weights: list[torch.Tensor]) -> None:
        """All learners take the mean of their weights."""
        if self.size == 1:
            return
        every = torch.cat([weight.flatten() for weight in weights])
        self._mean(every)
        for weight, part in zip(weights, every.split([one.numel() for one in weights]), strict=True):
            weight.copy_(part.view_as(weight))

    def _mean(self, values: torch.Tensor) -> None:
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size


def together(size: int, work: Callable[..., None], *arguments: Any) -> None:
    """Run work(team, *arguments) in `size` processes of one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        multiprocessing.spawn(_learner, (size, meeting, work, arguments), nprocs=size)


def _learner(rank: int, size: int, meeting: str, work: Callable[..., None], arguments: tuple) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    work(Team(rank, size), *arguments)
    distributed.destroy_process_group()
