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
from small_editor.components import components_of
from small_editor.films import film_all, shots_of
from small_editor.team import Team, together

from emoga.progress import Event, Note

# Share of the time; the rest is the denoiser's.
AUTOENCODER = 0.2
# Pictures whose components are taken for those of all.
TYPICAL = 500
PAIRS = 8000


def train(
    output: Path, begun: Path | None, films: Path, minutes: float, workers: int, learners: int, pairs: int
) -> None:
    """Film, paint, learn, save. begun: a folder made earlier, whose denoiser goes on learning."""
    shots = [shot for film in film_all(films, workers, _say) for shot in shots_of(film)]
    before, after, texts = training.make_pairs(shots, networks.SIZE, pairs, seed=0)
    print(f"{len(shots)} pictures of {len(set(texts))} instructions, {pairs} pairs", flush=True)
    together(learners, learn, before, after, texts, begun, 60 * minutes, output)


def learn(
    team: Team, before: np.ndarray, after: np.ndarray, texts: list[str], begun: Path | None, seconds: float,
    output: Path,
) -> None:  # fmt: skip
    """One learner's part."""
    torch.manual_seed(team.rank if begun is None else 100 + team.rank)
    known = components_of(
        training.pixels(np.concatenate([before[:TYPICAL], after[:TYPICAL]])), networks.LATENTS
    )
    parts, share, seed = networks.fresh() if begun is None else networks.load(begun), 1.0, 4
    team.share([*parts["vae"].parameters(), *parts["unet"].parameters(), *parts["text_encoder"].parameters()])
    if begun is None:
        share, seed = 1 - AUTOENCODER, 2
        pictures = np.concatenate([before, after])
        training.learn_autoencoder(team, parts["vae"], pictures, known, seconds * AUTOENCODER)
        parts["vae"].register_to_config(scaling_factor=1.0)
    latents = [known.latents(training.pixels(pictures)) for pictures in (before, after)]
    training.learn_denoiser(
        team, parts, *latents, texts, seconds * share, partial(networks.save, output), seed=seed
    )


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
    parser.add_argument("--learners", type=int, default=3, help="processes that learn")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    train(
        options.output, options.begun, options.films, options.minutes, options.workers, options.learners,
        options.pairs,
    )  # fmt: skip


if __name__ == "__main__":
    main()
