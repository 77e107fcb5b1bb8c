"""Where a model's weights go: all on the device, one part at a time, or one layer at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from emoga.errors import EnvironmentFailure, InputError
from emoga.guidance.checkpoint import ModelFolder

PLACEMENTS = ("resident", "offload", "sequential")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Rows and columns of the tiles that a tiled decoder works on, in pixels: what diffusers' autoencoders use.
TILE = 512


@dataclass(frozen=True)
class Placement:
    """How a model is held. mode: one of PLACEMENTS; peak_bytes: on the device; tiled: decode by tiles."""

    mode: str
    device: str
    dtype: str
    weights_bytes: int
    peak_bytes: int
    tiled: bool


def resolve_device(device: str) -> str:
    """`auto` becomes cuda where there is one. Raises InputError for a device that is not here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not usable here; choose cpu")
    return device


def place(
    model: ModelFolder,
    size: int,
    device: str,
    dtype: str | None = None,
    mode: str | None = None,
    free_bytes: int | None = None,
) -> Placement:
    """Choose how to hold `model` while it edits squares of `size` pixels.

    free_bytes: of the device; measured when None. Raises EnvironmentFailure when no way fits, with the figures.
    """
    free = _free_bytes(device) if free_bytes is None else free_bytes
    choices = [
        _sized(model, size, device, kind, way, tiled)
        for kind in ([dtype] if dtype else ["bfloat16"] if device == "cuda" else ["float32", "bfloat16"])
        for way in ([mode] if mode else PLACEMENTS if device == "cuda" else ["resident"])
        for tiled in ((False, True) if size > TILE else (False,))
    ]
    for choice in choices:
        if choice.peak_bytes <= free:
            return choice
    least = min(choices, key=lambda choice: choice.peak_bytes)
    raise EnvironmentFailure(
        f"{model.folder}: needs about {_gib(least.peak_bytes)} of memory on {device}, {_gib(free)} are free; "
        "free some, or choose a smaller model or --size"
    )


def _sized(model: ModelFolder, size: int, device: str, dtype: str, mode: str, tiled: bool) -> Placement:
    # One layer at a time still holds its neighbours and the text's embeddings: an eighth of a part is ample.
    held = {"resident": model.parameters, "offload": model.largest, "sequential": model.largest // 8}[mode]
    side = min(size, TILE) if tiled else size
    # The decoder's last stage: two feature maps of the second finest stage and one of the finest at full size.
    fine, coarse = model.vae_channels[0], model.vae_channels[min(1, len(model.vae_channels) - 1)]
    maps = side * side * (2 * coarse + fine)
    weights = model.parameters * BYTES[dtype]
    return Placement(mode, device, dtype, weights, (held + maps) * BYTES[dtype], tiled)


def _free_bytes(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":", 1) for line in stream)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # no such figure on this system: let the system decide
        return 1 << 62


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
