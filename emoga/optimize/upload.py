"""Small arrays for a device, sent without waiting for what it is doing."""

from __future__ import annotations

import numpy as np
import torch


def send(values: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same values on `device`; memory that CUDA may read by itself lets the host go on at once."""
    tensor = torch.as_tensor(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
