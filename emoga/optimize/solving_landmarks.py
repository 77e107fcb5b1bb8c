"""Evidence from 2D landmarks: robust reprojection, what each view can see, and the detector's habits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.optimize.solving_views import ViewEvidence, camera_slopes

NEIGHBOURHOOD = 0.012  # metres over which the direction a face looks in is averaged
FACING = (0.2, 0.5)  # cosines between which a landmark fades in


@dataclass
class LandmarkTerm:
    """L landmarks seen by C cameras over T frames.

    viewmats [C,4,4], Ks [C,3,3], moved by the state's views; observed [C,T,L,2] pixels; weights [C,T,L] in
    1/pixel², 0 where unseen; residuals beyond `robust` standard deviations lose their say.
    The state's offsets [L,3] (metres, in the head's frame) are where this detector puts each point of this
    person beside the model's.
    """

    points: SurfacePoints
    viewmats: torch.Tensor
    Ks: torch.Tensor
    observed: torch.Tensor
    weights: torch.Tensor
    robust: float = 4.0

    def cost(self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State) -> float:
        """Robust cost (Cauchy) of points [t,L,3]."""
        residual, _ = self._residual(places, turns, frames, state)
        squared = (residual * residual).sum(-1) * self.weights[:, frames]
        return float((0.5 * self.robust**2 * torch.log1p(squared / self.robust**2)).sum())

    def quadratic(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Curvature [t,L,4,4] and gradient [t,L,4] in (x, y, z, log focal), all views summed."""
        weight, residual, slope = self._weighed(places, turns, frames, state)
        curvature = torch.einsum("ctl,ctlip,ctliq->tlpq", weight, slope, slope)
        return curvature, torch.einsum("ctl,ctli,ctlip->tlp", weight, residual, slope)

    def by_views(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> ViewEvidence:
        """What the landmarks say of the state's cameras."""
        weight, residual, slope = self._weighed(places, turns, frames, state)
        moved = places + state.offsets @ turns.transpose(1, 2)
        return ViewEvidence(weight, residual, slope[..., :3], camera_slopes(moved, state.views, self.Ks))

    def _weighed(
        self, places: torch.Tensor, turns: torch.Tensor, frames: slice, state: State
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Robust weights [C,t,L], residuals [C,t,L,2] and their derivatives [C,t,L,2,4]."""
        residual, slope = self._residual(places, turns, frames, state, derivatives=True)
        weight = self.weights[:, frames]
        squared = (residual * residual).sum(-1) * weight
        return weight / (1 + squared / self.robust**2), residual, slope

    def _residual(
        self,
        places: torch.Tensor,
        turns: torch.Tensor,
        frames: slice,
        state: State,
        derivatives: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        moved = places + state.offsets @ turns.transpose(1, 2)
        viewmats, Ks = self.viewmats, self.Ks
        if state.views is not None:
            viewmats, Ks = state.views.viewmats, state.views.focused(Ks)
        pixels, slope = project(moved, viewmats, Ks, float(state.log_focal), derivatives)
        return pixels - self.observed[:, frames], slope


def project(
    points: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    log_focal: float,
    derivatives: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pixels [C,T,N,2] of points [T,N,3], and derivatives [C,T,N,2,4] in (x, y, z, log focal)."""
    turn, shift = viewmats[:, None, :3, :3], viewmats[:, None, None, :3, 3]
    local = points @ turn.transpose(-1, -2) + shift
    depth = local[..., 2].clamp_min(1e-2)
    focal = Ks[:, None, None, [0, 1], [0, 1]] * torch.exp(torch.tensor(log_focal, dtype=points.dtype))
    offset = local[..., :2] / depth[..., None] * focal
    pixels = offset + Ks[:, None, None, :2, 2]
    if not derivatives:
        return pixels, None
    slope = torch.zeros(*pixels.shape, 4, dtype=points.dtype)
    scale = focal / depth[..., None]
    camera = torch.zeros(*pixels.shape, 3, dtype=points.dtype)
    camera[..., 0, 0], camera[..., 1, 1] = scale[..., 0], scale[..., 1]
    camera[..., 2] = -offset / depth[..., None]
    slope[..., :3] = camera @ turn[:, :, None]
    slope[..., 3] = offset
    return pixels, slope


def facing(
    head: Head, points: SurfacePoints, vertices: torch.Tensor, viewmats: torch.Tensor, rims: torch.Tensor
) -> torch.Tensor:
    """Cosine [C,T,N] between each point's outward normal and the way to the camera; vertices [T,V,3].

    rims [N]: points on the rims of lids and lips. Those face anywhere, and what hides them is the turn of the
    face around them: they take the mean direction of their neighbourhood.
    """
    normals = _normals(head, points, vertices)
    template = points.on_mesh(head.template)
    near = torch.exp(-0.5 * (torch.cdist(template[rims], template) / NEIGHBOURHOOD) ** 2)
    normals[:, rims] = near @ normals
    normals = torch.nn.functional.normalize(normals, dim=-1)
    centres = -(viewmats[:, :3, :3].transpose(1, 2) @ viewmats[:, :3, 3:])[..., 0]
    towards = torch.nn.functional.normalize(centres[:, None, None] - points.on_mesh(vertices), dim=-1)
    return (towards * normals).sum(-1)


def _normals(head: Head, points: SurfacePoints, vertices: torch.Tensor) -> torch.Tensor:
    """Normals [T,N,3] at the points, by the triangles around them alone; vertices [T,V,3]."""
    around = torch.isin(head.faces, points.ids).any(1)
    used, faces = torch.unique(head.faces[around], return_inverse=True)
    normals = vertex_normals(vertices[:, used], faces)
    return points.gather(normals[:, torch.searchsorted(used, points.ids)])


def seen_weight(cosine: torch.Tensor) -> torch.Tensor:
    """Weights in 0..1 that fade landmarks out as they turn away: the hidden half is the detector's guess."""
    share = ((cosine - FACING[0]) / (FACING[1] - FACING[0])).clamp(0, 1)
    return share * share * (3 - 2 * share)
