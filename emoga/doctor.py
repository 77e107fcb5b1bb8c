"""What of emoga is usable on this machine, and how to get the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from importlib import metadata

from emoga.files import cache_dir

OPTIONAL = {
    "studio": ("mitsuba", "makes captures with known truth"),
    "track": ("mediapipe", "finds face landmarks in your videos"),
    "metrics": ("lpips", "computes LPIPS"),
    "viewer": ("viser", "shows avatars in the browser"),
    "diffusion": ("diffusers", "edits pictures by prompt"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is usable, and what was found or how to get it."""

    name: str
    usable: bool
    detail: str


def examine() -> list[Check]:
    """Look at Python, packages, GPU, memory, disk and the optional parts."""
    return [
        Check("python", True, f"{platform.python_version()} on {platform.platform(terse=True)}"),
        _processors(),
        _memory(),
        _disk(),
        *_packages(),
        _cuda(),
        *(_extra(extra, package, purpose) for extra, (package, purpose) in OPTIONAL.items()),
        *_user_files(),
    ]


def _processors() -> Check:
    count = os.cpu_count() or 1
    return Check("processors", count >= 2, f"{count}" + ("" if count >= 2 else "; fitting will be slow"))


def _memory() -> Check:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Check("memory", True, "unknown on this system; 8 GB are comfortable")
    enough = size >= 6e9
    return Check(
        "memory",
        enough,
        f"{size / 1e9:.1f} GB" + ("" if enough else "; use --preset fast and small pictures"),
    )


def _disk() -> Check:
    folder = cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    return Check(
        "disk", free > 2e9, f"{free / 1e9:.1f} GB free for the cache in {folder} (EMOGA_CACHE moves it)"
    )


def _packages() -> list[Check]:
    found = []
    for name in ("torch", "numpy", "numba", "h5py", "av"):
        try:
            found.append(Check(name, True, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(Check(name, False, f"missing; pip install {name}"))
    return found


def _cuda() -> Check:
    import torch

    from emoga.render.gsplat_kernels import gsplat_version, has_ready_kernels, no_gpu, why_not_compilable

    if no_gpu():
        return Check("cuda", False, f"{no_gpu()}; everything runs on the CPU")
    device, version = torch.cuda.get_device_name(0), torch.version.cuda
    if why_not_compilable():
        return Check("cuda", False, f"{device}, CUDA {version}, but {why_not_compilable()}")
    ready = "" if has_ready_kernels() else ", compiled at first use, which takes minutes"
    return Check("cuda", True, f"{device}, CUDA {version}, gsplat {gsplat_version()}{ready}")


def _extra(extra: str, package: str, purpose: str) -> Check:
    if importlib.util.find_spec(package) is None:
        return Check(extra, False, f"{purpose}; pip install 'emoga[{extra}]'")
    return Check(extra, True, f"{package} {metadata.version(package)}: {purpose}")


def _user_files() -> list[Check]:
    weights = os.environ.get("EMOGA_WEIGHTS")
    return [
        Check(
            "weights",
            bool(weights and os.path.isdir(weights)),
            weights
            or "EMOGA_WEIGHTS is not set; needed only for mediapipe, LPIPS and FLAME files you supply",
        )
    ]
