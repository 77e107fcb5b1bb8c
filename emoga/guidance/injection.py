"""What a denoiser adds to the tokens of key views is added in the other views where they show the same.

Edit3DGS 3.3, "feature injection". What attention adds is carried at every step, what the layers behind it add at the
earlier ones: a small denoiser decides there, place by place, where its patterns lie; later the same layers draw each
view's own edges. A blend of several tokens is given the contrast that they had. Key views, which otherwise share
attention alone, are held to each other likewise where it is known which tokens show the same.
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
    """Carries what self-attention adds while it has a carrier, what the layers behind it add while it is `whole`.

    contrast: what that of a blend is multiplied by at most, to be what its sources had.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.carrier: Carrier | None = None
        self.whole = True
        self.contrast = 1.0

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
                taken = blended(offered[:, source], weight, self.contrast)
                found[:, row] = taken + added[:, row] * (1 - weight.sum(2))
        if first:
            exchange.kept[name] = (own, found.flatten(1, 2))
        return found.reshape(branches * views, tokens, width)


def blended(sources: torch.Tensor, weight: torch.Tensor, most: float) -> torch.Tensor:
    """Sources [B,T,M,C] by weights [1,T,M,1], as [B,T,C], with the contrast over the tokens that the sources had.

    Tokens between those of a key view, and key views that do not agree, are blends: each is paler than what it is made
    of, which over the steps makes pictures soft. Per branch and channel the spread is given back, `most` times what is
    left of it at most: of views that say the opposite of each other that is little. The mean is kept.
    """
    kind = sources.dtype
    sources, weight = sources.float(), weight.float()  # squares of halves run over
    taken, share = (sources * weight).sum(2), weight.sum(2)
    count = share.sum(1, keepdim=True).clamp(min=1e-6)
    mean = taken.sum(1, keepdim=True) / count
    had = ((sources - mean[:, :, None]).square() * weight).sum((1, 2))[:, None] / count
    # Tokens that are taken in part, share s, hold s times a blend: their spread is that of the blend.
    apart = taken - mean * share
    left = (apart.square() / share.clamp(min=1e-6)).sum(1, keepdim=True) / count
    gain = (had / left.clamp(min=1e-12)).sqrt().clamp(1, most)
    return (mean * share + apart * gain).to(kind)
