"""What the back ends take, and what a render returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SplatScene:
    """Arguments of `rasterize`, checked and filled in: colors [C,N,3] and background [C,3] for every camera.

    A back end that draws many frames at once takes the same with leading dimensions.
    """

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    colors: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    width: int
    height: int
    background: torch.Tensor
    near: float = 0.01
    with_depth: bool = False


@dataclass
class Statistics:
    """What density control needs to know about each Gaussian, per camera.

    radii [C,N] float32: pixels from the centre to the farthest side of the box around the part with
    alpha >= 1/255; 0 where nothing of it can be seen. visible [C,N] bool: radii > 0. means2d_grad [C,N]
    float32: norm of dL/d(centre in pixels); None until backward has run, and set anew by every backward.
    """

    radii: torch.Tensor
    means2d_grad: torch.Tensor | None = None

    @property
    def visible(self) -> torch.Tensor:
        return self.radii > 0

    def keep_pixel_gradient(self, camera: int, grad: torch.Tensor) -> None:
        """Backward hook: remember the norms of one camera's gradient [N,2]."""
        if self.means2d_grad is None:
            self.means2d_grad = torch.zeros_like(self.radii)
        self.means2d_grad[camera] = grad.detach().norm(dim=-1)

    def keep_pixel_gradients(self, grad: torch.Tensor) -> None:
        """Backward hook: remember the norms of all cameras' gradients [C,N,2]."""
        self.means2d_grad = grad.detach().norm(dim=-1)


@dataclass
class Rendering:
    """image [C,H,W,3] over the background, alpha [C,H,W,1], depth [C,H,W,1] or None when not asked for.

    Depth is accumulated, sum of blending weight times distance along the camera axis: divide by alpha for
    the expected depth.
    """

    image: torch.Tensor
    alpha: torch.Tensor
    depth: torch.Tensor | None
    statistics: Statistics
