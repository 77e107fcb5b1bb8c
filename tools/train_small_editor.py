"""Train a small instruction-following picture editor on studio films, from nothing, on a CPU in under an hour.

    python tools/train_small_editor.py -o small_editor --films films --minutes 50

What comes out is a diffusers folder of InstructPix2Pix's layout for pictures of 64 pixels, which knows the few
instructions of `small_editor/painting.py` and has many right answers to each: dyed hair of any hue, patches that
fall anywhere. It is for trying how edits of several views are made to agree, without anybody's weights.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from small_editor import networks, training
from small_editor.films import film_all, shots_of

from emoga.progress import Event, Note

# Shares of the time: the autoencoder's is short, its task is easy.
AUTOENCODER = 0.2
PAIRS = 8000


def train(output: Path, begun: Path | None, films: Path, minutes: float, workers: int, pairs: int) -> None:
    """Film, paint, learn, save. begun: a folder made earlier, whose denoiser goes on learning."""
    shots = [shot for film in film_all(films, workers, _say) for shot in shots_of(film)]
    before, after, texts = training.make_pairs(shots, networks.SIZE, pairs, seed=0)
    print(f"{len(shots)} pictures of {len(set(texts))} instructions, {pairs} pairs", flush=True)
    torch.manual_seed(0)
    parts = networks.fresh() if begun is None else networks.load(begun)
    vae, share = parts["vae"], 1.0
    if begun is None:
        share = 1 - AUTOENCODER
        training.learn_autoencoder(vae, np.concatenate([before, after]), 60 * minutes * AUTOENCODER)
    vae.eval()
    known, wanted = training.encoded(vae, before), training.encoded(vae, after) * vae.config.scaling_factor
    training.learn_denoiser(
        parts, known, wanted, texts, 60 * minutes * share, partial(networks.save, output),
        seed=2 if begun is None else 4,
    )  # fmt: skip


def _say(event: Event) -> None:
    if isinstance(event, Note):
        print(event.text, file=sys.stderr, flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--begun", type=Path, help="a folder made earlier, to go on from")
    parser.add_argument("--films", type=Path, default=Path("films"), help="folder to keep the films in")
    parser.add_argument("--minutes", type=float, default=50, help="of learning; filming takes ten more")
    parser.add_argument("--workers", type=int, default=2, help="processes that film")
    parser.add_argument("--threads", type=int, default=2, help="threads that learn")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.output, options.begun, options.films, options.minutes, options.workers, options.pairs)


if __name__ == "__main__":
    main()
