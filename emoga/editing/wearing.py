"""What things are made of, and how their meshes become Gaussians that ride on a triangle or a bone of the head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from emoga.avatar import Gaussians
from emoga.editing.light import LUMA, to_linear, to_srgb
from emoga.editing.materials import polished
from emoga.editing.meshes import Solid
from emoga.editing.subject import Subject
from emoga.editing.surface import bound_gaussians, flat_sh
from emoga.guidance import Operation
from emoga.guidance.edit_plan import colour_value
from emoga.head.params import BONES

SH_C1 = math.sqrt(3 / (4 * math.pi))
# The bone that carries the skull.
SKULL = -1 - BONES.index("neck")


@dataclass(frozen=True)
class Finish:
    """srgb: colour; metal: share of mirrored light in it; gloss: strength of the highlight; opacity."""

    srgb: tuple[float, float, float]
    metal: float = 0.0
    gloss: float = 0.1
    opacity: float = 0.97


FINISHES: dict[str, Finish] = {
    "gold": Finish((0.90, 0.68, 0.26), 1.0, 0.5), "rose_gold": Finish((0.88, 0.60, 0.48), 1.0, 0.5),
    "silver": Finish((0.80, 0.81, 0.83), 1.0, 0.5), "steel": Finish((0.62, 0.64, 0.67), 1.0, 0.4),
    "copper": Finish((0.78, 0.46, 0.31), 1.0, 0.4), "bronze": Finish((0.62, 0.43, 0.22), 1.0, 0.4),
    "pearl": Finish((0.93, 0.90, 0.86), 0.15, 0.45), "diamond": Finish((0.86, 0.90, 0.96), 0.8, 0.9),
    "plastic": Finish((0.10, 0.10, 0.11), 0.0, 0.3), "wood": Finish((0.45, 0.30, 0.18), 0.0, 0.08),
    "leather": Finish((0.30, 0.19, 0.12), 0.0, 0.12), "wool": Finish((0.42, 0.42, 0.45), 0.0, 0.0),
    "cloth": Finish((0.45, 0.45, 0.48), 0.0, 0.0), "straw": Finish((0.82, 0.70, 0.45), 0.0, 0.03),
    "glass": Finish((0.75, 0.82, 0.85), 0.3, 0.8, 0.5), "jade": Finish((0.36, 0.60, 0.45), 0.1, 0.4),
    "marble": Finish((0.90, 0.89, 0.87), 0.0, 0.2), "stone": Finish((0.55, 0.54, 0.52), 0.0, 0.05),
    "clay": Finish((0.66, 0.42, 0.32), 0.0, 0.02), "plaster": Finish((0.92, 0.91, 0.89), 0.0, 0.02),
    "cartoon": Finish((0.80, 0.20, 0.20), 0.0, 0.0),
}  # fmt: skip


def finish_of(step: Operation, usual: str, colour: str = "") -> Finish:
    """How a thing looks: the plan's material and colour, else the thing's usual ones."""
    finish = FINISHES[step.material or usual]
    named = step.colour or ("" if step.material else colour)
    if not named:
        return finish
    return Finish(colour_value(named), finish.metal, finish.gloss, finish.opacity)


def solid_sh(subject: Subject, solid: Solid, finish: Finish, texture: np.ndarray | float = 1.0) -> np.ndarray:
    """SH [M,K,3] of a solid in the avatar's light: diffuse, mirrored for metal, a highlight where SH can show one."""
    light = subject.shading(solid.normals)
    exposure = np.clip(float(subject.skin @ LUMA) / 0.30, 0.5, 1.2)
    shade = np.broadcast_to(texture, len(solid)) * (
        (1 - finish.metal) * light + finish.metal * polished(solid.normals, light)
    )
    linear = exposure * shade[:, None] * to_linear(np.array(finish.srgb))
    sh = flat_sh(subject, np.clip(linear, 0, 1.6))
    if sh.shape[1] > 1 and finish.gloss > 0:
        towards = subject.light[1:] / (np.linalg.norm(subject.light[1:]) + 1e-9) + np.array([0, 0.3, 0.8])
        towards /= np.linalg.norm(towards)
        mirrored = 2 * (solid.normals @ towards)[:, None] * solid.normals - towards
        facing = np.clip(solid.normals @ towards, 0, 1)
        strength = 0.22 * finish.gloss * facing[:, None, None] * to_srgb(np.clip(linear, 0.05, 1))[:, None]
        # SH of the direction from the camera d: a highlight seen from the mirrored direction is -mirrored · d.
        sh[:, 1:4] += (
            strength * (np.stack([mirrored[:, 1], -mirrored[:, 2], mirrored[:, 0]], 1) / SH_C1)[..., None]
        )
    return sh


def worn(
    subject: Subject,
    solid: Solid,
    finish: Finish,
    binding: int,
    label: str = "face",
    texture: np.ndarray | float = 1.0,
) -> Gaussians:
    """Gaussians of a solid at its place at the bind pose, all of them on one triangle or bone.

    texture: gain [M] of linear light.
    """
    return bound_gaussians(
        subject,
        solid.centres,
        solid.axes,
        solid.sizes,
        solid_sh(subject, solid, finish, texture),
        np.full(len(solid), binding),
        opacity=finish.opacity,
        labels=label,
    )
