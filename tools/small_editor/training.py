"""Learn the autoencoder, then the denoiser and the reader of instructions together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from small_editor.films import Shot
from small_editor.painting import PAINTERS, moved

DROP = 0.05  # share of examples without text, without picture, and without both
KL = 1e-6
KEPT = 1000  # steps of the denoiser from one snapshot to the next


def make_pairs(
    shots: Sequence[Shot], size: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """uint8 [P,size,size,3] before and after, and what was asked for."""
    rng = np.random.default_rng(seed)
    names, before, after, texts = list(PAINTERS), [], [], []
    for index in range(count):
        shot = moved(shots[int(rng.integers(len(shots)))], size, rng)
        painter, words = PAINTERS[names[index % len(names)]]
        before.append(_bytes(shot.picture))
        after.append(_bytes(painter(shot, rng)))
        texts.append(words[int(rng.integers(len(words)))])
    return np.stack(before), np.stack(after), texts


def learn_autoencoder(
    vae: Any, pictures: np.ndarray, seconds: float, rate: float = 1e-3, batch: int = 8
) -> None:
    """Fit it to pictures [P,H,W,3] uint8, and scale its latents to unit spread."""
    optimiser = torch.optim.AdamW(vae.parameters(), rate, weight_decay=1e-4)
    for step, rows, share in _steps(len(pictures), batch, seconds, seed=1):
        _set_rate(optimiser, rate, step, share)
        wanted = pixels(pictures[rows])
        latents = vae.encode(wanted).latent_dist
        made = vae.decode(latents.sample()).sample
        edges = sum((made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean() for axis in (2, 3))
        loss = (made - wanted).abs().mean() + edges + KL * latents.kl().mean()
        _update(optimiser, vae.parameters(), loss)
        if step % 100 == 0:
            _say("autoencoder", step, share, (made - wanted).detach().square().mean().item())
    with torch.no_grad():
        spread = torch.cat([vae.encode(pixels(pictures[at : at + 16])).latent_dist.mode()
                            for at in range(0, min(len(pictures), 256), 16)]).std()  # fmt: skip
    vae.register_to_config(scaling_factor=float(1 / spread))


@torch.no_grad()
def encoded(vae: Any, pictures: np.ndarray) -> torch.Tensor:
    """Latents [P,4,h,w] as the autoencoder gives them, unscaled."""
    return torch.cat([vae.encode(pixels(pictures[at : at + 16])).latent_dist.mode()
                      for at in range(0, len(pictures), 16)])  # fmt: skip


def learn_denoiser(
    parts: dict[str, Any], before: torch.Tensor, after: torch.Tensor, texts: list[str], seconds: float,
    keep: Callable[[dict[str, Any]], None], rate: float = 7e-4, batch: int = 16, seed: int = 2,
) -> None:  # fmt: skip
    """Fit UNet and text encoder to latents before (unscaled) and after (scaled) [P,4,h,w] and texts.

    keep: gets the parts with the mean of recent weights, at the end and every so often before it.
    """
    unet, reader, scheduler = parts["unet"], parts["text_encoder"], parts["scheduler"]
    words = parts["tokenizer"]
    tokens = words([*texts, ""], padding="max_length", max_length=words.model_max_length, truncation=True,
                   return_tensors="pt").input_ids  # fmt: skip
    weights = [*unet.parameters(), *reader.parameters()]
    optimiser = torch.optim.AdamW(weights, rate, weight_decay=1e-3)
    means = [deepcopy(unet).eval(), deepcopy(reader).eval()]
    averaged = parts | {"unet": means[0], "text_encoder": means[1]}
    chance = torch.Generator().manual_seed(seed + 1)
    recent: list[float] = []
    for step, rows, share in _steps(len(after), batch, seconds, seed=seed):
        _set_rate(optimiser, rate, step, share)
        times = torch.randint(0, scheduler.config.num_train_timesteps, (batch,), generator=chance)
        noise = torch.randn(after[rows].shape, generator=chance)
        dropped = torch.rand(batch, generator=chance)
        asked = torch.from_numpy(rows).clone()
        asked[dropped < 2 * DROP] = len(texts)
        kept = (~((dropped > DROP) & (dropped < 3 * DROP))).float()[:, None, None, None]
        noisy = scheduler.add_noise(after[rows], noise, times)
        wanted = scheduler.get_velocity(after[rows], noise, times)
        meaning = reader(tokens[asked])[0]
        found = unet(torch.cat([noisy, before[rows] * kept], 1), times, meaning).sample
        loss = functional.mse_loss(found, wanted)
        _update(optimiser, weights, loss)
        _follow(means, [unet, reader], min(0.999, (step + 1) / (step + 20)))
        recent = [*recent[-99:], loss.item()]
        if step % 100 == 0:
            _say("denoiser", step, share, float(np.mean(recent)))
        if step % KEPT == KEPT - 1:
            keep(averaged)
    keep(averaged)


def pixels(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [P,H,W,3] as [P,3,H,W] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _steps(count: int, batch: int, seconds: float, seed: int) -> Iterator[tuple[int, np.ndarray, float]]:
    """Step, the examples of its batch and the share of the time that is gone."""
    rng, begun, step = np.random.default_rng(seed), time.monotonic(), 0
    while (gone := (time.monotonic() - begun) / seconds) < 1:
        yield step, rng.integers(0, count, batch), gone
        step += 1


def _set_rate(optimiser: torch.optim.Optimizer, rate: float, step: int, share: float) -> None:
    """Rises over 100 steps, then falls to nothing as the time runs out."""
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * share))


def _update(optimiser: torch.optim.Optimizer, weights: Any, loss: torch.Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()


@torch.no_grad()
def _follow(means: list[Any], modules: list[Any], keep: float) -> None:
    for mean, module in zip(means, modules, strict=True):
        for old, new in zip(mean.parameters(), module.parameters(), strict=True):
            old.lerp_(new, 1 - keep)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return (picture * 255 + 0.5).astype(np.uint8)


def _say(what: str, step: int, share: float, value: float) -> None:
    print(f"{what:<12} step {step:>6}  {share:5.0%}  loss {value:.4f}", flush=True)
