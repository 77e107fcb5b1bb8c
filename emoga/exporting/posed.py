"""An avatar in one pose: the splats of a frame as a standard 3DGS file stores them, and its mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.emotions import parse_emotion
from emoga.avatar.posing import Puppet, make_puppet
from emoga.avatar.rig import WorldRows, world_at_bind
from emoga.avatar.score import Score, in_its_light, own_motion, still_motion, write_score
from emoga.errors import InputError
from emoga.motion import Motion
from emoga.optimize.emotion_colors import residual_sh
from emoga.render.sh import SH_C0, sh_basis

# Splats that have faded away keep this opacity: its logit is still a number.
LEAST_OPACITY = 1e-6


@dataclass(frozen=True)
class Pose:
    """What to freeze: a frame of a motion, an emotion, both, or neither, which is the bind pose.

    motion: a record, or None for the avatar's own when a frame is asked for; calibrate: carry another
    person's motion over relative to each one's neutral; emotion: weights such as "happy:0.6,surprised:0.3".
    """

    motion: Motion | None = None
    frame: int | None = None
    emotion: str | None = None
    calibrate: bool = True

    @property
    def is_bind(self) -> bool:
        """Whether nothing but the bind pose is asked for."""
        return self.motion is None and self.frame is None and not self.emotion

    def describe(self) -> str:
        """A few words for reports."""
        if self.is_bind:
            return "bind pose"
        parts = [f"frame {self.frame or 0}"] if self.motion is not None or self.frame is not None else []
        return ", ".join(parts + ([self.emotion] if self.emotion else []))


def posed_score(puppet: Puppet, pose: Pose) -> Score:
    """What the avatar does in the one frame that `pose` names.

    Raises InputError for a frame the motion does not have, an unknown emotion or another head's motion.
    """
    avatar, head = puppet.avatar, puppet.head
    own = pose.motion is None and pose.frame is not None
    motion = own_motion(avatar) if own else pose.motion or still_motion(avatar, head, 0)
    frame = pose.frame or 0
    if not 0 <= frame < motion.frame_count:
        raise InputError(f"--frame {frame}: the motion has frames 0 to {motion.frame_count - 1}")
    score = write_score(
        avatar,
        head,
        motion,
        parse_emotion(pose.emotion),
        calibrate=pose.calibrate and pose.motion is not None,
        pose="absolute",
        pose_reference="mean",
    )
    part = slice(frame, frame + 1)
    return Score(
        score.params.select(part), score.fps, None if score.mixtures is None else score.mixtures[part]
    )


def posed_rows(avatar: Avatar, pose: Pose) -> WorldRows:
    """World values of all splats in a pose, in the encodings of 3DGS files, colours turned along."""
    if pose.is_bind:
        return world_at_bind(avatar)
    puppet = make_puppet(avatar)
    score = posed_score(puppet, pose)
    posed, mixture = puppet.pose(score.params), score.mixture(0)
    world, sh = posed.world, puppet.gaussians.sh
    if mixture is not None and bool(mixture[1:].any()):
        sh = sh + residual_sh(avatar.appearance.detach(), puppet.gaussians.latents, mixture)
    if in_its_light(avatar, score.params).light is not None:
        sh = _shaded(sh, posed.shade)
    opacities = world.opacities.double().clamp(LEAST_OPACITY, 1 - LEAST_OPACITY)
    arrays = (
        world.means,
        torch.nn.functional.normalize(world.quats, dim=-1),
        world.scales.log(),
        opacities.logit(),
        turn_sh(sh, posed.turn),
    )
    return WorldRows(*(array.float().cpu().numpy() for array in arrays))


def posed_vertices(avatar: Avatar, pose: Pose) -> tuple[Puppet, np.ndarray]:
    """The prepared avatar and its mesh vertices [V,3] metres in a pose."""
    puppet = make_puppet(avatar)
    if pose.is_bind:
        vertices = puppet.head.bind_vertices(avatar.shape, avatar.static_offset)
    else:
        vertices = puppet.pose(posed_score(puppet, pose).params).vertices
    return puppet, vertices.double().cpu().numpy()


def _shaded(sh: torch.Tensor, shade: torch.Tensor) -> torch.Tensor:
    """SH [N,K,3] of colours multiplied by shade [N,3]; colours are one half where all SH are zero."""
    shaded = sh * shade[:, None]
    shaded[:, 0] += (shade - 1) * 0.5 / SH_C0
    return shaded


def turn_sh(sh: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """SH [N,K,3] that give, along d, what `sh` gives along d @ turn, for rotations `turn` [N,3,3].

    Rotations mix coefficients of one degree only. Evaluating a degree's functions along enough fixed
    directions and along the turned ones gives the mixing matrix of every Gaussian.
    """
    result = sh.clone()
    count = sh.shape[1]
    directions = _spread_directions(24).to(turn)
    fixed = sh_basis(directions, count)
    turned = sh_basis(directions @ turn, count)
    for degree in range(1, round(count**0.5)):
        part = slice(degree**2, (degree + 1) ** 2)
        mixing = torch.linalg.pinv(fixed[:, part]) @ turned[..., part]
        result[:, part] = mixing @ sh[:, part]
    return result


def _spread_directions(count: int) -> torch.Tensor:
    """`count` unit vectors spread over the sphere (a Fibonacci lattice), [count,3] float64."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = torch.pi * (1 + 5**0.5) * index
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], 1)
