"""UltraEdit: an SD3 transformer that is given the picture and its mask beside the noise.

diffusers has no pipeline of the class that the checkpoint names. Its transformer takes 48 channels: 16 of noise,
16 of the picture's latents, 16 of the mask picture's latents (white where it may edit); the variant without masks
takes 32. Latents of picture and mask are the autoencoder's mode, neither shifted nor scaled, and the result is
scaled back but not shifted, as the model was trained (Zhao et al., UltraEdit, 2024).
"""

from __future__ import annotations

from typing import Any

import torch

from emoga.errors import InputError

# The text encoders were trained on this many tokens.
TOKENS = 77


def ultraedit_pipeline() -> Any:
    """The pipeline's class; a function because importing diffusers takes seconds."""
    from diffusers import StableDiffusion3Pipeline
    from diffusers.pipelines.stable_diffusion_3.pipeline_output import StableDiffusion3PipelineOutput

    class UltraEditPipeline(StableDiffusion3Pipeline):
        """SD3 with picture and mask latents beside the noise."""

        @torch.no_grad()
        def __call__(
            self,
            prompt: str,
            image: Any,
            mask_image: Any,
            negative_prompt: str = "",
            guidance_scale: float = 5.0,
            image_guidance_scale: float = 2.0,
            num_inference_steps: int = 50,
            generator: torch.Generator | None = None,
            output_type: str = "np",
        ) -> Any:
            """Edit one square picture; sides are multiples of 16 pixels."""
            device = self._execution_device
            self._guidance_scale, self._joint_attention_kwargs, self._interrupt = guidance_scale, None, False
            text, nothing, pooled, pooled_nothing = self.encode_prompt(
                prompt=prompt,
                prompt_2=None,
                prompt_3=None,
                negative_prompt=negative_prompt,
                device=device,
                max_sequence_length=TOKENS,
            )
            words = torch.cat([text, nothing, nothing])
            pooled = torch.cat([pooled, pooled_nothing, pooled_nothing])
            known = self.known_latents(image, mask_image, device, text.dtype)
            channels = self.vae.config.latent_channels
            if channels + known.shape[1] != self.transformer.config.in_channels:
                raise InputError(
                    f"ultraedit: the transformer takes {self.transformer.config.in_channels} channels, "
                    f"expected {3 * channels} (with mask) or {2 * channels}"
                )
            shape = (1, channels, *known.shape[2:])
            latents = torch.randn(shape, generator=generator, dtype=torch.float32).to(device, text.dtype)
            self.scheduler.set_timesteps(num_inference_steps, device=device)
            for time in self.scheduler.timesteps:
                flows = self.transformer(
                    hidden_states=torch.cat([latents.expand(3, -1, -1, -1), known], dim=1),
                    timestep=time.expand(3),
                    encoder_hidden_states=words,
                    pooled_projections=pooled,
                    return_dict=False,
                )[0]
                with_text, with_image, with_none = flows.chunk(3)
                flow = with_none + guidance_scale * (with_text - with_image)
                flow = flow + image_guidance_scale * (with_image - with_none)
                latents = self.scheduler.step(flow, time, latents, return_dict=False)[0]
            decoded = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
            picture = self.image_processor.postprocess(decoded, output_type=output_type)
            self.maybe_free_model_hooks()
            return StableDiffusion3PipelineOutput(images=picture)

        def known_latents(
            self, image: Any, mask_image: Any, device: torch.device, dtype: torch.dtype
        ) -> torch.Tensor:
            """Latents [3,C,h,w] of picture and mask for guidance by text and picture, by picture, by none."""
            latents = []
            pictures = [image]
            if self.transformer.config.in_channels > 2 * self.vae.config.latent_channels:
                pictures.append(mask_image)
            for picture in pictures:
                pixels = self.image_processor.preprocess(picture).to(device=device, dtype=dtype)
                latents.append(self.vae.encode(pixels).latent_dist.mode())
            known = torch.cat(latents, dim=1)
            return torch.cat([known, known, torch.zeros_like(known)])

    return UltraEditPipeline
