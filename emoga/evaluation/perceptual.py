"""LPIPS, where the user has the package and its backbone weights; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from emoga.optimize.backbones import find_backbone

BACKBONE = "alexnet-owt-7be5be79.pth"
ADVICE = f"put {BACKBONE} into --weights DIR or $EMOGA_WEIGHTS, or into the torch hub cache"

Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def load_lpips(weights: str | Path | None = None) -> tuple[Distance | None, str]:
    """A function of (result, truth uint8 [H,W,3], mask bool [H,W]) to LPIPS, or None and the reason.

    Both pictures are white outside the mask; the AlexNet form, version 0.1.
    """
    try:
        import lpips
    except Exception as error:  # torchvision built for another torch fails with more than ImportError
        return (
            None,
            f"lpips cannot be used ({type(error).__name__}); pip install 'emoga[metrics]'",
        )
    path = find_backbone((BACKBONE,), weights)
    if path is None:
        return None, f"the backbone's weights are not here; {ADVICE}"
    try:
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        state = torch.load(path, map_location="cpu", weights_only=True)
        _fill_backbone(network.net, state)
    except Exception as error:
        return None, f"{path} could not be used ({type(error).__name__}); {ADVICE}"

    @torch.no_grad()
    def distance(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
        pair = [np.where(mask[..., None], picture / 127.5 - 1, 1.0) for picture in (result, truth)]
        tensors = [torch.from_numpy(picture).float().permute(2, 0, 1)[None] for picture in pair]
        return float(network(*tensors))

    return distance, ""


def _fill_backbone(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy torchvision's AlexNet features.N.* into the slices lpips cuts it into; the numbers N stay."""
    filled = 0
    for name, parameter in network.named_parameters():
        _, number, kind = name.split(".")
        parameter.data.copy_(state[f"features.{number}.{kind}"])
        filled += 1
    if not filled:
        raise ValueError("the network has no parameters to fill")
