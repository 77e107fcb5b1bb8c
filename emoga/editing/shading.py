"""What light alone does to the colours of a head whose rest is given another shape."""

from __future__ import annotations

import numpy as np

from emoga.avatar import Avatar
from emoga.editing.light import SH_C0
from emoga.editing.masks import INSIDE, skin_mask
from emoga.editing.subject import Subject, make_subject
from emoga.optimize.relighting import relit, skin_light

LIT = ("cheeks", "nose", "forehead", "jaw", "face", "neck")


def shading_change(before: Avatar, after: Avatar) -> np.ndarray:
    """Change [N,3] sRGB of the Gaussians' colours when only the shape differs, under the light that skin shows."""
    subject, moved = make_subject(before), make_subject(after)
    base = _colours(subject)
    weight = skin_mask(subject) * subject.opacities * subject.labelled(*LIT)
    light = skin_light(base, subject.normals[None], weight)
    change = relit(base, light, subject.normals[None], moved.normals[None])
    return change * ~subject.labelled(*INSIDE)[:, None]


def _colours(subject: Subject) -> np.ndarray:
    """[N,3] sRGB, without their dependence on the view."""
    return 0.5 + SH_C0 * subject.avatar.gaussians.sh[:, 0].detach().double().numpy()
