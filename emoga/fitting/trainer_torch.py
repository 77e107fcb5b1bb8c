"""The fit's loop on a GPU: the same steps in torch operations, which leave the host free to run ahead.

The posed frames come out of a CUDA graph where one can be recorded. Gaussians, optimiser, statistics and
pictures stay on the device; within a step only gsplat waits for it, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch

from emoga.avatar.frames import TriangleFrames
from emoga.avatar.frames_torch import FrameMaker
from emoga.avatar.posing import MOTION
from emoga.camera import stack_cameras
from emoga.fitting.pictures import Example
from emoga.fitting.pictures_torch import DevicePictures
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.trainer import Trainer
from emoga.head import HeadParams
from emoga.optimize.carry_torch import carry_frames
from emoga.optimize.graphs import Captured
from emoga.optimize.splats import Splats
from emoga.render import Rendering, rasterize


@dataclass
class DeviceTrainer(Trainer):
    """A Trainer whose tensors all lie on one device; made by `trainer_on`."""

    maker: FrameMaker | None = None
    _posers: dict[bool, Captured] = field(default_factory=dict)
    _cameras: dict[tuple[int, int], tuple[torch.Tensor, ...]] = field(default_factory=dict)
    _sink_of: tuple[Splats, bool] | None = None

    def pose(self, params: HeadParams) -> TriangleFrames:
        """Frames [1,F] of the one frame of `params`."""
        motion = [getattr(params, name) for name in MOTION]
        learning = motion[0].requires_grad
        if learning not in self._posers:
            self._posers[learning] = Captured(self._posed, learning)
        with torch.set_grad_enabled(learning):
            return TriangleFrames(*self._posers[learning](*motion))

    def _posed(self, *motion: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames = self.maker.frames(self.identity.pose(*motion), self.identity.bones(*motion))
        return frames.origin, frames.rotation, frames.size, frames.fade

    def render(self, example: Example, frames: TriangleFrames) -> Rendering:
        """The Gaussians carried by `frames` [1,F], over the picture's backdrop."""
        camera = example.camera
        viewmats, Ks, position = self._camera(example)
        rows = self.splats.bindings.rows
        carried = carry_frames(self.splats.gaussians, rows, frames, self.bind, position)
        opacities = carried.opacities[0]
        if example.head_only:
            opacities = opacities * ~self._sink
        return rasterize(
            carried.means[0], carried.quats[0], carried.scales[0], opacities, carried.colors[0],
            viewmats, Ks, camera.width, camera.height, background=example.backdrop,
        )  # fmt: skip

    def _camera(self, example: Example) -> tuple[torch.Tensor, ...]:
        """viewmats [1,4,4], Ks [1,3,3] and position [1,1,3] of the example's camera, copied there once."""
        key = (example.view, example.camera.width)
        if key not in self._cameras:
            device = example.target.device
            position = torch.as_tensor(example.camera.position, dtype=torch.float32, device=device)
            self._cameras[key] = (*stack_cameras([example.camera], device), position[None, None])
        return self._cameras[key]

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
        "bind": TriangleFrames(
            *(getattr(trainer.bind, item.name).to(device) for item in fields(TriangleFrames))
        ),
        "splats": Splats.start(trainer.splats.gaussians.detach().to(device), trainer.splats.triangles),
        "motion": MotionRefinement(params.to(device), trainer.motion.rates),
        "pictures": DevicePictures(trainer.pictures, device),
        "_tether_of": None,
    }
    return DeviceTrainer(**given, maker=FrameMaker.of(trainer.rig, device))
