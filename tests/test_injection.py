"""What layers add is carried between views, while it is to be, and by nothing that stays behind."""

from __future__ import annotations

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import torch

from emoga.guidance.injection import Injection
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


class Mean:
    """A carrier for which all views show the same."""

    among_keys = True

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        source = torch.arange(grid * grid)[:, None] + torch.arange(len(keys)) * grid * grid
        return source, torch.full(source.shape, 1 / len(keys))
