"""CUDA graphs: hundreds of small operations on tensors of fixed shapes, launched as one."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UPS = 3  # runs before the capture, in which libraries choose their algorithms and caches fill

Function = Callable[..., tuple[torch.Tensor, ...]]


class Captured:
    """A function of tensors to a tuple of tensors that is recorded on its first call and replayed from then on.

    Shapes, types and devices of its inputs must stay those of the first call, and whether they require
    gradients (`learning`). What it returns is overwritten by the next call. Where a graph is not possible (on
    the CPU, or because an operation refuses to be recorded) the function is called as it is, and `refusal` says
    why it could not be recorded.
    """

    def __init__(self, function: Function, learning: bool = False) -> None:
        self.refusal = ""
        self._function, self._learning = function, learning
        self._replay: Function | None = None

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._replay is None:
            self._replay = self._function
            if all(part.is_cuda for part in inputs):
                try:
                    self._replay = self._learn(inputs) if self._learning else self._record(inputs)
                except (
                    RuntimeError
                ) as error:  # what torch and CUDA raise when an operation cannot be recorded
                    self.refusal = str(error).partition("\n")[0]
                    torch.cuda.synchronize()
        return self._replay(*inputs)

    def _learn(self, inputs: tuple[torch.Tensor, ...]) -> Function:
        """Forward and backward as a graph each."""
        samples = tuple(part.detach().clone().requires_grad_(part.requires_grad) for part in inputs)
        return torch.cuda.make_graphed_callables(self._function, samples, num_warmup_iters=WARM_UPS)

    @torch.no_grad()
    def _record(self, inputs: tuple[torch.Tensor, ...]) -> Function:
        slots = tuple(part.detach().clone() for part in inputs)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                self._function(*slots)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self._function(*slots)

        @torch.no_grad()
        def replay(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            for slot, value in zip(slots, values, strict=True):
                slot.copy_(value)
            graph.replay()
            return results

        return replay
