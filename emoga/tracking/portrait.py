"""A portrait: Gaussians on the tracked head, learnt from training frames, that say how it looks in any pose.

Unlike a texture they hold hair, lashes and outlines, which lie off the mesh, where they are in space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from emoga.avatar.frames import TriangleFrames
from emoga.avatar.light import Light
from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig, rig_of
from emoga.camera import Camera, stack_cameras
from emoga.capture import Track
from emoga.head import Head, HeadParams, Identity
from emoga.kernels import torch_on_one_thread
from emoga.optimize.carry import carry
from emoga.optimize.coloring import color_as_seen
from emoga.optimize.first_gaussians import start_gaussians
from emoga.optimize.regularise import Tether, add_tether
from emoga.optimize.scoring import evenly
from emoga.optimize.splats import Splats
from emoga.optimize.ssim import dssim_l1_loss
from emoga.optimize.standing_light import find_light
from emoga.optimize.training_pictures import Example, TrainingPictures
from emoga.progress import Reporter, Stage, Step
from emoga.render import Rendering, rasterize

GAUSSIANS = 18_000
SIGHTINGS = 12  # pictures that give the first colours
COARSE = 0.5  # share of the steps at half resolution
RATES = {"means": 0.01, "quats": 0.002, "log_scales": 0.012, "logit_opacities": 0.05, "sh": 0.012}
FINAL_SHARE = 0.1  # of the rates, at the last step
HAIR_REACH, REACH = 2.5, 1.0  # local units a Gaussian may stray from its triangle


@dataclass
class Portrait:
    """Gaussians with the person and the rig they hang on, over the backdrop [3] of the only camera.

    light: what shone on them while they were learnt, and still does when the head turns.
    """

    identity: Identity
    rig: Rig
    bind: TriangleFrames
    splats: Splats
    backdrop: np.ndarray
    light: Light

    def draw(
        self, params: HeadParams, frame: int, camera: Camera, backdrop: np.ndarray | None = None
    ) -> Rendering:
        """Frame `frame` of params seen by the camera; gradients reach the Gaussians."""
        return self.seen(self.posed(params, frame), camera, backdrop)

    def posed(self, params: HeadParams, frame: int) -> TriangleFrames:
        """What the Gaussians hang on in frame `frame` of params."""
        return pose_frames(self.identity, self.rig, params, frame)[1]

    def seen(self, frames: TriangleFrames, camera: Camera, backdrop: np.ndarray | None = None) -> Rendering:
        """What `draw` draws, of a head that is posed already."""
        position = torch.from_numpy(camera.position.astype(np.float32))
        splats = self.splats
        carried = carry(splats.gaussians, splats.bindings, frames, self.bind, position)
        viewmats, Ks = stack_cameras([camera])
        ground = torch.as_tensor(self.backdrop if backdrop is None else backdrop)
        return rasterize(
            carried.means, carried.quats, carried.scales, carried.opacities, carried.colors[None],
            viewmats, Ks, camera.width, camera.height, background=ground,
        )  # fmt: skip

    @torch.no_grad()
    def picture(self, params: HeadParams, frame: int, camera: Camera) -> np.ndarray:
        """float32 [H,W,3] in 0..1."""
        return self.draw(params, frame, camera).image[0].numpy()

    @torch.enable_grad()
    def improve(self, params: HeadParams, example: Example, tether: Tether, share: float) -> float:
        """One step towards a picture at `share` of the full rates; the loss before it."""
        rendering = self.draw(params, example.frame, example.camera, example.backdrop)
        loss = dssim_l1_loss(rendering.image, example.target[None], example.weight[None])
        loss.backward()
        visible = rendering.statistics.visible[0]
        add_tether(self.splats.gaussians, visible, tether)
        self.splats.update({name: rate * share for name, rate in RATES.items()}, visible)
        return float(loss.detach())


@torch_on_one_thread()
def learn_portrait(track: Track, head: Head, steps: int, report: Reporter) -> Portrait:
    """Learn from training frames of the only training view of a track with masks, `steps` of one picture each."""
    (view,) = track.held_out.training_views(len(track.cameras))
    frames = track.held_out.training_frames(track.frame_count)
    pictures = TrainingPictures(track, [view], frames, report)
    head, params = head.to(dtype=torch.float32), track.params
    portrait = _start(track, head, params, pictures)
    tether = Tether(_reach(portrait, head))
    generator = np.random.default_rng(0)
    report(Stage("learn the head's looks", steps))
    order: list[int] = []
    for step in range(steps):
        if not order:
            order = list(generator.permutation(len(pictures.pairs)))
        _, frame = pictures.pairs[order.pop()]
        progress = step / steps
        # Over one colour only, Gaussians of that colour would pass for transparent ones.
        backdrop = generator.random(3, np.float32)
        example = pictures.example(view, frame, progress < COARSE, head_only=True, backdrop=backdrop)
        loss = portrait.improve(params, example, tether, math.exp(math.log(FINAL_SHARE) * progress))
        report(Step(step + 1, {"loss": loss}))
    return portrait


def _start(track: Track, head: Head, params: HeadParams, pictures: TrainingPictures) -> Portrait:
    """Gaussians as they are before the first step, coloured from a few pictures."""
    identity, rig = head.identify(params.shape, params.static_offset), rig_of(head, "smooth")
    gaussians = start_gaussians(head, identity.rest, rig, GAUSSIANS, 0, np.random.default_rng(0))
    color_as_seen(gaussians, head, identity, rig, params, pictures, evenly(pictures.pairs, SIGHTINGS))
    rest = HeadParams.zeros(head, 1)
    bind = pose_frames(identity, rig, rest, 0)[1].detach()
    splats = Splats.start(gaussians, len(head.faces))
    light = find_light(head, identity, params, pictures)
    return Portrait(identity, rig, bind, splats, pictures.backdrops[pictures.pairs[0][0]], light)


def _reach(portrait: Portrait, head: Head) -> torch.Tensor:
    """How far [N] each Gaussian may stray: hair stands off the skin."""
    labels = portrait.splats.gaussians.labels.long()
    return torch.where(labels == head.region_names.index("scalp"), HAIR_REACH, REACH)
