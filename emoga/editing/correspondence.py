"""What guidance must know of an avatar in one pose to tell which token shows what: the depth of its own render."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.guidance.correspondence import ViewScene
from emoga.optimize.carry import Carried
from emoga.optimize.picture import AvatarRenderer, Pose
from emoga.render import Rendering, rasterize

# Alpha from which a pixel shows the subject.
SOLID = 0.5
# Depth is drawn as if each Gaussian were so many of itself: fitted surfaces are layers of translucent ones, whose
# mean lies millimetres below the skin.
FIRMNESS = 4


@torch.no_grad()
def rendered_scene(
    renderer: AvatarRenderer, pose: Pose, cameras: Sequence[Camera], mixture: torch.Tensor | None = None
) -> tuple[np.ndarray, ViewScene]:
    """Pictures [V,S,S,3] over white and the scene of a pose, seen by square cameras of one size."""
    splats = renderer.carry(pose, np.stack([camera.position for camera in cameras]), mixture)
    pictures = _drawn(renderer, splats, splats.opacities, cameras, with_depth=False).image.cpu().numpy()
    firm = _drawn(renderer, splats, 1 - (1 - splats.opacities) ** FIRMNESS, cameras, with_depth=True)
    alpha = firm.alpha[..., 0].cpu().numpy()
    # Accumulated by blending weight: over alpha it is the mean depth of what a pixel shows.
    depth = firm.depth[..., 0].cpu().numpy() / np.maximum(alpha, 1e-6)
    return pictures, ViewScene(np.where(alpha > SOLID, depth, 0.0), list(cameras))


def _drawn(
    renderer: AvatarRenderer,
    splats: Carried,
    opacities: torch.Tensor,
    cameras: Sequence[Camera],
    with_depth: bool,
) -> Rendering:
    viewmats, Ks = stack_cameras(cameras, renderer.device)
    return rasterize(
        splats.means, splats.quats, splats.scales, opacities, splats.colors, viewmats, Ks, cameras[0].width,
        cameras[0].height, background=torch.ones(3, device=renderer.device), with_depth=with_depth,
        backend=renderer.backend,
    )  # fmt: skip
