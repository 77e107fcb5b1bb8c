"""emoga: video of a face to an animatable 3D Gaussian-splat head avatar.

The verbs of the command line are functions here, under the same names and with the same arguments. They are
looked up when first used, so `import emoga` is quick.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# torch's OpenMP threads otherwise spin for milliseconds after every operation and take the cores from our
# own kernels (a splat render: 13 ms instead of 9). Heeded only when torch is imported after emoga.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

_PLACES = {
    "track": "emoga.tracking",
    "track_many": "emoga.tracking",
    "fit": "emoga.fitting",
    "optimize_emotion": "emoga.emotion",
    "reenact": "emoga.reenactment",
    "export": "emoga.exporting",
    "evaluate": "emoga.evaluation",
    "evaluate_emotion": "emoga.evaluation",
    "evaluate_edit": "emoga.evaluation",
    "edit": "emoga.editing",
    "open_capture": "emoga.capture",
    "load_track": "emoga.capture",
    "save_track": "emoga.capture",
    "load_motion": "emoga.motion",
    "save_motion": "emoga.motion",
    "read_motion": "emoga.motion",
    "load_avatar": "emoga.avatar",
    "save_avatar": "emoga.avatar",
    "load_head": "emoga.head",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'emoga' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
