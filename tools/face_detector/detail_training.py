"""Training of the networks for eyes and mouth, each in a process of its own, on patches of the same pictures."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing

from emoga.capture.face_details import PARTS, Part, PartNetwork
from emoga.head import Head
from tools.face_detector.painting import painted
from tools.face_detector.patches import Cuts, cut_shard, moved, spoilt
from tools.face_detector.training import LIDS, LIPS, VALIDATION, follow, mirrored

KINDS = {"eye": ("left_eye", "right_eye"), "mouth": ("mouth",)}  # one network each, and the parts it is for
BATCH, DECAY = 48, 0.01
OPENING = 20.0  # weight of the gaps between lips and between lids, beside 10 for every point's place
SHRUNK = 10.0  # weight of openings that shrink towards the usual one
TOUCHING = 0.01  # of half a patch between lips that touch
HELD = 900  # patches that only judge
NEW_SHARDS = 90.0  # seconds between looks for shards that were added


def pairs_of(part: Part) -> torch.Tensor:
    """Positions [K,2] among the part's points of upper and lower rims."""
    pairs = [pair for pair in (*LIDS, *LIPS) if pair[0] in part.points]
    return torch.tensor([[part.points.index(a), part.points.index(b)] for a, b in pairs])


class Stream:
    """Batches of one kind of part from shards first..end, of which more may be added meanwhile."""

    def __init__(self, folder: Path, kind: str, first: int, end: int, mirror: np.ndarray | None) -> None:
        self.folder, self.kind, self.range, self.mirror = folder, kind, (first, end), mirror
        self.part, self.shards = PARTS[KINDS[kind][0]], {}
        self.refresh()

    def refresh(self) -> None:
        """Cut shards that were not there before."""
        numbers = [int(file.name[:5]) for file in sorted(self.folder.glob("*.pictures.npy"))]
        for number in numbers:
            if self.range[0] <= number < self.range[1] and number not in self.shards:
                self.shards[number] = cut_shard(self.folder, number, KINDS[self.kind])
        counts = [len(cuts.images) for cuts in self.shards.values()]
        self.starts = np.cumsum([0, *counts])

    def batch(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, ...]:
        """images float [B,3,S,S] in 0..1, places [B,P,2], visible [B,P]."""
        chosen = np.sort(rng.integers(self.starts[-1], size=count))
        shards = list(self.shards.values())
        within = np.searchsorted(self.starts, chosen, side="right") - 1
        rows = [(shards[s], k - self.starts[s]) for s, k in zip(within, chosen, strict=True)]
        picked = Cuts(*(np.stack([getattr(cuts, name)[k] for cuts, k in rows])
                        for name in ("images", "places", "visible")))  # fmt: skip
        images, places, visible = moved(picked, self.part, rng, self.mirror)
        return spoilt(painted(images, places, visible, self.part, rng), rng), places, visible


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
    return 0.25 * likelihood + 10 * distance + OPENING * parted + SHRUNK * _shrunk(places, truth, seen, pairs)


def _shrunk(places, truth, seen, pairs) -> torch.Tensor:
    """Squared share of an opening by which wide ones are said to be too narrow and narrow ones too wide, in a batch.

    Whoever errs least in every picture errs towards the usual opening; over time that makes blinks too small.
    """
    wide, right = (
        ((p[:, pairs[:, 0]] - p[:, pairs[:, 1]]).square().sum(-1) + 1e-6).sqrt() for p in (places, truth)
    )
    weight = seen / seen.sum()
    apart = right - (weight * right).sum()
    slope = (weight * apart * (wide - right)).sum() / (weight * apart.square()).sum()
    return slope.square()


def validate(network: PartNetwork, held: tuple[torch.Tensor, ...], pairs: torch.Tensor) -> str:
    """Mean distance of visible points over the patch's half side; of openings the error, correlation and slope; and how
    far apart rims that touch are said to be: mean and 95th percentile."""
    network.eval()
    images, truth, visible = held
    with torch.no_grad():
        places = torch.cat([network(_ready(part))[0] for part in images.split(100)])
    wide = [(p[:, pairs[:, 0]] - p[:, pairs[:, 1]]).norm(dim=-1).mean(1) for p in (places, truth)]
    seen = visible[:, pairs].flatten(1).mean(1) > 0.6
    ours, right = wide[0][seen], wide[1][seen]
    both = torch.cov(torch.stack([ours, right]))
    error = (places - truth).norm(dim=-1)[visible > 0.5].mean()
    text = f"error {error:.4f} opening {(ours - right).abs().mean():.4f}"
    text += f" r {both[0, 1] / (both[0, 0] * both[1, 1]).sqrt():.3f} slope {both[0, 1] / both[1, 1]:.3f}"
    closed = ours[right < TOUCHING]
    if len(closed):
        text += f" closed {closed.mean():.4f} {closed.quantile(0.95):.4f}"
    return text


def _ready(images: torch.Tensor) -> torch.Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def train_details(
    folder: Path,
    output: Path,
    head: Head,
    kinds: list[str],
    minutes: float,
    seed: int,
    start: Path | None,
    rate: float,
    kept: float,
) -> None:
    """Train for `minutes`; the last averaged weights are in `output` with the kind in its name (.pt state).

    kept: share of `start` in what is written and judged: where few new pictures teach, the mean of the weights before
    and after errs less than either.
    """
    mirror = mirrored(head)
    shared = (kinds, folder, output, mirror, minutes, seed, start, rate, kept)
    torch.multiprocessing.spawn(_work, shared, len(kinds))


def detail_file(output: Path, kind: str) -> Path:
    """Where the network of a kind goes, or comes from."""
    return output.with_suffix(f".{kind}{output.suffix}")


def _work(
    rank: int, kinds: list[str], folder: Path, output: Path, mirror: np.ndarray, minutes: float, seed: int,
    start: Path | None, rate: float, kept: float,
) -> None:  # fmt: skip
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kind = kinds[rank]
    part = PARTS[KINDS[kind][0]]
    # Both eyes serve one network as if they were left ones; a mouth is mirrored for itself.
    own = None if kind == "eye" else np.array([part.points.index(mirror[p]) for p in part.points])
    network, pairs = PartNetwork(part), pairs_of(part)
    held = Stream(folder, kind, VALIDATION, VALIDATION + 1000, None).batch(np.random.default_rng(5), HELD)
    if start is not None:
        network.load_state_dict(torch.load(detail_file(start, kind), weights_only=True))
    network.to(memory_format=torch.channels_last).train()
    before, average, written = (copy.deepcopy(network) for _ in range(3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
    rng, stream = np.random.default_rng([seed, rank, 3]), Stream(folder, kind, 0, VALIDATION, own)
    begun = looked = time.monotonic()
    step, shown = 0, begun
    while True:
        if time.monotonic() - looked > NEW_SHARDS:
            stream.refresh()
            looked = time.monotonic()
        images, truth, visible = stream.batch(rng, BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            places, spread = network(_ready(images))
        loss = loss_of(places.float(), spread.float(), truth, visible, pairs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        share = min((time.monotonic() - begun) / (60 * minutes), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * max(0.5 * (1 + np.cos(np.pi * share)), 0.004)
        optimizer.step()
        step += 1
        follow(average, network, min(0.997, 1 - 1 / (step / 10 + 1)))
        if share >= 1 or time.monotonic() - shown > 60:
            shown = time.monotonic()
            written.load_state_dict(average.state_dict())
            follow(written, before, 1 - kept)
            figures = validate(written, held, pairs)
            print(f"{kind} {100 * share:.1f} %, step {step}, loss {loss.item():.3f}, {figures}", flush=True)
            torch.save(written.state_dict(), detail_file(output, kind))
        if share >= 1:
            return
