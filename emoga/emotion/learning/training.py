"""The loop that learns emotions: pose, colour, render, compare with cleaned edits, correct offset and colours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from emoga.avatar.appearance import ColorMLP
from emoga.avatar.posing import pose_frames
from emoga.camera import stack_cameras
from emoga.emotion.learning.cleaning import cleaned
from emoga.emotion.learning.coloring import gaussian_colors
from emoga.emotion.learning.fields import Sizes
from emoga.emotion.learning.habit import shed_habit
from emoga.emotion.learning.lesson import Body, Lesson
from emoga.emotion.learning.registration import STEPS, Registration
from emoga.emotion.learning.schedule import decay_at, phase_at
from emoga.emotion.learning.settings import Learning
from emoga.emotion.learning.shortening import lengthened
from emoga.emotion.learning.texture import colors_of
from emoga.geometry import axis_angle_to_matrix
from emoga.images import from_uint8
from emoga.optimize.adam import AdamState, adam_step
from emoga.optimize.carry import Bindings, carry
from emoga.optimize.emotion_colors import residual_sh
from emoga.optimize.perceptual import Perceptual, draw_patches
from emoga.optimize.ssim import dssim_l1_loss
from emoga.progress import Reporter, Stage, Step
from emoga.render import SH_C0, rasterize

ANCHOR = 60.0  # weight of colours' squares beside a picture's loss
TETHER = 0.01  # weight of an offset's square millimetres beside a picture's loss
SETTLING = (
    80  # updates of the colours from what was worked out on the skin alone, at the beginning of a cycle
)
REPORT_EVERY = 10


@dataclass(eq=False)
class Target:
    """What is trained on for one emotion: cleaned pictures, their weights, and change [N,3] of constant SH terms."""

    pictures: np.ndarray
    weights: np.ndarray
    colors: torch.Tensor

    @cached_property
    def believed(self) -> list[float]:
        """How much each picture counts beside a usual one."""
        sums = self.weights.astype(np.float32).sum((1, 2))
        return (sums / max(float(np.median(sums)), 1e-6)).clip(0, 2).tolist()


@dataclass(eq=False)
class Trainer:
    """All that changes while emotions are learnt, and what a step needs to change it.

    offsets: [E] of each emotion, or [T,E] for each of its frames. looked: the offsets under which the edits were
    looked at when the present cycle began. mlp, latents: None and empty without texture. rows: each emotion's in
    the network's embedding.
    """

    body: Body
    lessons: list[Lesson]
    learning: Learning
    registration: Registration
    bindings: Bindings
    backdrops: np.ndarray
    seed: int
    mlp: ColorMLP | None
    latents: torch.Tensor
    offsets: list[torch.Tensor]
    states: dict[str, AdamState]
    rows: list[int]
    iteration: int = 0
    cycle: int = -1
    looked: list[torch.Tensor] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    sizes: Sizes | None = None
    perceptual: Perceptual | None = None

    @cached_property
    def frontal(self) -> int:
        """The edited view that looks at the face most squarely, the only one whose patches are compared."""
        views = sorted({view for lesson in self.lessons for view, _ in lesson.pairs})
        axes = {view: self.body.cameras[view].w2c[2, :3] for view in views}
        towards = self.body.frames.params.rotation.mean(0)[None].double()
        face = axis_angle_to_matrix(towards)[0, :, 2].numpy()
        return min(views, key=lambda view: float(axes[view] @ face))

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.learning.iterations * len(self.lessons)

    def run(self, until: int, report: Reporter) -> None:
        """Iterate to `until` or the end of the batch that reaches it."""
        batches = 0
        while self.iteration < until:
            cycle = phase_at(self.learning, self.iteration / self.total).cycle
            if cycle != self.cycle:
                self._begin(cycle)
            self._batch()
            batches += 1
            if batches % REPORT_EVERY == 0 or self.iteration >= until:
                figures = {f"loss {self.lessons[i].edits.name}": loss for i, loss in self.losses.items()}
                report(Step(min(self.iteration, self.total), figures))

    def _begin(self, cycle: int) -> None:
        """A new cycle: what the edits agree on is worked out anew under the present offsets."""
        learning = self.learning
        self.cycle = cycle
        self.looked = [offset.clone() for offset in self.offsets]
        self.look()
        if learning.texture and learning.anchored:
            self._settle()

    def register(self, report: Reporter) -> None:
        """Work out what moves, once: from where it ends, every further pass takes off a little of the motion."""
        learning = self.learning
        if not (learning.geometry and learning.registered):
            return
        report(Stage("what the edits move", STEPS))
        self.registration.run(report=report)
        if learning.lengthened:
            report(Stage("how much of it is found", STEPS))
            rest = self.body.frames.puppet.identity.rest.double().numpy()
            self.registration.found = lengthened(self.registration, rest, report)
        if learning.habit:
            shed_habit(self.registration)
        for index, (lesson, found) in enumerate(zip(self.lessons, self.registration.found, strict=True)):
            lesson.registered = found
            self.offsets[index] = found.offset.expand_as(self.offsets[index]).clone()

    def look(self) -> None:
        """Lift the edits under the offsets of the cycle's beginning, and make the targets."""
        for lesson, offset in zip(self.lessons, self.looked, strict=True):
            lesson.find_colors(self.learning, offset, self.registration.shape())
        skins = [lesson.skin for lesson in self.lessons]
        options = {"debias": self.learning.debias, "detail": self.learning.detail}
        colors, self.sizes = colors_of(self.body.skin, skins, **options, seed=self.seed)
        self.targets = []
        for lesson, change in zip(self.lessons, colors, strict=True):
            pictures, weights = cleaned(lesson, change if self.learning.texture else 0 * change)
            own = gaussian_colors(self.body.skin, self.body.frames.puppet, change)
            self.targets.append(Target(pictures, weights, own))

    def _settle(self) -> None:
        """Bring the network's colours to those worked out on the skin, without rendering."""
        for _ in range(SETTLING):
            for index in range(len(self.lessons)):
                residual, leaves = self._residual(index)
                self._anchor(residual, index).backward()
                self._update_colors(leaves, 1.0)

    def _batch(self) -> None:
        """A few pictures of one emotion, and one update of its offset and of all colours."""
        learning, progress = self.learning, self.iteration / self.total
        phase = phase_at(learning, progress)
        number = self.iteration // learning.batch
        index = number % len(self.lessons)
        lesson = self.lessons[index]
        leaves, residual, shown = None, None, None
        if self.mlp is not None:
            residual, leaves = self._residual(index)
            shown = residual.detach().requires_grad_(phase.texture)
        offset = self.offsets[index].clone().requires_grad_(phase.geometry)
        total = 0.0
        for picture in self._pictures(number, len(lesson.pairs)):
            loss = self._loss(index, picture, offset, shown) / learning.batch
            if loss.requires_grad:
                loss.backward()
            total += float(loss.detach())
        if phase.geometry:
            self._tether(offset, index)
            rates = self._offset_rates() * decay_at(learning, progress)
            self._update_offset(index, offset.grad, rates)
        if phase.texture and shown.grad is not None:
            if learning.anchored:
                self._anchor(residual, index).backward(retain_graph=True)
            residual.backward(shown.grad)
            self._update_colors(leaves, decay_at(learning, progress))
        self.losses[index] = total
        self.iteration += learning.batch

    def _pictures(self, number: int, count: int) -> list[int]:
        """Pictures of a batch, each emotion's in a fresh random order every time round."""
        start = number // len(self.lessons) * self.learning.batch
        chosen = []
        for at in range(start, start + self.learning.batch):
            turn, place = divmod(at, count)
            chosen.append(int(np.random.default_rng([self.seed, turn]).permutation(count)[place]))
        return chosen

    def _loss(
        self, index: int, picture: int, offset: torch.Tensor, shown: torch.Tensor | None
    ) -> torch.Tensor:
        """0.8 L1 + 0.2 D-SSIM of one rendered picture, played as strongly as its edit plays it."""
        body, lesson, target = self.body, self.lessons[index], self.targets[index]
        view, row = lesson.pairs[picture]
        strength = float(lesson.registered.strengths[picture])
        own = offset if offset.dim() == 1 else offset[row]
        puppet, camera = body.frames.puppet, body.cameras[view]
        _, frames = pose_frames(puppet.identity, puppet.rig, body.frames.acted(row, own, strength), 0)
        gaussians = puppet.gaussians
        if shown is not None:
            gaussians = replace(gaussians, sh=gaussians.sh + strength * shown)
        position = torch.from_numpy(camera.position.astype(np.float32))
        splats = carry(gaussians, self.bindings, frames, puppet.bind, position)
        viewmats, Ks = stack_cameras([camera])
        image = rasterize(
            splats.means, splats.quats, splats.scales, splats.opacities, splats.colors[None], viewmats, Ks,
            camera.width, camera.height, background=torch.from_numpy(self.backdrops[view]),
        ).image  # fmt: skip
        wanted = torch.from_numpy(from_uint8(target.pictures[picture]))[None]
        weight = torch.from_numpy(target.weights[picture].astype(np.float32))[None]
        loss = dssim_l1_loss(image, wanted, weight)
        if self.perceptual is not None and view == self.frontal:
            generator = np.random.default_rng([self.seed, self.iteration, picture])
            patches = draw_patches((weight > 0.3).numpy(), generator)
            loss = loss + self.learning.perceptual * self.perceptual(image, wanted, patches, weight)
        # The loss is a mean by weight: a picture that is hardly believed must also count less as a whole.
        return target.believed[picture] * loss

    def _residual(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What an emotion adds to SH [N,K,3], and the leaves whose gradients tell how to change it."""
        leaves = {name: part.detach().requires_grad_() for name, part in self.mlp.weights().items()}
        leaves["latents"] = self.latents.detach().requires_grad_()
        network = ColorMLP(**{name: leaves[name] for name in self.mlp.weights()}, form=self.mlp.form)
        mixture = torch.nn.functional.one_hot(torch.tensor(self.rows[index]), self.mlp.rows)
        return residual_sh(network, leaves["latents"], mixture), leaves

    def _anchor(self, residual: torch.Tensor, index: int) -> torch.Tensor:
        """How far colours are from what was worked out on the skin; beyond the constant term from nothing."""
        apart = (residual[:, 0] - self.targets[index].colors) * SH_C0
        return ANCHOR * ((apart**2).mean() + ((residual[:, 1:] * SH_C0) ** 2).mean())

    def _update_colors(self, leaves: dict[str, torch.Tensor], decay: float) -> None:
        learning = self.learning
        scale = decay * learning.color_multiplier
        for name, leaf in leaves.items():
            rate = learning.latent_rate if name == "latents" else learning.network_rate
            rate = learning.embedding_rate if name.startswith("embed") else rate
            value = self.latents if name == "latents" else getattr(self.mlp, name)
            rows, gradient = value.reshape(len(value), -1), leaf.grad.reshape(len(value), -1)
            adam_step(rows, gradient, self.states[name], rate * scale)

    def _tether(self, offset: torch.Tensor, index: int) -> None:
        """Add the pull of what registration found to the gradient of an offset."""
        if not self.learning.registered:
            return
        motion = torch.from_numpy(self.body.motion_mm).float()
        apart = (offset.detach() - self.lessons[index].registered.offset) * motion
        offset.grad += 2 * TETHER * apart * motion

    def _offset_rates(self) -> torch.Tensor:
        """Rate of every unit [E], such that all move the face alike; units that may not move have none."""
        learning, (low, high) = self.learning, self.body.bounds
        rates = learning.offset_rate * learning.offset_multiplier / self.body.motion_mm * (high > low)
        return torch.from_numpy(rates).float()

    def _update_offset(self, index: int, gradient: torch.Tensor, rates: torch.Tensor) -> None:
        offset, state = self.offsets[index], self.states[f"offset {index}"]
        shared = offset.dim() == 1
        value, gradient = (part[None] if shared else part for part in (offset, gradient))
        adam_step(value, gradient, state, rates)
        low, high = (torch.from_numpy(part).float() for part in self.body.bounds)
        offset.copy_(torch.minimum(torch.maximum(offset, low), high))
