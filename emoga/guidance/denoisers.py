"""Denoisers that are shown the picture to edit, opened up: one guided prediction for any of several views at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from emoga.errors import InputError
from emoga.guidance.checkpoint import ModelFolder
from emoga.guidance.ultraedit import TOKENS

# Of guidance by text and by picture: with both, with the picture alone, with neither.
BRANCHES = 3


class Denoiser(Protocol):
    """What a batch over views asks of a pipeline. Latents are [V,C,h,w], as the scheduler sees them."""

    model: Any
    scheduler: Any

    def begin(self, pictures: np.ndarray, prompt: str, negative: str, steps: int) -> torch.Tensor:
        """Read pictures uint8 [V,S,S,3] and texts; returns the pictures' own latents."""

    def encode(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents of pictures uint8 [V,S,S,3]."""

    def predict(self, latents: torch.Tensor, views: list[int], time: torch.Tensor) -> torch.Tensor:
        """What the scheduler is to be told of some views, whose latents are given."""

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Clean latents at the noise of a step."""

    def clean(self, latents: torch.Tensor, found: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """What a prediction takes the latents without noise for."""

    def told(self, latents: torch.Tensor, clean: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """The prediction that takes them for `clean`."""

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures float32 [V,S,S,3] in 0..1."""


class _Known:
    """What UNets and transformers have in common: pictures beside the noise, and guidance by both."""

    def __init__(self, pipeline: Any, text: float, image: float) -> None:
        self.pipeline, self.text, self.image = pipeline, text, image
        self.scheduler = pipeline.scheduler
        self.device = pipeline._execution_device

    def encode(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents [V,C,h,w] of pictures uint8 [V,S,S,3]."""
        vae = self.pipeline.vae
        return self._encoded(pictures, vae.dtype) * vae.config.scaling_factor

    def _encoded(self, pictures: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        """Latents [V,C,h,w] as the autoencoder gives them, one picture at a time."""
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        vae = self.pipeline.vae
        return torch.cat([vae.encode(one[None].to(self.device, dtype)).latent_dist.mode() for one in pixels])

    def _guided(self, found: torch.Tensor) -> torch.Tensor:
        both, picture, none = found.chunk(BRANCHES)
        return none + self.text * (both - picture) + self.image * (picture - none)

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures float32 [V,S,S,3] in 0..1."""
        vae = self.pipeline.vae
        scaled = latents / vae.config.scaling_factor
        made = torch.cat([vae.decode(one[None], return_dict=False)[0] for one in scaled.to(vae.dtype)])
        return (made.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()


class UNetDenoiser(_Known):
    """InstructPix2Pix: noise and the picture's latents side by side into a UNet (Brooks et al. 2023)."""

    def __init__(self, pipeline: Any, text: float, image: float) -> None:
        super().__init__(pipeline, text, image)
        self.model = pipeline.unet

    @torch.no_grad()
    def begin(self, pictures: np.ndarray, prompt: str, negative: str, steps: int) -> torch.Tensor:
        """See Denoiser."""
        words = self.pipeline._encode_prompt(prompt, self.device, 1, True, negative or None)
        # diffusers orders them as the guidance wants: the text, nothing, nothing.
        self._words = words
        self._pictures = self._encoded(pictures, words.dtype)
        self.scheduler.set_timesteps(steps, device=self.device)
        return self._pictures * self.pipeline.vae.config.scaling_factor

    @torch.no_grad()
    def predict(self, latents: torch.Tensor, views: list[int], time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        known = self._pictures[views]
        known = torch.cat([known, known, torch.zeros_like(known)])
        noisy = self.scheduler.scale_model_input(torch.cat([latents] * BRANCHES), time)
        words = self._words.repeat_interleave(len(views), 0)
        found = self.model(
            torch.cat([noisy.to(known.dtype), known], 1), time, encoder_hidden_states=words, return_dict=False
        )[0]
        return self._guided(found)

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        return self.scheduler.add_noise(latents, noise, time[None])

    def clean(self, latents: torch.Tensor, found: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        whole, signal, noise = self._mixture(latents, time)
        if self.scheduler.config.prediction_type == "v_prediction":
            return signal * whole - noise * found
        return (whole - noise * found) / signal

    def told(self, latents: torch.Tensor, clean: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        whole, signal, noise = self._mixture(latents, time)
        if self.scheduler.config.prediction_type == "v_prediction":
            return (signal * whole - clean) / noise
        return (whole - signal * clean) / noise

    def _mixture(
        self, latents: torch.Tensor, time: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents = signal · clean + noise · noise, with squares that sum to 1, and both factors."""
        scheduler = self.scheduler
        if hasattr(scheduler, "sigmas"):
            at = scheduler.index_for_timestep(time) if scheduler.step_index is None else scheduler.step_index
            share = 1 / (1 + scheduler.sigmas[at].double() ** 2)
        else:
            share = scheduler.alphas_cumprod[int(time)].double()
        signal, noise = share.sqrt().to(latents), (1 - share).sqrt().to(latents)
        return scheduler.scale_model_input(latents, time), signal, noise


class TransformerDenoiser(_Known):
    """UltraEdit: an SD3 transformer with the latents of picture and mask beside the noise."""

    def __init__(self, pipeline: Any, text: float, image: float) -> None:
        super().__init__(pipeline, text, image)
        self.model = pipeline.transformer

    @torch.no_grad()
    def begin(self, pictures: np.ndarray, prompt: str, negative: str, steps: int) -> torch.Tensor:
        """See Denoiser; the mask lets everything be edited."""
        pipeline = self.pipeline
        pipeline._guidance_scale, pipeline._joint_attention_kwargs = self.text, None
        text, nothing, pooled, pooled_nothing = pipeline.encode_prompt(
            prompt=prompt, prompt_2=None, prompt_3=None, negative_prompt=negative, device=self.device,
            max_sequence_length=TOKENS,
        )  # fmt: skip
        self._words = torch.cat([text, nothing, nothing])
        self._pooled = torch.cat([pooled, pooled_nothing, pooled_nothing])
        latents = self._encoded(pictures, text.dtype)
        extra = self.model.config.in_channels - 2 * latents.shape[1]
        if extra not in (0, latents.shape[1]):
            raise InputError(
                f"ultraedit: the transformer takes {self.model.config.in_channels} channels, "
                f"expected {3 * latents.shape[1]} (with mask) or {2 * latents.shape[1]}"
            )
        white = self._encoded(np.full_like(pictures[:1], 255), text.dtype).expand(len(pictures), -1, -1, -1)
        self._pictures = torch.cat([latents, white], 1) if extra else latents
        self.scheduler.set_timesteps(steps, device=self.device)
        return latents * pipeline.vae.config.scaling_factor

    @torch.no_grad()
    def predict(self, latents: torch.Tensor, views: list[int], time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        known = self._pictures[views]
        known = torch.cat([known, known, torch.zeros_like(known)])
        found = self.model(
            hidden_states=torch.cat([torch.cat([latents] * BRANCHES).to(known.dtype), known], 1),
            timestep=time.expand(BRANCHES * len(views)),
            encoder_hidden_states=self._words.repeat_interleave(len(views), 0),
            pooled_projections=self._pooled.repeat_interleave(len(views), 0),
            return_dict=False,
        )[0]
        return self._guided(found)

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        return self.scheduler.scale_noise(latents, time[None], noise)

    def clean(self, latents: torch.Tensor, found: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        return latents - self._sigma(latents, time) * found

    def told(self, latents: torch.Tensor, clean: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """See Denoiser."""
        return (latents - clean) / self._sigma(latents, time)

    def _sigma(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        scheduler = self.scheduler
        at = scheduler.index_for_timestep(time) if scheduler.step_index is None else scheduler.step_index
        return scheduler.sigmas[at].to(latents)


DENOISERS: dict[str, type[UNetDenoiser] | type[TransformerDenoiser]] = {
    "StableDiffusionInstructPix2PixPipeline": UNetDenoiser,
    "StableDiffusion3InstructPix2PixPipeline": TransformerDenoiser,
}


def denoiser_class(model: ModelFolder) -> type[UNetDenoiser] | type[TransformerDenoiser]:
    """The one for a folder. Raises InputError for a pipeline whose views cannot be denoised together."""
    if model.class_name not in DENOISERS:
        raise InputError(
            f"{model.folder}: a {model.class_name} cannot edit several views together; "
            f"known are: {', '.join(DENOISERS)}"
        )
    return DENOISERS[model.class_name]
