"""What of emoga is usable on this machine, and how to get the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from emoga.errors import EmogaError, MissingComponent
from emoga.files import cache_dir, data_dir

if TYPE_CHECKING:
    from emoga.guidance.families import Family

# Extra -> a package that it brings, and what for; one extra may bring several.
OPTIONAL = (
    ("studio", "mitsuba", "makes captures with known truth"),
    ("track", "mediapipe", "finds face landmarks with your model file, in place of emoga's own detector"),
    ("metrics", "lpips", "computes LPIPS"),
    ("metrics", "onnxruntime", "runs the recognisers and face networks that you name to eval emotion"),
    ("diffusion", "diffusers", "edits pictures by prompt"),
)


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
        *(_extra(*optional) for optional in OPTIONAL),
        _own_detector(),
        *_user_files(),
        *_heads(),
        *_assets(),
        *_editors(),
        _language_model(),
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
        return Check(package, False, f"{purpose}; pip install 'emoga[{extra}]'")
    return Check(package, True, f"{metadata.version(package)}: {purpose}")


def _own_detector() -> Check:
    from emoga.capture.face_network import WEIGHTS, own_networks
    from emoga.files import sha256_of

    try:
        count = sum(parameter.numel() for parameter in own_networks().parameters())
    except EmogaError as error:
        return Check("face detector", False, str(error))
    detail = f"built in: {count / 1e6:.1f} million parameters, {sha256_of(WEIGHTS)[:12]}"
    return Check("face detector", True, f"{detail}; --landmarks and --landmark-model come first")


def _user_files() -> list[Check]:
    from emoga.evaluation.perceptual import BACKBONE
    from emoga.optimize.vgg import FILES

    weights = os.environ.get("EMOGA_WEIGHTS")
    return [
        Check(
            "weights",
            bool(weights and os.path.isdir(weights)),
            weights
            or "EMOGA_WEIGHTS is not set; needed only for VGG, LPIPS or diffusion weights in a folder of yours",
        ),
        _backbone("VGG weights", [name for names in FILES.values() for name in names], "patch losses"),
        _backbone("LPIPS weights", [BACKBONE], "LPIPS"),
    ]


def _heads() -> list[Check]:
    """FLAME heads: which were converted, and how to get the others."""
    from emoga.head.flame import load_flame
    from emoga.head.flame_file import NAMES

    found = []
    for name in NAMES:
        try:
            head = load_flame(name)
            found.append(Check(f"head {name}", True, f"version {head.version}, {head.checksum[:12]}"))
        except EmogaError as error:
            found.append(Check(f"head {name}", False, str(error)))
    return found


def _assets() -> list[Check]:
    """What the user added with `emoga assets add`."""
    from emoga.assets import list_assets

    try:
        found = list_assets()
    except EmogaError as error:
        return [Check("assets", False, str(error))]
    summary = f"{len(found)} added, in {data_dir()} (EMOGA_ASSETS moves it); emoga assets add FILE"
    checks = [Check("assets", True, summary)]
    for asset in found:
        detail = (
            f"{asset.location}, from {asset.file} {asset.sha256[:12]}"
            if asset.usable
            else "gone; add it again"
        )
        checks.append(Check(f"asset {asset.name}", asset.usable, detail))
    return checks


def _backbone(name: str, files: Sequence[str], purpose: str) -> Check:
    """A network of torchvision's model zoo, which may lie in one of several files."""
    from torch import hub

    from emoga.optimize.backbones import find_backbone

    found = find_backbone(files)
    if found is not None:
        return Check(name, True, f"{found}: {purpose}")
    folder = Path(os.environ.get("EMOGA_WEIGHTS") or Path(hub.get_dir()) / "checkpoints")
    get = f"curl --create-dirs -o {folder / files[0]} https://download.pytorch.org/models/{files[0]}"
    return Check(name, False, f"not here, for {purpose}; {get}")


def _editors() -> list[Check]:
    """What can edit pictures towards an emotion: the warp always, models with their packages and weights."""
    from emoga.guidance.families import FAMILIES

    warp = Check("editor warp", True, "built in: moves pictures by the tracked face, needs no weights")
    outside = Check("editor images:DIR", True, "built in: takes pictures that another program edited")
    return [warp, outside, *map(_family, FAMILIES.values())]


def _family(family: Family) -> Check:
    from emoga.guidance.checkpoint import examine, find_folder, usual_folder
    from emoga.guidance.loading import PACKAGES, missing_packages

    missing, found = [], ""
    if missing_packages(PACKAGES):
        missing.append("pip install 'emoga[diffusion]'")
    missing += [f"pip install {name}" for name in missing_packages(family.packages)]
    try:
        folder = find_folder(family, None)
    except MissingComponent:
        missing.append(family.how_to_get(usual_folder(family)))
    else:
        try:
            found = f"{folder}, {examine(folder, family).parameters / 1e9:.1f} billion parameters"
        except EmogaError as error:
            missing.append(str(error))
    return Check(f"editor {family.name}", not missing, "; ".join(missing) or found)


def _language_model() -> Check:
    from emoga.guidance.wording_model import ADDRESS_VARIABLE

    address = os.environ.get(ADDRESS_VARIABLE)
    return Check(
        "language model",
        bool(address),
        address
        or f"none, built-in rules read prompts and emotions; {ADDRESS_VARIABLE}=http://localhost:8080/v1 names one",
    )
