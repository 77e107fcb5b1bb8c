"""What a denoiser adds to the tokens of key views is added in the other views where they show the same.

Edit3DGS 3.3, "feature injection". What attention adds is carried at every step, what the layers behind it add at the
earlier ones: a small denoiser decides there, place by place, where its patterns lie; later the same layers draw each
view's own edges. Key views, which otherwise share attention alone, are held to each other likewise where it is known
which tokens show the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch

from emoga.guidance.shared_attention import Exchange, is_self_attention


class Carrier(Protocol):
    """Tells, for one view, from which tokens of the key views its own are taken.

    among_keys: whether key views too take from each other; where tokens are matched by likeness each would find itself.
    """

    among_keys: bool

    def __call__(
        self, view: int, keys: list[int], grid: int, own: torch.Tensor, theirs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [T,M] among the K·T of the key views, and their weights [T,M], all 0 where none show the same.

        own [T,C], theirs [K,T,C]: what the layer that asks is given.
        """


class Injection:
    """Carries what self-attention adds while it has a carrier, what the layers behind it add while it is `whole`."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.carrier: Carrier | None = None
        self.whole = True

    def install(self, model: Any) -> Callable[[], None]:
        """Listen to every block of a denoiser that has self-attention; returns what ends that."""
        attending = [
            name.removesuffix(".processor") for name in model.attn_processors if is_self_attention(name)
        ]
        behind = dict.fromkeys(name[: name.rindex(".")] + ".ff" for name in attending)
        hooks = [
            model.get_submodule(name).register_forward_hook(self._hook(name, attends), with_kwargs=True)
            for names, attends in ((attending, True), (behind, False))
            for name in names
        ]

        def end() -> None:
            for hook in hooks:
                hook.remove()

        return end

    def _hook(self, name: str, attends: bool) -> Callable:
        def carry(_: Any, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            if self.carrier is None or not (attends or self.whole):
                return None
            before = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
            # In a joint transformer attention gives the text's tokens too.
            added, *text = output if isinstance(output, tuple) else (output,)
            carried = self._carried(name, before, added)
            return (carried, *text) if text else carried

        return carry

    def _carried(self, name: str, before: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        """What is added [B·V,T,C] to tokens `before`, the key views' where they show the same."""
        exchange, first = self.exchange, self.exchange.keys is None
        branches, views = exchange.branches, len(exchange.views)
        tokens, width = added.shape[1:]
        # Of the branch that follows the text.
        own = before[:views]
        added = added.reshape(branches, views, tokens, width)
        theirs, offered = (own, added.flatten(1, 2)) if first else exchange.kept[name]
        found = added.clone()
        if not first or self.carrier.among_keys:
            for row, view in enumerate(exchange.views):
                source, weight = self.carrier(
                    view, exchange.keys or exchange.views, math.isqrt(tokens), own[row], theirs
                )
                weight = weight.to(added.dtype)[None, :, :, None]
                found[:, row] = (offered[:, source] * weight).sum(2) + added[:, row] * (1 - weight.sum(2))
        if first:
            exchange.kept[name] = (own, found.flatten(1, 2))
        return found.reshape(branches * views, tokens, width)
