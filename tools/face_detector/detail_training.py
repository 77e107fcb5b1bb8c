"""Training of the networks for eyes and mouth, on patches of the same pictures."""

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

from emoga.capture.face_crops import FaceCrop
from emoga.capture.face_details import PARTS, DetailNetwork, Part
from emoga.head import Head
from tools.face_detector.degrade import Shards
from tools.face_detector.training import LIDS, LIPS, VALIDATION, follow, mirrored, share_gradients

SIDE = 160  # pixels of the face's crop that patches are cut from
BATCH, DECAY = 32, 0.01  # patches of each part per process
OFF, TURN, SCALE = 0.10, 0.06, 0.06  # how far the first look may be off: of half a patch, radians, log
OPENING = 20.0  # weight of the gaps between lips and between lids, beside 10 for every point's place
TOUCHING = 0.01  # of half a patch between lips that touch
LOOKS = 2  # patches of each part from one picture: cutting is cheap, what a camera does to a picture is not
NEW_SHARDS = 30.0  # seconds between looks for shards that were added


def pairs_of(part: Part) -> torch.Tensor:
    """Positions [K,2] among the part's points of upper and lower rims."""
    pairs = [pair for pair in (*LIDS, *LIPS) if pair[0] in part.points]
    return torch.tensor([[part.points.index(a), part.points.index(b)] for a, b in pairs])


def examples(shards: Shards, rng: np.random.Generator, mirror: np.ndarray, count: int, plain: bool = False):
    """Per part: patches uint8 [B,3,S,S], places [B,P,2] and visible [B,P], LOOKS of each of `count / LOOKS` faces."""
    found = {name: [] for name in PARTS}
    while len(found["mouth"]) < count:
        at = rng.integers(len(shards.index))
        example = shards.example(
            rng, mirror, at, plain=True, size=SIDE, flip=rng.random() < 0.5 and not plain
        )
        if not example.face:
            continue
        whole = FaceCrop(np.array([SIDE / 2, SIDE / 2]), float(SIDE))
        points = whole.to_picture(example.points)
        for name, part in [*PARTS.items()] * LOOKS:
            patch = part.patch(points, FaceCrop.around(points))
            shift = np.clip(rng.normal(0, OFF, 2), -3 * OFF, 3 * OFF) * patch.side / 2
            patch = FaceCrop(
                patch.centre + shift, patch.side * np.exp(rng.normal(0, SCALE)), rng.normal(0, TURN)
            )
            ids = list(part.points)
            found[name].append(
                (part.cut(example.image, patch), part.from_picture(points[ids], patch), example.visible[ids])
            )
    return {
        name: (torch.from_numpy(np.stack([p[0] for p in parts])).permute(0, 3, 1, 2),
               torch.from_numpy(np.stack([p[1] for p in parts])).float(),
               torch.from_numpy(np.stack([p[2] for p in parts])).float())
        for name, parts in found.items()
    }  # fmt: skip


def _crops(images: torch.Tensor) -> torch.Tensor:
    return images.float().div(255).contiguous(memory_format=torch.channels_last)


def loss_of(places, log_spread, truth, visible, pairs) -> torch.Tensor:
    """Likelihood, distance, and the opening between upper and lower rims; hidden points count for little."""
    weight = 0.15 + 0.85 * visible
    off = places - truth
    squared = off.square().sum(-1)
    likelihood = (weight * (0.5 * squared * torch.exp(-2 * log_spread) + 2 * log_spread)).mean()
    distance = (weight * (squared + 1e-6).sqrt()).mean()
    opening = off[:, pairs[:, 0]] - off[:, pairs[:, 1]]
    seen = weight[:, pairs].amin(-1)
    parted = (seen * (opening.square().sum(-1) + 1e-6).sqrt()).mean()
    return 0.25 * likelihood + 10 * distance + OPENING * parted


def validate(network: DetailNetwork, held: dict) -> str:
    """Mean distance of visible points over the patch's half side, the openings' correlation and error, and how far
    apart lips that touch are said to be: mean and 95th percentile."""
    network.eval()
    text = ""
    with torch.no_grad():
        for name, (images, truth, visible) in held.items():
            places, _ = network.of(name)(_crops(images))
            pairs = pairs_of(PARTS[name])
            wide = [(p[:, pairs[:, 0]] - p[:, pairs[:, 1]]).norm(dim=-1).mean(1) for p in (places, truth)]
            seen = visible[:, pairs].flatten(1).mean(1) > 0.6
            error = (places - truth).norm(dim=-1)[visible > 0.5].mean()
            text += f", {name} {error:.4f} opening {(wide[0] - wide[1])[seen].abs().mean():.4f}"
            text += f" r {torch.corrcoef(torch.stack([w[seen] for w in wide]))[0, 1]:.3f}"
            closed = wide[0][seen & (wide[1] < TOUCHING)]
            if name == "mouth" and len(closed):
                text += f" closed {closed.mean():.4f} {closed.quantile(0.95):.4f}"
    return text


def train_details(
    folder: Path,
    output: Path,
    head: Head,
    minutes: float,
    processes: int,
    seed: int,
    start: Path | None,
    rate: float,
) -> None:
    """Train for `minutes`; the last averaged weights are in `output` (.pt state)."""
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
    network = DetailNetwork()
    held = examples(
        Shards(folder, VALIDATION, VALIDATION + 1000), np.random.default_rng(5), mirror, 400, plain=True
    )
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    else:
        _begin(network, held)
    network.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
    rng, shards = np.random.default_rng([seed, rank, 3]), Shards(folder, 0, VALIDATION)
    pairs = {name: pairs_of(part) for name, part in PARTS.items()}
    begun = looked = time.monotonic()
    step, shown = 0, 0.0
    while True:
        if time.monotonic() - looked > NEW_SHARDS:
            shards.refresh()
            looked = time.monotonic()
        batch = examples(shards, rng, mirror, BATCH)
        loss = torch.zeros(())
        for names in (("left_eye", "right_eye"), ("mouth",)):
            images, truth, visible = (
                torch.cat(part) for part in zip(*(batch[n] for n in names), strict=True)
            )
            with torch.autocast("cpu", torch.bfloat16):
                places, spread = network.of(names[0])(_crops(images))
            loss = loss + loss_of(places.float(), spread.float(), truth, visible, pairs[names[0]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        share = share_gradients(network, (time.monotonic() - begun) / (60 * minutes))
        done = share >= 1
        if not done:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            for group in optimizer.param_groups:
                group["lr"] = (
                    rate * min(1.0, (step + 1) / 100) * max(0.5 * (1 + np.cos(np.pi * share)), 0.004)
                )
            optimizer.step()
            step += 1
        if rank == 0:
            follow(average, network, min(0.997, 1 - 1 / (step / 10 + 1)))
            if done or time.monotonic() - shown > 60:
                shown = time.monotonic()
                print(
                    f"{100 * share:.1f} %, step {step}, loss {loss.item():.3f}" + validate(average, held),
                    flush=True,
                )
                torch.save(average.state_dict(), output)
        if done:
            return


def _begin(network: DetailNetwork, held: dict) -> None:
    """Start from the mean eye and mouth, and from modest confidence."""
    with torch.no_grad():
        for name in ("left_eye", "mouth"):
            network.of(name).places.bias.copy_(held[name][1].mean(0).flatten())
            network.of(name).places.weight.mul_(0.3)
            network.of(name).spreads.bias.fill_(-2.0)
