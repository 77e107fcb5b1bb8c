"""Diffusion pipelines of a few thousand random weights, in the folders that the real ones come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch


def clip_tokenizer(folder: Path) -> Any:
    """Byte-level CLIP tokenizer without merges."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True)
    letters = [chr(code) for code in _byte_characters()]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def clip_text(projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def save_clip(folder: Path) -> Path:
    """A tiny CLIPModel with its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = CLIPConfig(
        text_config={**small, **words},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    clip_tokenizer(folder).save_pretrained(folder)
    CLIPModel(config).eval().save_pretrained(folder)
    return folder


def autoencoder(channels: int, quantised: bool = True, **settings: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=2,
        use_quant_conv=quantised,
        use_post_quant_conv=quantised,
        **settings,
    ).eval()


def save_instruct_pix2pix(folder: Path) -> Path:
    """A tiny StableDiffusionInstructPix2PixPipeline."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(4, 8),
        norm_num_groups=2,
        layers_per_block=1,
        sample_size=8,
        cross_attention_dim=16,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    StableDiffusionInstructPix2PixPipeline(
        vae=autoencoder(4),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(folder.with_name(f"{folder.name}.words")),
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_ultraedit(folder: Path, channels: int = 48) -> Path:
    """A tiny UltraEdit: SD3 parts around a transformer of 48 channels, under the name its checkpoint has."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=channels,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=32,
    )
    tokenizer = clip_tokenizer(folder.with_name(f"{folder.name}.words"))
    StableDiffusion3Pipeline(
        vae=autoencoder(16, quantised=False, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=clip_text(True),
        text_encoder_2=clip_text(True),
        text_encoder_3=None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=None,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder)
    rename_class(folder, "StableDiffusion3InstructPix2PixPipeline")
    return folder


def save_flux_kontext(folder: Path) -> Path:
    """A tiny FluxKontextPipeline with a T5 of its own."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    t5 = T5EncoderModel(
        T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).eval()
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(4, quantised=False, shift_factor=0.1, scaling_factor=0.4),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(folder.with_name(f"{folder.name}.words")),
        text_encoder_2=t5,
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


def t5_tokenizer() -> Any:
    """A T5 tokenizer of single letters."""
    from transformers import T5TokenizerFast

    letters = [(chr(code), -1.0) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *letters]
    return T5TokenizerFast(vocab=pieces, extra_ids=0)


def rename_class(folder: Path, name: object) -> None:
    """Write another class into a folder's model_index.json."""
    path = folder / "model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["_class_name"] = name
    path.write_text(json.dumps(index), encoding="utf-8")


def _byte_characters() -> list[int]:
    """The 256 characters that byte-level tokenizers write bytes as."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return printable + [256 + index for index in range(256 - len(printable))]
