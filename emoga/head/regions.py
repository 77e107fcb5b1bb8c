"""Named regions of a head: one label per vertex, and the unions that verbs ask for."""

from __future__ import annotations

import torch

# Unions that verbs ask for by one name, over the finer labels.
UNIONS = {
    "face": ("face", "forehead", "brows", "eyelids", "nose", "cheeks", "lips", "jaw"),
    "eyeballs": ("eyeballs", "irises"),
    "neck": ("neck",),
    "below_collar": ("shoulders", "boundary"),
}


def named_regions(names: tuple[str, ...], label: torch.Tensor) -> dict[str, torch.Tensor]:
    """Vertex sets [V] by name: one per label, with the unions in place of their narrow namesakes."""
    single = {name: label == index for index, name in enumerate(names)}
    unions = {
        name: torch.stack([single[part] for part in parts]).any(0)
        for name, parts in UNIONS.items()
        if all(part in single for part in parts)
    }
    return {**single, **unions}
