"""Editors that denoise: any local diffusers folder, loaded without a network, remote code or pickles."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from emoga.errors import EnvironmentFailure, InputError
from emoga.guidance.checkpoint import examine, find_folder
from emoga.guidance.editor import EditEstimate, EditRequest, compose
from emoga.guidance.families import (
    ANY_IMAGE,
    ANY_SIZE,
    ANY_STEPS,
    ANY_TEXT,
    FAMILIES,
    Family,
    Scale,
)
from emoga.guidance.framing import SquareFrame
from emoga.guidance.loading import load_pipeline, require_packages, settle
from emoga.guidance.placement import BYTES, PLACEMENTS, Placement, place, resolve_device
from emoga.images import to_uint8
from emoga.progress import Note, Reporter, Stage, silent, tracked

# Side of the square in pixels: latents are an eighth of it and are cut into patches of two.
MULTIPLE = 16
MAX_STEPS, MAX_SIZE = 1000, 4096


class DiffusionEditor:
    """A diffusion model in a local folder. Its folder is examined at once, its weights load with the first edit."""

    def __init__(
        self,
        family: str | None,
        folder: Path | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        dtype: str | None = None,
        steps: int | None = None,
        size: int | None = None,
        text_guidance: float | None = None,
        image_guidance: float | None = None,
        offload: str | None = None,
    ) -> None:
        kind: Family | None = None if family is None else FAMILIES[family]
        self.name = family or f"diffusers:{folder}"
        if kind is not None:
            folder = find_folder(kind, folder, weights)
        assert folder is not None, "a folder without a family is always named"
        self.family, self.model = kind, examine(folder, kind)
        self.device = resolve_device(device)
        self.steps = _within(self.name, "steps", steps or (kind.steps if kind else ANY_STEPS), 1, MAX_STEPS)
        side = size or (kind.size if kind else self.model.size or ANY_SIZE)
        self.size = _within(self.name, "size", side, MULTIPLE, MAX_SIZE) // MULTIPLE * MULTIPLE
        text, image = (kind.text, kind.image) if kind else (ANY_TEXT, ANY_IMAGE)
        self.text = Scale.checked(text, text_guidance, kind is not None, self.name, "text guidance")
        self.image = Scale.checked(image, image_guidance, kind is not None, self.name, "image guidance")
        if dtype not in (None, *BYTES):
            raise InputError(f"{self.name}: dtype {dtype!r} is unknown; choose {', '.join(BYTES)}")
        if offload not in (None, *PLACEMENTS) or (offload and offload != "resident" and self.device == "cpu"):
            raise InputError(f"{self.name}: offload {offload!r} cannot be had on {self.device}")
        self.dtype, self.offload = dtype, offload
        self._pipeline: Any = None

    def placement(self) -> Placement:
        """How the weights will be held. Raises EnvironmentFailure when they do not fit."""
        return place(self.model, self.size, self.device, self.dtype, self.offload)

    def estimate(self, request: EditRequest) -> EditEstimate:
        """Memory from the sizes in the weights' headers. Raises MissingComponent without the packages."""
        require_packages(self.family)
        plan = self.placement()
        needs = f"{self.model.folder} ({self.model.class_name})"
        return EditEstimate(
            len(request.names),
            plan.peak_bytes,
            plan.weights_bytes,
            plan.mode,
            plan.device,
            plan.dtype,
            needs=needs,
        )

    def edit(self, request: EditRequest, report: Reporter = silent) -> np.ndarray:
        """Edit every picture from the same noise; strength scales how far the text is followed."""
        if request.strength == 0:
            return request.pictures.copy()
        pipeline = self.pipeline(report)
        frame = SquareFrame(request.pictures.shape[1], request.pictures.shape[2], self.size)
        edited = np.empty_like(request.pictures)
        for index, name in enumerate(tracked(request.names, f"editing with {self.name}", report)):
            mask = request.mask_of(index)
            square = self._denoise(
                pipeline, request, frame.enclose(request.pictures[index]), _white(frame, mask), str(name)
            )
            edited[index] = compose(request.pictures[index], frame.release(square), mask)
        return edited

    def _denoise(
        self, pipeline: Any, request: EditRequest, picture: np.ndarray, mask: np.ndarray, name: str
    ) -> np.ndarray:
        """One square uint8 [S,S,3] through the pipeline. Raises InputError when it blanked or broke the picture."""
        known = inspect.signature(pipeline.__call__).parameters
        offered = {
            "prompt": request.prompt,
            # Of no negative prompt at all, true guidance makes no guidance.
            "negative_prompt": request.negative_prompt or (" " if "true_cfg_scale" in known else ""),
            "image": Image.fromarray(picture),
            "mask_image": Image.fromarray(mask),
            "num_inference_steps": self.steps,
            "generator": torch.Generator("cpu").manual_seed(request.seed),
            "height": self.size,
            "width": self.size,
            "max_area": self.size * self.size,
            "_auto_resize": False,
            "output_type": "np",
            **self.text.arguments(known, request.strength),
            **self.image.arguments(known),
        }
        try:
            output = pipeline(**{key: value for key, value in offered.items() if key in known})
        except torch.OutOfMemoryError as error:
            raise EnvironmentFailure(
                f"{self.name}: out of memory on {self.device}; choose offload or a smaller size"
            ) from error
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            raise InputError(f"{self.name}: its safety checker blanked picture {name}; reword the prompt")
        square = np.asarray(output.images[0], np.float32)
        if square.shape != picture.shape or not np.isfinite(square).all():
            raise InputError(f"{self.name}: made no usable picture of {name}; try dtype float32")
        return to_uint8(square)

    def pipeline(self, report: Reporter = silent) -> Any:
        """The loaded pipeline, on its device."""
        if self._pipeline is None:
            require_packages(self.family)
            plan = self.placement()
            report(Stage(f"loading {self.name}"))
            report(Note(f"{self.name}: {plan.mode} on {plan.device} in {plan.dtype}"))
            self._pipeline = settle(load_pipeline(self.model, plan.dtype, self.family), plan)
        return self._pipeline


def _white(frame: SquareFrame, mask: np.ndarray | None) -> np.ndarray:
    """The mask as the square picture uint8 [S,S,3] that models take; all white where there is none."""
    if mask is None:
        return np.full((frame.size, frame.size, 3), 255, np.uint8)
    square = frame.enclose(to_uint8(mask))
    return np.repeat(square[..., None], 3, axis=2)


def _within(editor: str, option: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InputError(f"{editor}: {option} {value} must be between {low} and {high}")
    return value
