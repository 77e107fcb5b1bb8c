"""Appearance that depends on emotion (EMO-GA 4.4.2): a small network from latents and an emotion to SH.

    feature(e) = relu(one-hot(e) A + a) B + b                      32 values per emotion
    f(z, e)    = relu([z, feature(e)] W + w) U + u                 latent z of 128 values -> 64 -> 3 K SH coefficients

Row 0 of A is the neutral emotion. An avatar's stored SH are what it shows at rest; emotions with weights w_i add

    sum_i w_i (f(z, e_i) - f(z, e_0))

so that mixtures are linear in the weights, and without weights nothing is added at all. `form` says how the
network is trained: "residual" on top of SH that stay as they were fitted, or "absolute" as in the thesis, where
f(z, e_0) itself is what is stored as SH.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

import torch

Form = Literal["residual", "absolute"]
FORMS: tuple[Form, ...] = ("residual", "absolute")
LATENT, EMBEDDING, HIDDEN = 128, 32, 64


@dataclass
class ColorMLP:
    """The network for E - 1 emotions and neutral (row 0), giving K coefficients; matrices take rows from the left.

    embed_in [E,32], embed_in_bias [32], embed_out [32,32], embed_out_bias [32]: the emotion embedding;
    hidden [160,64], hidden_bias [64], out [64,3K], out_bias [3K]: the colour network.
    """

    embed_in: torch.Tensor
    embed_in_bias: torch.Tensor
    embed_out: torch.Tensor
    embed_out_bias: torch.Tensor
    hidden: torch.Tensor
    hidden_bias: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor
    form: Form = "residual"

    @property
    def rows(self) -> int:
        """E: emotions it knows, neutral included."""
        return self.embed_in.shape[0]

    @property
    def terms(self) -> int:
        """K."""
        return self.out_bias.shape[0] // 3

    def weights(self) -> dict[str, torch.Tensor]:
        """All matrices and biases by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "form"}

    def to(self, device: torch.device | str) -> ColorMLP:
        """The same network on another device."""
        return ColorMLP(**{name: part.to(device) for name, part in self.weights().items()}, form=self.form)

    def detach(self) -> ColorMLP:
        """Without gradient history."""
        return ColorMLP(**{name: part.detach() for name, part in self.weights().items()}, form=self.form)


def weight_shapes(rows: int, terms: int) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a ColorMLP for E rows and K coefficients."""
    return {
        "embed_in": (rows, EMBEDDING),
        "embed_in_bias": (EMBEDDING,),
        "embed_out": (EMBEDDING, EMBEDDING),
        "embed_out_bias": (EMBEDDING,),
        "hidden": (LATENT + EMBEDDING, HIDDEN),
        "hidden_bias": (HIDDEN,),
        "out": (HIDDEN, 3 * terms),
        "out_bias": (3 * terms,),
    }


def start_color_mlp(emotions: int, terms: int, form: Form = "residual", seed: int = 0) -> ColorMLP:
    """A fresh network for so many emotions beside neutral and K coefficients.

    Weights are uniform, such that values of unit size stay so (of a one-hot a single row counts); biases are
    zero. A residual begins at zero: its last matrix is zero. As hidden units already differ between emotions,
    that matrix has gradients at once, and everything before it as soon as it has moved.
    """
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name, shape in weight_shapes(emotions + 1, terms).items():
        value = torch.zeros(shape)
        if len(shape) == 2 and (name, form) != ("out", "residual"):
            inputs = 1 if name == "embed_in" else shape[0]
            value.uniform_(-1, 1, generator=generator).mul_(math.sqrt(3 / inputs))
        values[name] = value
    return ColorMLP(**values, form=form)


def emotion_terms(mlp: ColorMLP) -> torch.Tensor:
    """What each emotion adds to the hidden layer, its bias included, [E,64]; differentiable."""
    features = torch.relu(mlp.embed_in + mlp.embed_in_bias) @ mlp.embed_out + mlp.embed_out_bias
    return features @ mlp.hidden[LATENT:] + mlp.hidden_bias


def blend_weights(mixture: torch.Tensor, form: Form = "residual") -> torch.Tensor:
    """v [E] such that sum_j v_j f(z, e_j) is what a mixture [E] of emotions adds; or, "absolute", all it shows.

    The mixture's own weight of neutral, entry 0, means nothing: neutral takes what the others leave.
    """
    blend = mixture.detach().float().clone()
    blend[0] = float(form == "absolute") - blend[1:].sum()
    return blend


def blend_plainly(mlp: ColorMLP, latents: torch.Tensor, blend: torch.Tensor) -> torch.Tensor:
    """sum_j v_j f(z, e_j) for latents z [N,128] and v [E], as SH [N,K,3]; any device and float type."""
    shared = latents.to(mlp.hidden) @ mlp.hidden[:LATENT]
    units = torch.zeros_like(shared)
    for weight, emotion in zip(blend.tolist(), emotion_terms(mlp), strict=True):
        if weight:
            units = units + weight * torch.relu(shared + emotion)
    colors = units @ mlp.out + float(blend.sum()) * mlp.out_bias
    return colors.reshape(len(latents), mlp.terms, 3)
