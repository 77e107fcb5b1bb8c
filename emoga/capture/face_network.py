"""The network of emoga's own face detector: a crop to 478 points, their spread and visibility, and a face or none."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from emoga.capture.face_details import DetailNetwork
from emoga.errors import InputError
from emoga.npz import read_npz

INPUT = 128  # pixels of a crop's side
POINTS = 478
WEIGHTS = Path(__file__).parent / "data" / "face_networks.npz"
FORMAT = "emoga-face-networks-2"
MAX_ELEMENTS = 4_000_000
KEPT_BITS = 7  # of the 11 that float16 has
LOG_SPREAD = (-7.0, 1.0)  # of half a crop's side


@dataclass(frozen=True)
class Reading:
    """What the network says of N crops: points [N,478,2] in -1..1 over the crop, log_spread [N,478] of the same
    unit, visible [N,478] and face [N] as logits."""

    points: torch.Tensor
    log_spread: torch.Tensor
    visible: torch.Tensor
    face: torch.Tensor


def _layer(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _layer(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


class FaceNetwork(nn.Module):
    """Crops [N,3,128,128] (sRGB, 0..1) to a `Reading`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _layer(3, 32, 2), _layer(32, 48, 2), _Residual(48), _layer(48, 96, 2), _Residual(96), _Residual(96),
            _layer(96, 160, 2), _Residual(160), _layer(160, 160, 2), _Residual(160),
        )  # fmt: skip
        self.neck = nn.Sequential(
            nn.Conv2d(160, 48, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(48 * 16, 256),
            nn.ReLU(inplace=True),
        )
        self.places = nn.Linear(256, POINTS * 2)
        self.spreads = nn.Linear(256, POINTS)
        self.sights = nn.Linear(256, POINTS)
        self.presence = nn.Linear(256, 1)

    def forward(self, crops: torch.Tensor) -> Reading:
        code = self.neck(self.body((crops - 0.5) / 0.25))
        return Reading(
            self.places(code).unflatten(1, (POINTS, 2)), self.spreads(code).clamp(*LOG_SPREAD), self.sights(code),
            self.presence(code)[:, 0],
        )  # fmt: skip


class FaceNetworks(nn.Module):
    """All that the detector looks with: the whole face first, then its eyes and mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.face, self.details = FaceNetwork(), DetailNetwork()


def pack_networks(networks: FaceNetworks) -> dict[str, np.ndarray]:
    """The weights as float16 arrays of KEPT_BITS significant bits, which compress well, with the format's name."""
    arrays = {name: _rounded(value.detach().numpy()) for name, value in _weights(networks).items()}
    return {"format": np.array(FORMAT), **arrays}


def _rounded(value: np.ndarray) -> np.ndarray:
    """float16 whose last bits are zero."""
    mantissa, exponent = np.frexp(value.astype(np.float64))
    return np.ldexp(np.round(mantissa * 2**KEPT_BITS) / 2**KEPT_BITS, exponent).astype(np.float16)


def _weights(networks: FaceNetworks) -> dict[str, torch.Tensor]:
    return {k: v for k, v in networks.state_dict().items() if not k.endswith("num_batches_tracked")}


def folded(networks: FaceNetworks) -> FaceNetworks:
    """The same networks for looking alone, every normalisation taken into the convolution before it: quicker."""
    networks = copy.deepcopy(networks).eval()
    for layers in [module for module in networks.modules() if isinstance(module, nn.Sequential)]:
        for i, (first, second) in enumerate(itertools.pairwise(list(layers))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layers[i], layers[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return networks.to(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def own_networks() -> FaceNetworks:
    """The networks that ship with emoga."""
    return read_networks(WEIGHTS)


def read_networks(path: str | Path) -> FaceNetworks:
    """Networks from their file (.npz, no pickles), ready to look; InputError when it is not one."""
    networks = FaceNetworks()
    wanted = _weights(networks)
    arrays = read_npz(
        path, ("format", *wanted), what="emoga's face networks (.npz)", max_elements=MAX_ELEMENTS
    )
    if str(arrays["format"]) != FORMAT:
        raise InputError(f"{path}: is {str(arrays['format'])[:40]!r}, expected {FORMAT}; reinstall emoga")
    for name, value in wanted.items():
        found = arrays[name]
        if found.shape != tuple(value.shape) or found.dtype != np.float16 or not np.isfinite(found).all():
            raise InputError(f"{path}: {name} is not {tuple(value.shape)} finite float16; reinstall emoga")
    networks.load_state_dict(
        {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in wanted}, strict=False
    )
    return networks.eval().to(memory_format=torch.channels_last)
