"""Self-attention over several views at once: key views attend to the tokens of all of them, the others to the same.

A batch holds `branches` copies of the views, one per term of the guidance, branch by branch (Edit3DGS 3.3,
"spatial-temporal attention").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


@dataclass
class Exchange:
    """What one pass of the denoiser hands the next, layer by layer.

    views: those of the pass; keys: those of the first pass of a step, None while it runs; kept: by layer or block,
    what the first pass leaves to the others.
    """

    branches: int
    views: list[int] = field(default_factory=list)
    keys: list[int] | None = None
    kept: dict[str, tuple[torch.Tensor, ...]] = field(default_factory=dict)

    def begin(self, views: list[int], keys: list[int] | None) -> None:
        """A pass over some views: of the key views themselves when `keys` is None."""
        self.views, self.keys = views, keys
        if keys is None:
            self.kept.clear()


class SharedAttention:
    """An attention processor for diffusers, in place of a layer's own; for UNets and for joint transformers."""

    def __init__(self, name: str, exchange: Exchange) -> None:
        self.name, self.exchange = name, exchange

    def __call__(
        self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None, *args: Any, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """hidden_states [B·V,T,C], and beside them in joint transformers the text's [B·V,L,C]."""
        query, key, value = (
            _heads(attn, project(hidden_states), norm)
            for project, norm in (
                (attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k), (attn.to_v, None)
            )
        )  # fmt: skip
        exchange = self.exchange
        if exchange.keys is None:
            key, value = (_together(part, exchange.branches) for part in (key, value))
            exchange.kept[self.name] = (key, value)
        else:
            key, value = exchange.kept[self.name]
        key, value = (part.repeat_interleave(len(exchange.views), 0) for part in (key, value))
        text = encoder_hidden_states
        if text is not None:
            asked, known, said = (
                _heads(attn, project(text), norm)
                for project, norm in (
                    (attn.add_q_proj, attn.norm_added_q), (attn.add_k_proj, attn.norm_added_k),
                    (attn.add_v_proj, None),
                )
            )  # fmt: skip
            query = torch.cat([query, asked], 2)
            key, value = torch.cat([key, known], 2), torch.cat([value, said], 2)
        mixed = scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        tokens = hidden_states.shape[1]
        found = attn.to_out[1](attn.to_out[0](mixed[:, :tokens]))
        if text is None:
            return found / attn.rescale_output_factor
        words = mixed[:, tokens:]
        return found, words if attn.context_pre_only else attn.to_add_out(words)


def install(model: Any, exchange: Exchange) -> Callable[[], None]:
    """Put shared attention into every self-attention of a denoiser; returns what puts its own back."""
    before = dict(model.attn_processors)
    shared = {
        name: SharedAttention(name, exchange) if is_self_attention(name) else processor
        for name, processor in before.items()
    }
    model.set_attn_processor(shared)
    return lambda: model.set_attn_processor(before)


def is_self_attention(name: str) -> bool:
    """A UNet's `attn2` listens to the text; a joint transformer's attends to the picture, as its `attn` does."""
    joint = name.startswith("transformer_blocks.")
    return name.endswith(("attn.processor", "attn2.processor") if joint else "attn1.processor")


def _heads(attn: Any, projected: torch.Tensor, norm: Any) -> torch.Tensor:
    """[B,T,C] as [B,H,T,D]."""
    parts = projected.unflatten(2, (attn.heads, -1)).transpose(1, 2)
    return parts if norm is None else norm(parts)


def _together(parts: torch.Tensor, branches: int) -> torch.Tensor:
    """[B·V,H,T,D] as [B,H,V·T,D]: the tokens of all views of a branch."""
    heads, tokens, width = parts.shape[1:]
    views = parts.reshape(branches, -1, heads, tokens, width).transpose(1, 2)
    return views.reshape(branches, heads, -1, width)
