"""Learn the autoencoder, then the denoiser and the reader of instructions together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from small_editor.components import Components
from small_editor.films import Shot
from small_editor.painting import PAINTERS, moved
from small_editor.team import Team

DROP = 0.05  # share of examples without text, without picture, and without both
UNSURE = 0.05  # of the latents' spread: what the decoder must bear, for neither encoder nor denoiser is exact
KEPT = 500  # steps of the denoiser from one snapshot to the next


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
    team: Team, vae: Any, pictures: np.ndarray, known: Components, seconds: float, rate: float = 1.5e-3,
    batch: int = 4,
) -> None:  # fmt: skip
    """Fit the encoder to find the components of pictures [P,H,W,3] uint8, the decoder to draw from them."""
    weights = list(vae.parameters())
    optimiser = torch.optim.AdamW(weights, rate, weight_decay=1e-4)
    rng = np.random.default_rng((1, team.rank))
    recent: list[float] = []
    for step, share in team.steps(seconds):
        _set_rate(optimiser, rate, step, share)
        wanted = pixels(pictures[rng.integers(0, len(pictures), batch)])
        latents = known.latents(wanted)
        found = vae.encode(wanted).latent_dist.mean
        made = vae.decode(latents + UNSURE * torch.randn_like(latents)).sample
        edges = sum((made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean() for axis in (2, 3))
        squares = (made - wanted).square().mean()
        loss = (made - wanted).abs().mean() + 2 * squares + edges + 0.5 * functional.mse_loss(found, latents)
        _update(optimiser, weights, loss)
        team.agree(step, weights)
        recent = [*recent[-99:], squares.item()]
        if step % 100 == 0:
            _say(team, "autoencoder", step, share, float(np.mean(recent)))


def learn_denoiser(
    team: Team, parts: dict[str, Any], before: torch.Tensor, after: torch.Tensor, texts: list[str], seconds: float,
    keep: Callable[[dict[str, Any]], None], rate: float = 5e-4, batch: int = 4, seed: int = 2,
) -> None:  # fmt: skip
    """Fit UNet and text encoder to latents before and after [P,C,h,w] and texts.

    keep: gets the parts with the mean of recent weights, every so often and at the end, from the first learner.
    """
    unet, reader, scheduler = parts["unet"].train(), parts["text_encoder"].train(), parts["scheduler"]
    words = parts["tokenizer"]
    tokens = words([*texts, ""], padding="max_length", max_length=words.model_max_length, truncation=True,
                   return_tensors="pt").input_ids  # fmt: skip
    weights = [*unet.parameters(), *reader.parameters()]
    optimiser = torch.optim.AdamW(weights, rate, weight_decay=1e-3)
    means = [deepcopy(unet).eval(), deepcopy(reader).eval()]
    averaged = parts | {"unet": means[0], "text_encoder": means[1]}
    rng = np.random.default_rng((seed, team.rank))
    chance = torch.Generator().manual_seed(1000 * seed + team.rank)
    recent: list[float] = []
    for step, share in team.steps(seconds):
        _set_rate(optimiser, rate, step, share)
        rows = rng.integers(0, len(after), batch)
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
        team.agree(step, weights)
        _follow(means, [unet, reader], min(0.998, (step + 1) / (step + 20)))
        recent = [*recent[-99:], loss.item()]
        if step % 100 == 0:
            _say(team, "denoiser", step, share, float(np.mean(recent)))
        if team.rank == 0 and step % KEPT == KEPT - 1:
            keep(averaged)
    if team.rank == 0:
        keep(averaged)


def pixels(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [P,H,W,3] as [P,3,H,W] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


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


def _say(team: Team, what: str, step: int, share: float, value: float) -> None:
    if team.rank == 0:
        print(f"{what:<12} step {step:>6}  {share:5.0%}  loss {value:.4f}", flush=True)
