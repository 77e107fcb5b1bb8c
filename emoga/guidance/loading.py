"""Load an examined folder with diffusers: without a network, without pickles, without code of the folder's own."""

from __future__ import annotations

import importlib.util
import inspect
import os
import warnings
from collections.abc import Iterable
from typing import Any

import torch

from emoga.errors import InputError, MissingComponent
from emoga.guidance.checkpoint import ModelFolder
from emoga.guidance.families import Family
from emoga.guidance.placement import Placement
from emoga.guidance.ultraedit import ultraedit_pipeline

PACKAGES = ("diffusers", "transformers", "accelerate", "safetensors")


def missing_packages(names: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def require_packages(family: Family | None) -> None:
    """Raise MissingComponent, saying what to install, when a package that the editor needs is not here."""
    missing = missing_packages(PACKAGES)
    if missing:
        raise MissingComponent(
            f"diffusion editors need {', '.join(missing)}; install with: pip install 'emoga[diffusion]'"
        )
    if family is None:
        return
    for name in missing_packages(family.packages):
        raise MissingComponent(
            f"{family.name} needs {name}, built for the torch that is here; install with: pip install {name}"
        )


def load_pipeline(model: ModelFolder, dtype: str, family: Family | None) -> Any:
    """A pipeline from an examined folder. Raises InputError when diffusers cannot make one of it."""
    # Read once, at the first import of the hub's client: from here on it asks no server for anything.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    if family is not None and family.name == "ultraedit":
        maker = ultraedit_pipeline()
    else:
        maker = getattr(diffusers, model.class_name, None)
        if not (isinstance(maker, type) and issubclass(maker, diffusers.DiffusionPipeline)):
            raise InputError(
                f"{model.folder}: diffusers {diffusers.__version__} has no {model.class_name}; "
                "install a newer one, or name its family, as in ultraedit:DIR"
            )
        if not {"image", "prompt"} <= set(inspect.signature(maker.__call__).parameters):
            raise InputError(f"{model.folder}: a {model.class_name} does not edit pictures by text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = maker.from_pretrained(
                str(model.folder),
                torch_dtype=getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                variant=model.variant,
                **dict.fromkeys(model.vacant),
            )
    except Exception as error:  # whatever a damaged folder makes diffusers and transformers raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{model.folder}: cannot be loaded ({reason})") from error
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and any(weight.is_meta for weight in part.parameters()):
            raise InputError(
                f"{model.folder / name}: cannot be loaded (weights are missing); download it again"
            )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def settle(pipeline: Any, plan: Placement) -> Any:
    if plan.tiled and hasattr(pipeline.vae, "enable_tiling"):
        pipeline.vae.enable_tiling()
    if plan.mode == "offload":
        pipeline.enable_model_cpu_offload(device=plan.device)
    elif plan.mode == "sequential":
        pipeline.enable_sequential_cpu_offload(device=plan.device)
    else:
        pipeline.to(plan.device)
    return pipeline
