"""Does an avatar read from a file fit the head model that is here?"""

from __future__ import annotations

import torch

from emoga.avatar.avatar import Avatar
from emoga.avatar.rig import avatar_head
from emoga.errors import InputError
from emoga.head import Head
from emoga.head.params import BONES


def check_avatar(avatar: Avatar, source: str) -> Head:
    """The avatar's head model, after checking version, checksum and every length against it.

    Raises InputError beginning with `source`.
    """
    try:
        head = avatar_head(avatar)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    for name, length in (("shape", len(head.shape_names)), ("neutral", len(head.expr_names))):
        if len(getattr(avatar, name)) != length:
            raise InputError(f"{source}: {name} has {len(getattr(avatar, name))} values, the head {length}")
    if avatar.static_offset is not None and len(avatar.static_offset) != len(head.template):
        raise InputError(f"{source}: static_offset does not fit the head's {len(head.template)} vertices")
    if avatar.motion is not None and avatar.motion.params.expr.shape[1] != len(head.expr_names):
        raise InputError(f"{source}: its motion has another number of expression units than the head")
    check_binding(avatar.gaussians.binding, head, source)
    return head


def check_binding(binding: torch.Tensor, head: Head, source: str) -> None:
    """Every Gaussian must ride on a triangle or bone that the head has."""
    high, low = int(binding.max()), int(binding.min())
    if high >= len(head.faces) or low < -len(BONES):
        raise InputError(
            f"{source}: a splat is bound to triangle {high} or bone {-1 - low}; "
            f"the head has {len(head.faces)} triangles and {len(BONES)} bones"
        )
