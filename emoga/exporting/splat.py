"""`.splat`: 32 bytes per splat, the most important first, as browser viewers stream it.

    float32 position[3]   metres
    float32 scale[3]      metres
    uint8   colour[4]     red, green, blue, opacity
    uint8   rotation[4]   (w, x, y, z) * 128 + 128

View-dependent colour does not fit in: the base colour stays.
"""

from __future__ import annotations

import numpy as np

from emoga.avatar.rig import WorldRows
from emoga.render.sh import SH_C0

RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 4), ("rotation", "u1", 4)])


def splat_bytes(world: WorldRows) -> bytes:
    """World splats as a `.splat` file."""
    scales = np.exp(world.log_scales.astype(np.float64))
    opacities = 1 / (1 + np.exp(-world.logit_opacities.astype(np.float64)))
    colours = np.concatenate([0.5 + SH_C0 * world.sh[:, 0], opacities[:, None]], axis=1)
    records = np.empty(len(world.means), RECORD)
    records["position"], records["scale"] = world.means, scales
    records["colour"] = np.clip(np.round(colours * 255), 0, 255)
    records["rotation"] = np.clip(np.round(world.quats * 128 + 128), 0, 255)
    order = np.argsort(-scales.prod(1) * opacities, kind="stable")
    return records[order].tobytes()
