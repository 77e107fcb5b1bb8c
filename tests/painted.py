"""A tiny capture of the open head painted with a pattern, and its true track."""

from pathlib import Path

import numpy as np
import torch

from emoga.avatar.light import Light
from emoga.avatar.rig import Rig, rig_of
from emoga.camera import look_at, stack_cameras
from emoga.capture import HeldOut, Track
from emoga.geometry import vertex_normals
from emoga.head import Head, HeadParams, Identity, load_head
from emoga.images import write_png
from emoga.render import interpolate, rasterize_mesh

SIZE = 96
FRAMES = 5
BACKDROP = torch.tensor([0.8, 0.85, 0.9])


def painted(head) -> torch.Tensor:
    """Vertex colours [V,3] with enough pattern to see whether things are in place."""
    colors = 0.55 + 0.2 * torch.sin(head.template * torch.tensor([130.0, 170.0, 150.0]))
    colors[head.regions["scalp"]] = torch.tensor([0.2, 0.15, 0.1])
    colors[head.regions["shoulders"]] = torch.tensor([0.3, 0.3, 0.7])
    return colors


def no_light(normals: torch.Tensor) -> torch.Tensor:
    """Brightness [V,1] where light comes evenly from everywhere."""
    return torch.ones(len(normals), 1)


def from_the_left(normals: torch.Tensor) -> torch.Tensor:
    """Brightness [V,1] where light comes from one side, and a little from above."""
    return 0.75 + 0.3 * normals[:, :1] + 0.12 * normals[:, 1:2]


def rig_in(light: Light, head: Head, identity: Identity) -> Rig:
    """The rig of a person who was filmed in this light."""
    rig = rig_of(head)
    bind = identity.pose(head.bind_expr()[None], jaw=head.bind_jaw()[None])[0]
    return rig.lit(light, rig.frames(bind))


def make_track(folder: Path, views: int = 2, size: int = SIZE, count: int = FRAMES, light=no_light) -> Track:
    """`count` frames of a painted head that turns and opens its mouth, with its true track.

    light: brightness [V,1] of normals [V,3] in the world.
    """
    head = load_head()
    params = HeadParams.zeros(head, count)
    params.neck[:, 1] = torch.linspace(-0.2, 0.2, count)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.6, count)
    angles = np.linspace(-0.5, 0.5, views) if views > 1 else [0.0]
    cameras = [
        look_at([0.8 * np.sin(a), 0, 0.8 * np.cos(a)], [0, -0.03, -0.04], 0.45, size, size, name=f"c{i}")
        for i, a in enumerate(angles)
    ]
    viewmats, Ks = stack_cameras(cameras)
    masks, head_masks = np.zeros((2, views, count, size, size), np.uint8)
    clothing = torch.tensor([head.region_names.index(name) for name in ("shoulders", "boundary")])
    for frame, vertices in enumerate(head.vertices(params)):
        fragments = rasterize_mesh(vertices, head.faces, viewmats, Ks, size, size)
        covered = fragments.covered[..., None]
        lit = painted(head) * light(vertex_normals(vertices, head.faces))
        images = torch.where(covered, interpolate(fragments, lit), BACKDROP)
        below = torch.isin(head.face_regions[fragments.face_index.clamp_min(0)].long(), clothing)
        masks[:, frame] = 255 * fragments.covered.numpy()
        head_masks[:, frame] = 255 * (fragments.covered & ~below).numpy()
        for view in range(views):
            write_png(folder / f"c{view}" / f"{frame:06d}.png", images[view].numpy())
    media = [folder / f"c{view}" for view in range(views)]
    held_out = HeldOut((), (count - 1,))
    return Track(
        head.name, head.version, head.checksum, params, cameras, media, np.arange(count), 25.0, masks,
        head_masks, held_out=held_out,
    )  # fmt: skip


def light_that_counts(trainer, example, params) -> float:
    """How much red a trainer's head shows where an example counts, in pixels at full."""
    with torch.no_grad():
        image = trainer.render(example, trainer.pose(params)).image[0, ..., 0]
    return float((image * example.weight).sum())
