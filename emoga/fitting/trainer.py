"""The fit's loop: pose, carry, render, compare, correct; and density control now and then."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig
from emoga.camera import stack_cameras
from emoga.fitting.alike import LikelyColors
from emoga.fitting.hidden import HiddenParts
from emoga.fitting.inside_mouth import InsideMouth
from emoga.fitting.network import ColorNetwork
from emoga.fitting.patching import PatchTerm
from emoga.fitting.presets import Preset, Rates, decayed
from emoga.fitting.pulled_colors import pull_colors
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.rehearsal import Rehearsal
from emoga.fitting.sink import ROOT
from emoga.fitting.turned import TurnedPictures
from emoga.head import Head, HeadParams, Identity
from emoga.optimize.carry import carry
from emoga.optimize.density import Density, refine
from emoga.optimize.first_gaussians import FIXED_SHARE
from emoga.optimize.regularise import Tether, add_tether
from emoga.optimize.splats import Splats
from emoga.optimize.ssim import dssim_l1_loss
from emoga.optimize.training_pictures import Example, TrainingPictures
from emoga.progress import Reporter, Step
from emoga.render import Rendering, rasterize

ALPHA_SHARE = 0.3
REACH = {"scalp": 2.5, "shoulders": 2.0, "boundary": 2.0, "brows": 1.5, "lashes": 1.5}
SINK_REACH = 100.0
SINK_EVERY = 3
OTHER_BACKDROPS = 0.5  # share of the steps
WARM_UP = 0.04  # share of the iterations before the motion is corrected
CENTRE_EVERY = 100
HOLD_EVERY = 10
REPORT_EVERY = 25


@dataclass
class Trainer:
    """Everything that changes while fitting, and what the step needs to change it."""

    head: Head
    identity: Identity
    rig: Rig
    bind: TriangleFrames
    splats: Splats
    motion: MotionRefinement
    pictures: TrainingPictures
    preset: Preset
    rates: Rates
    seed: int
    turned: TurnedPictures | None = None
    network: ColorNetwork | None = None
    patches: PatchTerm | None = None
    likely: LikelyColors | None = None
    iteration: int = 0
    hidden: HiddenParts | None = None
    inside: InsideMouth | None = None
    _tether_of: tuple[Splats, Tether] | None = None

    def __post_init__(self) -> None:
        if self.hidden is None:
            self.hidden = HiddenParts(self.head, self.identity, self.motion.base, self.pictures.cameras)
        if self.inside is None:
            self.inside = InsideMouth.of(self.head, self.splats.gaussians)

    def run(self, until: int, report: Reporter) -> None:
        """Iterate to `until`, reporting now and then."""
        losses: list[torch.Tensor] = []
        while self.iteration < until:
            losses.append(self.step())
            if self.iteration % REPORT_EVERY == 0 or self.iteration == until:
                loss = sum(map(float, losses)) / len(losses)
                report(Step(self.iteration, {"loss": loss, "gaussians": float(len(self.splats))}))
                losses = []

    def step(self) -> torch.Tensor:
        """One picture: gradients, updates, statistics. Returns the loss, which nobody has waited for yet."""
        progress = self.iteration / self.preset.iterations
        example = self.next_example(progress)
        learning = self.preset.refine_motion and progress >= WARM_UP
        params = self.motion.of_frame(example.frame, learning)
        rendering = self.render(example, self.pose(params))
        loss = self.loss(rendering, example)
        if self.patches is not None and self.patches.due(self.iteration):
            loss = loss + self.patches.loss(rendering, example, self.iteration)
        loss.backward()
        shown = rendering.statistics.visible[0] & ~self._disguised(example)
        self.splats.observe(rendering.statistics.means2d_grad[0], shown)
        self._update(rendering, example, progress)
        if learning:
            self.motion.update(example.frame, params, decayed(1.0, 0.1, progress))
        if self.turned is not None and self.iteration % self.preset.turn_every == 0:
            self._learn_turned(progress)
        if self.preset.rehearse_every and self.iteration % self.preset.rehearse_every == 0:
            self._rehearse(example, progress)
        self.iteration += 1
        self._control(progress)
        return loss.detach()

    def pose(self, params: HeadParams) -> TriangleFrames:
        """Frames of the one frame of `params`."""
        return pose_frames(self.identity, self.rig, params, 0)[1]

    def loss(self, rendering: Rendering, example: Example) -> torch.Tensor:
        """What the step makes smaller."""
        return picture_loss(rendering, example, self.preset.squares)

    def next_example(self, progress: float) -> Example:
        """Pictures in a fresh random order every epoch, each epoch seeded by its number."""
        pairs = self.pictures.pairs
        epoch, position = divmod(self.iteration, len(pairs))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(pairs))
        # What is dropped in the end must not be needed: most steps go without the sink and its clothing.
        head_only = not self._has_sink() or self.iteration % SINK_EVERY != 0
        generator, pair = np.random.default_rng([self.seed, self.iteration, 1]), pairs[order[position]]
        example = self.pictures.example(*pair, self._coarse(progress), head_only, _backdrop(generator))
        disguise = torch.from_numpy(generator.random(3, np.float32)).to(example.backdrop.device)
        return replace(example, hidden=self.hidden.of(*pair), disguise=disguise)

    def _coarse(self, progress: float) -> bool:
        return progress < self.preset.coarse

    def _learn_turned(self, progress: float) -> None:
        """One update from a picture turned to where the camera never was."""
        generator = np.random.default_rng([self.seed, self.iteration, 2])
        example, params = self.sent(*self.draw_turned(generator, progress))
        rendering = self.render(example, self.pose(params))
        self.loss(rendering, example).backward()
        self._update(rendering, example, progress)

    def _rehearse(self, filmed: Example, progress: float) -> None:
        """One update of the skin from an expression that nobody filmed, perhaps from aside."""
        generator = np.random.default_rng([self.seed, self.iteration, 3])
        drawn = Rehearsal(self.hidden).draw(filmed.view, filmed.frame, generator)
        if drawn is None:
            return
        example, params = self.sent(*drawn)
        rendering = self.render(example, self.pose(params))
        (rendering.image[0] * example.weight[..., None]).mean().backward()
        self.splats.gaussians.sh.grad = None  # nothing here has a colour to learn
        still = self.hidden.behind[self.splats.bindings.rows] | self._disguised(example)
        self._move(rendering.statistics.visible[0] & ~still, self._shape_rates(progress))

    def sent(self, example: Example, params: HeadParams) -> tuple[Example, HeadParams]:
        """What was drawn on the host, where the trainer works."""
        return example, params

    def draw_turned(self, generator: np.random.Generator, progress: float) -> tuple[Example, HeadParams]:
        """A turned picture and the head's parameters in it."""
        return self.turned.draw(generator, self._coarse(progress), _backdrop(generator))

    def _update(self, rendering: Rendering, example: Example, progress: float) -> None:
        """Move the visible Gaussians by the gradients at hand and the pull of their tethers and of likely colours.

        What is hidden stays as it is: it is for skin to hide it, not for it to vanish. Nor may eyes and the inside of
        the mouth turn to glass while they show: what is seen through others comes apart once they move.
        """
        behind = self.hidden.behind[self.splats.bindings.rows]
        self.splats.gaussians.logit_opacities.grad.masked_fill_(behind, 0.0)
        shown = rendering.statistics.visible[0] & ~self._disguised(example)
        if self.likely is not None:
            pull_colors(self.splats.gaussians, shown, self.likely)
        self._move(shown, self._gaussian_rates(progress))
        if self.network is not None:
            self.network.update(self.rates, progress)

    def _move(self, rows: torch.Tensor, rates: dict[str, float | torch.Tensor]) -> None:
        """One step of the Gaussians in rows [N]."""
        add_tether(self.splats.gaussians, rows, self._tether())
        self.splats.update(rates, rows)

    def _has_sink(self) -> bool:
        return bool(self._sink.any())

    @property
    def _sink(self) -> torch.Tensor:
        """bool [N]: Gaussians of the sink, bound to the root bone."""
        return self.splats.gaussians.binding == ROOT

    def colored(self) -> Gaussians:
        """The Gaussians with their colours, wherever these come from."""
        gaussians = self.splats.gaussians
        return gaussians if self.network is None else self.network.colored(gaussians)

    def render(self, example: Example, frames: TriangleFrames) -> Rendering:
        """The Gaussians carried by `frames`, over the picture's backdrop."""
        camera = example.camera
        position = torch.from_numpy(camera.position.astype(np.float32))
        carried = carry(self.colored(), self.splats.bindings, frames, self.bind, position)
        opacities = carried.opacities
        if example.head_only:
            opacities = opacities * (~self._sink).float()
        colors = self._shown(carried.colors, example)
        viewmats, Ks = stack_cameras([camera])
        return rasterize(
            carried.means, carried.quats, carried.scales, opacities, colors[None],
            viewmats, Ks, camera.width, camera.height, background=example.backdrop,
        )  # fmt: skip

    def _shown(self, colors: torch.Tensor, example: Example) -> torch.Tensor:
        """colors [N,3] as a picture has them: hidden parts disguised."""
        colors = torch.zeros_like(colors) if example.bare else colors
        return torch.where(self._disguised(example)[:, None], example.disguise, colors)

    def _disguised(self, example: Example) -> torch.Tensor:
        """bool [N]: Gaussians of what is hidden in a picture."""
        return example.hidden[self.splats.bindings.rows]

    def _gaussian_rates(self, progress: float) -> dict[str, float | torch.Tensor]:
        return {
            **self._color_rates(decayed(1.0, self.rates.color_decay, progress)),
            **self._shape_rates(progress),
        }

    def _shape_rates(self, progress: float) -> dict[str, float | torch.Tensor]:
        rates = self.rates
        return {
            "means": rates.means * decayed(1.0, rates.decay, progress),
            "quats": rates.quats,
            "log_scales": rates.log_scales * decayed(1.0, 0.3, progress),
            "logit_opacities": rates.logit_opacities * decayed(1.0, 0.3, progress),
        }

    def _color_rates(self, fading: float) -> dict[str, float | torch.Tensor]:
        if self.network is not None:
            return {"latents": self.rates.latents * fading}
        sh = torch.full_like(self.splats.gaussians.sh[0].detach(), self.rates.sh_rest * fading)
        sh[0] = self.rates.sh * fading
        return {"sh": sh}

    def _tether(self) -> Tether:
        """How far each Gaussian may go, by region; worked out again when Gaussians came or went."""
        if self._tether_of is not None and self._tether_of[0] is self.splats:
            return self._tether_of[1]
        gaussians = self.splats.gaussians
        reach = torch.ones(len(self.head.region_names) + 1)
        for name, distance in REACH.items():
            reach[self.head.region_names.index(name)] = distance
        distance = reach.to(gaussians.means)[gaussians.labels.long()]
        distance[gaussians.binding < 0] = SINK_REACH
        self._tether_of = (self.splats, Tether(distance))
        return self._tether_of[1]

    def _control(self, progress: float) -> None:
        preset = self.preset
        if self.iteration % CENTRE_EVERY == 0:
            self.motion.centre(sorted({frame for _, frame in self.pictures.pairs}))
        if self.iteration % HOLD_EVERY == 0:
            if len(self.pictures.cameras) == 1:  # several see for themselves how large teeth are
                self.inside.hold_sizes(self.splats.gaussians)
            if self.network is None:
                self.inside.hold_colors(self.splats.gaussians)
        due = self.iteration % preset.refine_every == 0 and self.iteration >= 2 * preset.refine_every
        if due and progress < preset.refine_until:
            self.splats = refine(self.splats, Density(preset.gaussians), self.fixed(self.splats.gaussians))

    def fixed(self, gaussians: Gaussians) -> torch.Tensor:
        """bool [N]: Gaussians of eyes, teeth and tongue, whose number does not change."""
        names = self.head.region_names
        labels = torch.tensor([names.index(name) for name in FIXED_SHARE if name in names])
        return torch.isin(gaussians.labels.long(), labels.to(gaussians.labels.device)) & (
            gaussians.binding >= 0
        )


def _backdrop(generator: np.random.Generator) -> np.ndarray | None:
    """Another colour [3] behind the head, or now and then None for the picture's own.

    Over one colour only, Gaussians of that colour would pass for transparent ones.
    """
    return generator.random(3, np.float32) if generator.random() < OTHER_BACKDROPS else None


def picture_loss(rendering: Rendering, example: Example, squares: float = 0.0) -> torch.Tensor:
    """0.8 L1 + 0.2 D-SSIM + squares · L2² over what counts, and L1 of alpha where the matte may be believed."""
    loss = dssim_l1_loss(rendering.image, example.target[None], example.weight[None], squares=squares)
    off = (rendering.alpha[0, ..., 0] - example.alpha).abs() * example.alpha_weight
    return loss + ALPHA_SHARE * off.mean()
