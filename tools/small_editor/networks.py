"""The small editor's parts: InstructPix2Pix's layout with a few million weights, in diffusers' own classes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

TEXT_TOKENS, TEXT_WIDTH = 40, 64
LATENTS = 8
# Side of the pictures in pixels; latents are a quarter of it.
SIZE = 64


def tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer of single bytes: a text is read letter by letter."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in printable + [256 + index for index in range(256 - len(printable))]]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TEXT_TOKENS)


def text_encoder() -> Any:
    """Reads an instruction; learnt with the UNet."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=514, hidden_size=TEXT_WIDTH, intermediate_size=2 * TEXT_WIDTH, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=TEXT_TOKENS, bos_token_id=512, eos_token_id=513,
            pad_token_id=513,
        )
    )  # fmt: skip


def autoencoder() -> Any:
    """Pictures to latents a quarter of their size and back.

    One group to normalise: groups of a few channels each would lose what they say of the picture as a whole, its hue.
    """
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 48), layers_per_block=1, latent_channels=LATENTS, norm_num_groups=1,
        sample_size=SIZE, mid_block_add_attention=False,
    )  # fmt: skip


def unet() -> Any:
    """Denoises latents beside those of the picture to edit.

    All on one grid of 16 tokens a side: convolutions reach a few of them, so that what concerns the whole picture, a
    hue, must go through self-attention, as it does in editors of full size.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=2 * LATENTS, out_channels=LATENTS, layers_per_block=1,
        block_out_channels=(64,), norm_num_groups=4, attention_head_dim=4, cross_attention_dim=TEXT_WIDTH,
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",),
    )  # fmt: skip


def scheduler() -> Any:
    """Noise that hides the last trace of the picture, so that nothing leaks what the answer is to look like."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="v_prediction",
        timestep_spacing="trailing", rescale_betas_zero_snr=True, clip_sample=False, set_alpha_to_one=True,
    )  # fmt: skip


def fresh() -> dict[str, Any]:
    """All parts, untrained."""
    with tempfile.TemporaryDirectory() as folder:
        words = tokenizer(Path(folder))
    return {
        "vae": autoencoder(), "text_encoder": text_encoder(), "tokenizer": words, "unet": unet(),
        "scheduler": scheduler(),
    }  # fmt: skip


def load(folder: Path) -> dict[str, Any]:
    """The parts of a folder that `save` wrote."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, local_files_only=True, safety_checker=None, feature_extractor=None
    )
    return {name: part for name, part in pipeline.components.items() if part is not None}


def save(folder: Path, parts: dict[str, Any]) -> None:
    """The parts as one folder that diffusers loads."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    for part in parts.values():
        if hasattr(part, "eval"):
            part.eval()
    StableDiffusionInstructPix2PixPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(folder)
