"""Adam whose state follows Gaussians that come and go, and that leaves unseen Gaussians alone.

gsplat's SelectiveAdam also leaves the unseen alone, but it has no bias correction and one rate per array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emoga.kernels import kernel, run_parallel

BETAS = (0.9, 0.999)
EPSILON = 1e-15


@dataclass
class AdamState:
    """First and second moments of one parameter [N,...] and how often each of the N rows was updated."""

    mean: torch.Tensor
    square: torch.Tensor
    steps: torch.Tensor

    @classmethod
    def zeros_like(cls, value: torch.Tensor) -> AdamState:
        """A fresh state."""
        steps = torch.zeros(value.shape[0], dtype=torch.int32, device=value.device)
        return cls(torch.zeros_like(value), torch.zeros_like(value), steps)

    def select(self, rows: torch.Tensor | slice) -> AdamState:
        """The state of some rows, by index or by mask; a slice shares its memory with this one."""
        return AdamState(self.mean[rows], self.square[rows], self.steps[rows])

    def extended(self, count: int) -> AdamState:
        """With `count` fresh rows at the end."""
        return AdamState(*(torch.cat([part, part.new_zeros(count, *part.shape[1:])]) for part in self.parts))

    @property
    def parts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The three arrays, in the order of the fields."""
        return self.mean, self.square, self.steps


@torch.no_grad()
def adam_step(
    value: torch.Tensor,
    gradient: torch.Tensor,
    state: AdamState,
    rate: float | torch.Tensor,
    rows: torch.Tensor | None = None,
) -> None:
    """Update `value` [N,...] and `state` in place; `rows` bool [N] marks what takes part (all by default).

    rate: one for all, or a tensor of the shape of one row.
    Bias correction counts each row's own updates: a Gaussian seen for the first time moves by `rate`.
    Raises ValueError for values that do not lie in one piece: a copy would be updated in their place.
    """
    if not (value.is_contiguous() and state.mean.is_contiguous() and state.square.is_contiguous()):
        raise ValueError("what is optimised in place must be contiguous")
    if rows is None:
        rows = torch.ones(value.shape[0], dtype=torch.bool, device=value.device)
    if value.device.type == "cpu" and value.dtype == torch.float32:
        flat = [part.reshape(value.shape[0], -1).numpy() for part in (value.detach(), gradient.contiguous())]
        moments = [part.reshape(value.shape[0], -1).numpy() for part in (state.mean, state.square)]
        rates = torch.as_tensor(rate, dtype=torch.float32).expand(value.shape[1:]).reshape(-1).contiguous()
        run_parallel(_adam_rows, *flat, *moments, state.steps.numpy(), rows.numpy(), rates.numpy())
        return
    _adam_torch(value, gradient, state, rate, rows)


def _adam_torch(
    value: torch.Tensor,
    gradient: torch.Tensor,
    state: AdamState,
    rate: float | torch.Tensor,
    rows: torch.Tensor,
) -> None:
    """Rows that take no part are weighted with 0: picking them would need their number, and the host wait."""
    state.steps.add_(rows)
    part = rows.to(value.dtype).reshape(-1, *[1] * (value.ndim - 1))
    state.mean.lerp_(gradient, (1 - BETAS[0]) * part)
    state.square.lerp_(gradient * gradient, (1 - BETAS[1]) * part)
    steps = state.steps.clamp_min(1).to(value.dtype).reshape(part.shape)
    first, second = 1 - BETAS[0] ** steps, 1 - BETAS[1] ** steps
    value.addcdiv_(
        state.mean * (part / first * rate), (state.square / second).sqrt_().add_(EPSILON), value=-1
    )


@kernel
def _adam_rows(worker, workers, value, gradient, mean, square, steps, rows, rates):
    count, width = value.shape
    b1, b2 = np.float32(BETAS[0]), np.float32(BETAS[1])
    one, epsilon = np.float32(1), np.float32(EPSILON)
    for i in range(count * worker // workers, count * (worker + 1) // workers):
        if not rows[i]:
            continue
        steps[i] += 1
        first = one - math.exp(np.float32(steps[i]) * math.log(b1))
        second = one - math.exp(np.float32(steps[i]) * math.log(b2))
        for j in range(width):
            g = gradient[i, j]
            m = b1 * mean[i, j] + (one - b1) * g
            v = b2 * square[i, j] + (one - b2) * g * g
            mean[i, j], square[i, j] = m, v
            value[i, j] -= rates[j] / first * m / (math.sqrt(v / second) + epsilon)
