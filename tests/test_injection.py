"""What layers add is carried between views, while it is to be, and by nothing that stays behind."""

from __future__ import annotations

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import torch

from emoga.guidance.injection import Injection, blended
from emoga.guidance.shared_attention import Exchange


def test_key_views_take_from_each_other_and_nothing_is_left_listening() -> None:
    views, tokens = 2, 16
    exchange = Exchange(1)
    injection = Injection(exchange)
    block = torch.nn.ModuleDict({"attn1": torch.nn.Linear(3, 3), "ff": torch.nn.Linear(3, 3)})
    model = torch.nn.ModuleDict({"block": block})
    model.attn_processors = {"block.attn1.processor": None}
    end = injection.install(model)
    hidden = torch.randn(views, tokens, 3, generator=torch.Generator().manual_seed(0))
    plain = block["attn1"](hidden)
    injection.carrier = Mean()
    exchange.begin([0, 1], None)
    torch.testing.assert_close(block["attn1"](hidden), plain.mean(0).expand_as(plain))
    exchange.begin([2], [0, 1])
    torch.testing.assert_close(block["attn1"](torch.zeros(1, tokens, 3))[0], plain.mean(0))
    injection.whole = False
    torch.testing.assert_close(block["ff"](torch.zeros(1, tokens, 3))[0], block["ff"].bias.expand(tokens, 3))
    end()
    exchange.begin([0, 1], None)
    torch.testing.assert_close(block["attn1"](hidden), plain)


def test_a_blend_keeps_the_contrast_and_the_mean_of_what_it_is_made_of() -> None:
    tokens, sources, width = 400, 3, 3
    chance = torch.Generator().manual_seed(0)
    offered = 5 + torch.randn(2, tokens, sources, width, generator=chance)
    weight = torch.full((1, tokens, sources, 1), 1 / sources)
    plain, made = offered.mean(2), blended(offered, weight, 2)
    assert (plain.std(1) < 0.7).all()
    torch.testing.assert_close(made.std(1), offered.flatten(1, 2).std(1), rtol=0.02, atol=0)
    torch.testing.assert_close(made.mean(1), plain.mean(1))
    torch.testing.assert_close(blended(offered, weight, 1), plain)
    # One source alone is no blend, and what no key view shows stays untouched.
    weight = torch.zeros_like(weight)
    weight[:, : tokens // 2, 1] = 1
    made = blended(offered, weight, 2)
    torch.testing.assert_close(made[:, : tokens // 2], offered[:, : tokens // 2, 1])
    assert not made[:, tokens // 2 :].any()


def test_what_cancels_is_not_blown_up() -> None:
    chance = torch.Generator().manual_seed(0)
    one = torch.randn(1, 50, 1, 2, generator=chance)
    opposed = torch.cat([one, -0.9 * one], 2).half()
    weight = torch.full((1, 50, 2, 1), 0.5).half()
    made = blended(opposed, weight, 2)
    assert made.dtype == torch.float16 and made.isfinite().all()
    assert made.float().std() < 2.02 * opposed.float().mean(2).std()


class Mean:
    """A carrier for which all views show the same."""

    among_keys = True

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        source = torch.arange(grid * grid)[:, None] + torch.arange(len(keys)) * grid * grid
        return source, torch.full(source.shape, 1 / len(keys))
