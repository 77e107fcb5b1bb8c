"""Training of the face network: losses, the stream of examples, and a schedule by the clock."""

from __future__ import annotations

import copy
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.distributed
import torch.multiprocessing

from emoga.capture.face_network import FaceNetwork, Reading
from emoga.head import Head
from tools.face_detector.degrade import Shards

BATCH, RATE, DECAY = 24, 1.5e-3, 0.02  # per process
VALIDATION = 9000  # shards from this number on are never trained on
LIDS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
LIPS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318))
FINE = (*range(468, 478), *(p for pair in (*LIDS, *LIPS) for p in pair), 33, 133, 362, 263, 61, 291, 78, 308)


def mirrored(head: Head) -> np.ndarray:
    """For each point [478] the one on the other side of the face."""
    marks = head.landmarks["mediapipe478"].points(head.template)
    return torch.cdist(marks * torch.tensor([-1.0, 1.0, 1.0]), marks).argmin(1).numpy()


def collate(examples: list) -> tuple[torch.Tensor, ...]:
    """images uint8 [B,3,S,S], points [B,478,2], visible [B,478], face [B]."""
    images = torch.from_numpy(np.stack([e.image for e in examples])).permute(0, 3, 1, 2)
    points = torch.from_numpy(np.stack([e.points for e in examples]))
    visible = torch.from_numpy(np.stack([e.visible for e in examples])).float()
    return images, points, visible, torch.tensor([e.face for e in examples])


def losses(
    reading: Reading, points: torch.Tensor, visible: torch.Tensor, face: torch.Tensor, weights: torch.Tensor
):
    """What is wrong with a reading: likelihood of the places, openings of lids and lips, sight, presence."""
    has = face > 0.5
    presence = torch.nn.functional.binary_cross_entropy_with_logits(reading.face, face)
    off = (reading.points - points)[has]
    squared = off.square().sum(-1)
    log_spread = reading.log_spread[has]
    likelihood = (weights * (0.5 * squared * torch.exp(-2 * log_spread) + 2 * log_spread)).mean()
    distance = (weights * (squared + 1e-6).sqrt()).mean()
    pairs = torch.tensor([*LIDS, *LIPS])
    opening = (off[:, pairs[:, 0]] - off[:, pairs[:, 1]]).square().sum(-1).add(1e-6).sqrt().mean()
    sight = torch.nn.functional.binary_cross_entropy_with_logits(reading.visible[has], visible[has])
    return 0.25 * likelihood + 20 * distance + 6 * opening + 0.2 * sight + 0.5 * presence


def validate(network: FaceNetwork, batches: list) -> dict[str, float]:
    """Mean distance over visible points as a share of the face's height, of fine points, and presence."""
    network.eval()
    shares, fine, right, openings = [], [], [], []
    pairs = torch.tensor([*LIDS, *LIPS])
    with torch.no_grad():
        for images, points, visible, face in batches:
            reading = network(_crops(images))
            has = face > 0.5
            height = (points[has][:, 10] - points[has][:, 152]).norm(dim=-1, keepdim=True)
            off = (reading.points - points)[has]
            share = off.norm(dim=-1) / height.clamp_min(0.3)
            shares.append(share[visible[has] > 0.5])
            fine.append(share[:, list(FINE)][visible[has][:, list(FINE)] > 0.5])
            openings.append(
                ((off[:, pairs[:, 0]] - off[:, pairs[:, 1]]).norm(dim=-1) / height.clamp_min(0.3)).flatten()
            )
            right.append(((reading.face > 0) == has).float())
    mean = {"error": shares, "fine": fine, "opening": openings, "presence": right}
    return {name: float(torch.cat(parts).mean()) for name, parts in mean.items()}


def train(
    folder: Path,
    output: Path,
    head: Head,
    minutes: float,
    processes: int,
    seed: int,
    start: Path | None,
    rate: float = RATE,
) -> None:
    """Train for `minutes`; the averaged weights that validate best so far are always in `output` (.pt state).

    Each process makes its own examples and looks at them on one thread; they share their gradients.
    """
    with tempfile.TemporaryDirectory() as meeting:
        where = f"file://{meeting}/meeting"
        shared = (processes, where, folder, output, mirrored(head), minutes, seed, start, rate)
        torch.multiprocessing.spawn(_work, shared, processes)


def _work(rank: int, processes: int, meeting: str, folder: Path, output: Path, mirror: np.ndarray, minutes: float,
          seed: int, start: Path | None, rate: float) -> None:  # fmt: skip
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    torch.manual_seed(seed)
    network = FaceNetwork()
    held = _validation(folder, mirror)
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    else:
        _begin(network, held)
    network.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(network)
    weights = torch.ones(478)
    weights[list(FINE)] = 2.0
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
    rng = np.random.default_rng([seed, rank])
    shards = Shards(folder, 0, VALIDATION)
    begun = looked = time.monotonic()
    step, best, shown = 0, 1e9, 0.0
    while True:
        if time.monotonic() - looked > 30:
            shards.refresh()
            looked = time.monotonic()
        images, points, visible, face = collate([shards.example(rng, mirror) for _ in range(BATCH)])
        with torch.autocast("cpu", torch.bfloat16):
            reading = network(_crops(images))
        reading = Reading(
            *(getattr(reading, name).float() for name in ("points", "log_spread", "visible", "face"))
        )
        loss = losses(reading, points, visible, face, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        share = share_gradients(network, (time.monotonic() - begun) / (60 * minutes))
        if share >= 1:
            break
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 150) * max(0.5 * (1 + np.cos(np.pi * share)), 0.004)
        optimizer.step()
        step += 1
        if rank == 0:
            follow(average, network, min(0.998, 1 - 1 / (step / 10 + 1)))
            if time.monotonic() - shown > 90:
                shown = time.monotonic()
                best = _keep_best(
                    average, held, best, output, f"{100 * share:.1f} %, step {step}, loss {loss.item():.3f}"
                )
    if rank == 0:
        _keep_best(average, held, best, output, f"end, step {step}")


def _crops(images: torch.Tensor) -> torch.Tensor:
    return images.float().div(255).contiguous(memory_format=torch.channels_last)


def _validation(folder: Path, mirror: np.ndarray) -> list[tuple[torch.Tensor, ...]]:
    held = Shards(folder, VALIDATION, VALIDATION + 1000)
    rng, count = np.random.default_rng(5), len(held.index)
    return [collate([held.example(rng, mirror, k, plain=True) for k in range(i, min(i + BATCH, count))])
            for i in range(0, count, BATCH)]  # fmt: skip


def _begin(network: FaceNetwork, held: list[tuple[torch.Tensor, ...]]) -> None:
    """Start from the mean face, and from modest confidence."""
    faces = torch.cat([points[face > 0.5] for _, points, _, face in held])
    with torch.no_grad():
        network.places.bias.copy_(faces.mean(0).flatten())
        network.places.weight.mul_(0.3)
        network.spreads.bias.fill_(-2.0)


def share_gradients(network: torch.nn.Module, share: float) -> float:
    """Average the gradients, and the share of the time that is gone, over the processes."""
    parts = [p.grad for p in network.parameters()]
    flat = torch.cat([part.flatten() for part in parts] + [torch.tensor([share])])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    at = 0
    for part in parts:
        part.copy_(flat[at : at + part.numel()].view_as(part))
        at += part.numel()
    return float(flat[-1])


def follow(average: torch.nn.Module, network: torch.nn.Module, keep: float) -> None:
    """Move the average towards the network."""
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)


def _keep_best(average: FaceNetwork, held: list, best: float, output: Path, text: str) -> float:
    figures = validate(average, held)
    print(text + "".join(f", {name} {value:.4f}" for name, value in figures.items()), flush=True)
    if figures["error"] < best:
        torch.save(average.state_dict(), output)
    return min(best, figures["error"])
