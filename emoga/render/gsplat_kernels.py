"""Find gsplat and its compiled kernels, or say in one line why the GPU cannot be used here."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

import torch

from emoga.errors import InputError, MissingComponent

OLDEST = (1, 5, 3)  # the first that takes a batch of posed scenes, each with its own cameras
ON_THE_CPU = "or run on the CPU with --device cpu"


def resolve_device(name: str) -> str:
    """ "cpu" or "cuda" for what the user asked: "auto" takes a GPU only where everything it needs works.

    Raises MissingComponent with the reason when "cuda" is asked for and not usable, InputError for other names.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; use auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and why_unusable()):
        return "cpu"
    if why_unusable():
        raise MissingComponent(f"--device cuda: {why_unusable()}, {ON_THE_CPU}; `emoga doctor` tells more")
    return "cuda"


@lru_cache(maxsize=1)
def why_unusable() -> str:
    """Why CUDA cannot be used here, in one line; empty when it can.

    Where gsplat comes without kernels it compiles them now, once, for minutes.
    """
    reason = no_gpu() or why_not_compilable()
    if reason:
        return reason
    try:
        load_gsplat()
        _render_one_gaussian()
    except MissingComponent as error:
        return str(error).removesuffix(f", {ON_THE_CPU}")
    except Exception as error:  # kernels for another GPU or driver fail in their own ways
        return f"gsplat's kernels do not run on {torch.cuda.get_device_name()} ({first_line(error)})"
    return ""


def no_gpu() -> str:
    """Why torch sees no GPU; empty when it does."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA: install a CUDA build of torch"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no usable NVIDIA GPU (driver missing or too old)"
    return ""


def why_not_compilable() -> str:
    """Why gsplat is missing, too old, or has kernels neither ready nor to be compiled; empty when all is well.

    Nothing is compiled and no GPU is needed: this looks at versions and for a compiler.
    """
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed: pip install 'emoga[cuda]'"
    version = gsplat_version()
    if version and tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < OLDEST:
        return f"gsplat {version} is too old: pip install 'gsplat>={'.'.join(map(str, OLDEST))}'"
    if has_ready_kernels():
        return ""
    from torch.utils.cpp_extension import CUDA_HOME

    nvcc = Path(CUDA_HOME or "") / "bin" / ("nvcc.exe" if sys.platform == "win32" else "nvcc")
    wanted = torch.version.cuda or "of torch's version"
    if CUDA_HOME is None or not nvcc.exists():
        return (
            f"gsplat {version} must compile its kernels and there is no CUDA compiler: install the CUDA toolkit "
            f"{wanted} (nvcc) and set CUDA_HOME"
        )
    found = _nvcc_version(nvcc)
    if torch.version.cuda and found.partition(".")[0] != torch.version.cuda.partition(".")[0]:
        return (
            f"the CUDA toolkit in {CUDA_HOME} is {found or 'of unknown version'} but torch {torch.__version__} is "
            f"built for {torch.version.cuda}: gsplat {version} cannot compile; install the toolkit {wanted}"
        )
    return ""


@lru_cache(maxsize=1)
def load_gsplat() -> ModuleType:
    """gsplat with its kernels loaded; they are compiled on the first import ever, which takes minutes.

    Raises MissingComponent, in one line, when gsplat is absent or its kernels cannot be built or loaded.
    """
    try:
        # gsplat announces compiling on stdout, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            import gsplat

            ready = _load_backend()
    except ModuleNotFoundError as error:
        wanted = "'emoga[cuda]'" if error.name == "gsplat" else str(error.name)
        missing = "gsplat is" if error.name == "gsplat" else f"gsplat needs {error.name}, which is"
        raise MissingComponent(f"{missing} not installed; pip install {wanted}, {ON_THE_CPU}") from error
    except Exception as error:  # building fails in as many ways as there are machines
        raise _without_kernels(first_line(error)) from error
    if not ready:
        raise _without_kernels("no CUDA toolkit found")
    return gsplat


def _load_backend() -> bool:
    from gsplat.cuda import _backend

    return getattr(_backend, "_C", True) is not None


def gsplat_version() -> str:
    """The installed gsplat's version; empty for a copy that lies on the path without being installed."""
    try:
        return metadata.version("gsplat")
    except metadata.PackageNotFoundError:
        return ""


def _without_kernels(reason: str) -> MissingComponent:
    if "undefined symbol" in reason:
        reason += "; they were compiled for another torch, remove the folder gsplat_cuda of its extensions"
    return MissingComponent(
        f"gsplat {gsplat_version()} has no kernels for torch {torch.__version__} ({reason}): "
        f"the CUDA toolkit {torch.version.cuda or ''} compiles them, see the README; {ON_THE_CPU}"
    )


def first_line(error: BaseException) -> str:
    """What went wrong in one line: the compiler's first error when there is one, else the first words.

    gsplat looks for its library once more after a failed build; then the failure before that one counts.
    """
    if "cannot open shared object file" in str(error) and isinstance(error.__context__, OSError):
        error = error.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(fatal )?error:", line)]
    return ((errors or lines or [type(error).__name__])[0])[:200]


def has_ready_kernels() -> bool:
    """Whether this gsplat was installed with kernels (a wheel for one torch, or built from source)."""
    try:
        return importlib.util.find_spec("gsplat.csrc") is not None
    except Exception:  # finding a submodule imports gsplat, which may fail in any way
        return False


def _nvcc_version(nvcc: Path) -> str:
    try:
        answer = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r"release (\d+\.\d+)", answer)
    return match[1] if match else ""


def _render_one_gaussian() -> None:
    """One Gaussian through gsplat and back to the host: kernels built for another GPU fail only when run."""
    rasterization: Callable = load_gsplat().rasterization
    device = torch.device("cuda")
    eye = torch.eye(4, device=device)[None]
    point = torch.tensor([[0.0, 0.0, 2.0]], device=device)
    image, _, _ = rasterization(
        point, torch.ones(1, 4, device=device), torch.ones(1, 3, device=device),
        torch.ones(1, device=device), torch.ones(1, 3, device=device), eye, 8 * eye[:, :3, :3], 8, 8,
        packed=False,
    )  # fmt: skip
    if not bool(image.isfinite().all()):
        raise RuntimeError("a single Gaussian rendered to numbers that are not finite")
