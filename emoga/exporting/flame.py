"""Head parameters under the names that FLAME programs give them."""

from __future__ import annotations

import numpy as np
import torch

from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams, load_head


def flame_param(
    params: HeadParams, shape: torch.Tensor, static_offset: torch.Tensor | None, head_name: str
) -> dict[str, np.ndarray]:
    """shape [S], static_offset [1,V,3] and, with T rows, expr, poses, translation and a dynamic_offset of zero.

    Translations are FLAME's: of a head that turns about its first joint, with FLAME's own origin.
    """
    static, head = static_offset, load_head(head_name)
    if static is None:
        static = torch.zeros_like(head.template)
    translation = params.translation
    if head.root is not None:
        with torch.no_grad():
            rest = head.identify(shape, static_offset).rest.double()
            turns = axis_angle_to_matrix(params.rotation.double())
            translation = head.root.translation_to(rest, turns, translation.double())
    tensors = {
        "shape": shape,
        "expr": params.expr,
        "rotation": params.rotation,
        "neck_pose": params.neck,
        "jaw_pose": params.jaw,
        "eyes_pose": params.eyes,
        "translation": translation,
        "static_offset": static[None],
    }
    arrays = {name: tensor.detach().cpu().numpy().astype(np.float32) for name, tensor in tensors.items()}
    return {**arrays, "dynamic_offset": np.zeros((params.frames, len(static), 3), np.float32)}
