"""The fit's loop on a GPU: the same steps in torch operations, which leave the host free to run ahead.

Gaussians, optimiser, statistics and pictures stay on the device; within a step only gsplat waits for it, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch

from emoga.avatar.frames import TriangleFrames
from emoga.avatar.frames_torch import FrameMaker
from emoga.avatar.posing import MOTION
from emoga.camera import stack_cameras
from emoga.fitting.pictures_torch import DevicePictures
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.trainer import Trainer, picture_loss
from emoga.head import HeadParams
from emoga.optimize.carry_torch import carry_frames
from emoga.optimize.graphs import Captured, Function
from emoga.optimize.splats import PARAMETERS, Splats
from emoga.optimize.training_pictures import Example
from emoga.render import Rendering, rasterize

KNOWN = ("target", "weight", "alpha", "alpha_weight")  # of an Example, what the loss compares with
SHOWN = (*KNOWN, "backdrop", "hidden", "disguise")


@dataclass
class DeviceTrainer(Trainer):
    """A Trainer whose tensors all lie on one device; made by `trainer_on`.

    Three parts of a step have fixed shapes and become CUDA graphs: posing, carrying (anew when Gaussians came or
    went) and the loss (one for each size of picture). Without them a step would be two thousand launches.
    """

    maker: FrameMaker | None = None
    _graphs: dict[tuple, Captured] = field(default_factory=dict)
    _carriers: dict[bool, Captured] = field(default_factory=dict)
    _carriers_of: Splats | None = None
    _cameras: dict[tuple[int, int], tuple[torch.Tensor, ...]] = field(default_factory=dict)
    _sink_of: tuple[Splats, bool] | None = None

    @property
    def refusals(self) -> set[str]:
        """Why some parts could not be recorded as graphs; empty when all were, and on the CPU."""
        return {graph.refusal for graph in (*self._graphs.values(), *self._carriers.values())} - {""}

    def pose(self, params: HeadParams) -> TriangleFrames:
        """Frames [1,F] of the one frame of `params`."""
        motion = [getattr(params, name) for name in MOTION]
        learning = motion[0].requires_grad
        with torch.set_grad_enabled(learning):
            return TriangleFrames(*self._graph(("pose", learning), self._posed, learning)(*motion))

    def _posed(self, *motion: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.maker.frames(self.identity.pose(*motion), self.identity.bones(*motion)).parts()

    def render(self, example: Example, frames: TriangleFrames) -> Rendering:
        """The Gaussians carried by `frames` [1,F], over the picture's backdrop."""
        camera = example.camera
        viewmats, Ks, position = self._camera(example)
        colored = self.colored()
        leaves = (getattr(colored, name) for name in PARAMETERS)
        means, quats, scales, opacities, colors = self._carrier(frames)(position, *leaves, *frames.parts())
        colors = self._shown(colors, example)
        if example.head_only:
            opacities = opacities * ~self._sink
        return rasterize(
            means, quats, scales, opacities, colors, viewmats, Ks, camera.width, camera.height,
            background=example.backdrop,
        )  # fmt: skip

    def _carrier(self, frames: TriangleFrames) -> Captured:
        if self._carriers_of is not self.splats:
            self._carriers_of, self._carriers = self.splats, {}
        learning = frames.origin.requires_grad
        return self._carriers.setdefault(learning, Captured(self._carried, learning=True))

    def _carried(self, position: torch.Tensor, *parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Means, quats, scales, opacities and colours [N,...] for one camera position [1,1,3]."""
        count = len(PARAMETERS)
        gaussians = replace(self.splats.gaussians, **dict(zip(PARAMETERS, parts[:count], strict=True)))
        frames = TriangleFrames(*parts[count:])
        carried = carry_frames(gaussians, self.splats.bindings.rows, frames, self.bind, position)
        flat = (carried.means, carried.quats, carried.scales, carried.opacities, carried.colors[0])
        return tuple(part[0] for part in flat)

    def loss(self, rendering: Rendering, example: Example) -> torch.Tensor:
        """See `picture_loss`."""
        statistics = rendering.statistics

        def measured(image: torch.Tensor, alpha: torch.Tensor, *known: torch.Tensor) -> tuple[torch.Tensor]:
            given = dict(zip(KNOWN, known, strict=True))
            rendered = Rendering(image, alpha, None, statistics)
            return (picture_loss(rendered, replace(example, **given), self.preset.squares),)

        graph = self._graph(("loss", *example.alpha.shape), measured, learning=True)
        known = (getattr(example, name) for name in KNOWN)
        # A copy: the trainer keeps losses, and the graph's own is overwritten by the next.
        return graph(rendering.image, rendering.alpha, *known)[0].clone()

    def _graph(self, key: tuple, function: Function, learning: bool) -> Captured:
        if key not in self._graphs:
            self._graphs[key] = Captured(function, learning)
        return self._graphs[key]

    def _camera(self, example: Example) -> tuple[torch.Tensor, ...]:
        """viewmats [1,4,4], Ks [1,3,3] and position [1,1,3] of the example's camera, copied there once."""
        key = (example.view, example.camera.width)
        if key not in self._cameras:
            device = example.target.device
            position = torch.as_tensor(example.camera.position, dtype=torch.float32, device=device)
            self._cameras[key] = (*stack_cameras([example.camera], device), position[None, None])
        return self._cameras[key]

    def sent(self, example: Example, params: HeadParams) -> tuple[Example, HeadParams]:
        """See `Trainer.sent`."""
        device = self.pictures.device
        example = replace(example, **{name: getattr(example, name).to(device) for name in SHOWN})
        return example, params.to(device)

    def _has_sink(self) -> bool:
        if self._sink_of is None or self._sink_of[0] is not self.splats:
            self._sink_of = (self.splats, super()._has_sink())
        return self._sink_of[1]


def trainer_on(device: torch.device | str, trainer: Trainer) -> DeviceTrainer:
    """A freshly prepared trainer's continuation on `device`."""
    device = torch.device(device)
    given = {item.name: getattr(trainer, item.name) for item in fields(Trainer) if item.init}
    params, offset = trainer.motion.base, trainer.motion.base.static_offset
    identity = trainer.head.to(device).identify(
        params.shape.to(device), None if offset is None else offset.to(device)
    )
    given |= {
        "identity": identity,
        "bind": trainer.bind.map(lambda part: part.to(device)),
        "splats": Splats.start(
            trainer.splats.gaussians.detach().to(device),
            trainer.splats.triangles,
            tuple(trainer.splats.states),
        ),
        "network": None if trainer.network is None else trainer.network.to(device),
        "motion": MotionRefinement(params.to(device), trainer.motion.rates, trainer.motion.limits),
        "pictures": DevicePictures(trainer.pictures, device),
        "likely": None if trainer.likely is None else trainer.likely.to(device),
        "hidden": replace(trainer.hidden, device=device, _hidden={}),
        "inside": replace(trainer.inside, largest=trainer.inside.largest.to(device)),
        "_tether_of": None,
    }
    return DeviceTrainer(**given, maker=FrameMaker.of(trainer.rig, device))
