"""Time the colour network of emotional avatars, forward and backward, against plain torch.

    python benchmarks/appearance.py --json benchmarks/results/appearance.json

A case is one emotion's colours of all Gaussians with SH of degree 3 (`cpu/color_mlp/80k`), with gradients to
latents, embedding and weights, as one step of training needs it; `…/forward` is without gradients, as play needs
it once per emotion. The named peer, `torch/…`, is the network as the thesis draws it: latents joined with the
embedding through two layers, in torch. `play/…` mixes two emotions into the SH of a frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import torch
from harness import median_ms, print_row, write_report

from emoga.avatar.appearance import ColorMLP, blend_weights, start_color_mlp
from emoga.avatar.avatar import Gaussians
from emoga.optimize.color_mlp import blend_colors
from emoga.optimize.emotion_colors import EmotionColors

COUNTS = (20_000, 80_000, 200_000)
EMOTIONS, TERMS = 4, 16
Call = Callable[[ColorMLP, torch.Tensor, torch.Tensor], torch.Tensor]


def as_drawn(mlp: ColorMLP, latents: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """f(z, e) of one emotion in torch; its difference to neutral would cost a second one."""
    feature = torch.relu(mixture @ mlp.embed_in + mlp.embed_in_bias) @ mlp.embed_out + mlp.embed_out_bias
    joined = torch.cat([latents, feature.expand(len(latents), -1)], 1)
    units = torch.relu(joined @ mlp.hidden + mlp.hidden_bias)
    return (units @ mlp.out + mlp.out_bias).reshape(len(latents), TERMS, 3)


def as_compiled(mlp: ColorMLP, latents: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """f(z, e) - f(z, neutral) as training takes it."""
    return blend_colors(mlp, latents, blend_weights(mixture))


def cases(count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for `count` Gaussians, by name."""
    torch.manual_seed(0)
    mlp = start_color_mlp(EMOTIONS, TERMS, "absolute")
    for value in mlp.weights().values():
        value.requires_grad_()
    latents = torch.randn(count, 128).requires_grad_()
    gradient, mixture = torch.randn(count, TERMS, 3), torch.eye(EMOTIONS + 1)[1]

    def step(call: Call) -> None:
        for leaf in (latents, *mlp.weights().values()):
            leaf.grad = None
        call(mlp, latents, mixture).backward(gradient)

    @torch.no_grad()
    def forward(call: Call) -> None:
        call(mlp, latents, mixture)

    colors = EmotionColors(mlp, _gaussians(count, latents.detach()))
    weights = [torch.tensor([0, 0.6, 0.3, 0, 0]), torch.tensor([0, 0.5, 0.4, 0, 0])]

    def play() -> None:
        colors.mixed(weights[0])
        weights.reverse()  # other weights in every frame, as keyframes give

    size = f"{count // 1000}k"
    return {
        f"cpu/color_mlp/{size}": lambda: step(as_compiled),
        f"torch/color_mlp/{size}": lambda: step(as_drawn),
        f"cpu/color_mlp/{size}/forward": lambda: forward(as_compiled),
        f"torch/color_mlp/{size}/forward": lambda: forward(as_drawn),
        f"play/color_mlp/{size}": play,
    }


def _gaussians(count: int, latents: torch.Tensor) -> Gaussians:
    threes, ones = torch.zeros(count, 3), torch.zeros(count)
    whole = torch.zeros(count, dtype=torch.int64)
    sh = torch.zeros(count, TERMS, 3)
    return Gaussians(threes, torch.zeros(count, 4), threes, ones, sh, whole, whole.to(torch.uint8), latents)


def main() -> None:
    """Time all cases with all threads and with one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="80,000 Gaussians only, fewer repeats")
    arguments = parser.parse_args()
    threads, rows = torch.get_num_threads(), []
    for count in (80_000,) if arguments.quick else COUNTS:
        for used in dict.fromkeys((threads, 1)):
            torch.set_num_threads(used)
            for case, work in cases(count).items():
                middle, least = median_ms(work, 8 if arguments.quick else arguments.repeats)
                rows.append({"case": case, "threads": used, "median_ms": middle, "min_ms": least})
                print_row(rows[-1])
    write_report(rows, threads, arguments.json)


if __name__ == "__main__":
    main()
