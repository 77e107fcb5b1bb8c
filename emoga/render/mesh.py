"""Mesh rendering: nearest face per pixel with gradients through barycentrics, depth and soft outlines."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from emoga.errors import InputError, MissingComponent
from emoga.render.outline import nearest_crossing
from emoga.triangles import rasterize_faces


@dataclass
class MeshFragments:
    """What each pixel centre sees.

    face_index [C,H,W] int64, -1 where there is no face; bary [C,H,W,3] perspective-correct weights of the
    face's corners and depth [C,H,W] along the camera axis, both 0 where there is no face; faces [F,3].
    """

    face_index: torch.Tensor
    bary: torch.Tensor
    depth: torch.Tensor
    faces: torch.Tensor

    @property
    def covered(self) -> torch.Tensor:
        """[C,H,W] bool: pixels that see a face."""
        return self.face_index >= 0


def rasterize_mesh(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    near: float = 0.01,
    cull_backfaces: bool = False,
    backend: Literal["auto", "cpu", "pytorch3d"] = "auto",
) -> MeshFragments:
    """Find the nearest face under every pixel centre of every camera.

    vertices [V,3] or [C,V,3] metres, faces [F,3] (counter-clockwise seen from outside), viewmats [C,4,4],
    Ks [C,3,3] pixels. Faces with a corner nearer than `near` metres are left out; `cull_backfaces` leaves
    out those seen from inside. Barycentrics and depth carry gradients to vertices, viewmats and Ks;
    coverage does not (see `soft_silhouette`). `auto` takes `pytorch3d` for CUDA tensors where it is
    installed, else `cpu`, which brings tensors of other devices to the host and its results back.

    Raises InputError when shapes disagree, MissingComponent when pytorch3d is asked for and absent.
    """
    if faces.ndim != 2 or faces.shape[-1] != 3 or vertices.shape[-1] != 3 or vertices.ndim not in (2, 3):
        raise InputError(
            f"rasterize_mesh: vertices {tuple(vertices.shape)} and faces {tuple(faces.shape)} must end in 3"
        )
    cameras = viewmats.shape[0]
    if vertices.ndim == 3 and vertices.shape[0] != cameras:
        raise InputError(f"rasterize_mesh: {vertices.shape[0]} sets of vertices for {cameras} cameras")
    points = to_camera(vertices, viewmats)
    faces = faces.long()
    if backend == "auto":
        there = vertices.is_cuda and importlib.util.find_spec("pytorch3d") is not None
        backend = "pytorch3d" if there else "cpu"
    if backend == "pytorch3d":
        face_index = _rasterize_pytorch3d(points, faces, Ks, width, height, near, cull_backfaces)
    elif backend == "cpu":
        frame = (width, height, near, cull_backfaces)
        face_index, bary, depth = _rasterize_cpu(points, faces, Ks, *frame)
        if not (points.requires_grad or Ks.requires_grad):
            return MeshFragments(face_index, bary.to(vertices.dtype), depth.to(vertices.dtype), faces)
    else:
        raise InputError(f"rasterize_mesh: unknown backend {backend!r}; use auto, cpu or pytorch3d")
    return MeshFragments(face_index, *_barycentrics(face_index, points, faces, Ks), faces)


def to_camera(vertices: torch.Tensor, viewmats: torch.Tensor) -> torch.Tensor:
    """World vertices [V,3] or [C,V,3] in the axes of each camera, [C,V,3]."""
    return vertices @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]


def to_pixels(points: torch.Tensor, Ks: torch.Tensor) -> torch.Tensor:
    """Camera-space points [C,...,3] in pixels [C,...,2]."""
    shape = (-1,) + (1,) * (points.ndim - 2)
    x = points[..., 0] / points[..., 2] * Ks[:, 0, 0].reshape(shape) + Ks[:, 0, 2].reshape(shape)
    y = points[..., 1] / points[..., 2] * Ks[:, 1, 1].reshape(shape) + Ks[:, 1, 2].reshape(shape)
    return torch.stack([x, y], -1)


def _rasterize_cpu(points, faces, Ks, width, height, near, cull_backfaces):
    device = points.device
    faces = np.ascontiguousarray(faces.cpu().numpy(), np.int32)
    points, Ks = (part.detach().double().cpu().numpy() for part in (points, Ks))
    results = [
        rasterize_faces(p, faces, K, width, height, near, cull_backfaces)
        for p, K in zip(points, Ks, strict=True)
    ]
    arrays = (torch.from_numpy(np.stack(parts)).to(device) for parts in zip(*results, strict=True))
    face_index, bary, depth = arrays
    return face_index.long(), bary, depth


def pytorch3d_camera(Ks: torch.Tensor, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal lengths and principal points [C,2] of Ks [C,3,3] in pytorch3d's units.

    Its x points left and its y up, 0 is the middle of the picture and the shorter side goes from -1 to 1. Its
    cameras in pixels changed their meaning between versions; this one has not.
    """
    half = min(width, height) / 2
    middle = Ks.new_tensor([width / 2, height / 2])
    return torch.stack([Ks[:, 0, 0], Ks[:, 1, 1]], -1) / half, (middle - Ks[:, :2, 2]) / half


def _rasterize_pytorch3d(points, faces, Ks, width, height, near, cull_backfaces):
    """face_index [C,H,W] from pytorch3d, in float32: its kernels know no other type."""
    try:
        from pytorch3d.renderer import MeshRasterizer, PerspectiveCameras, RasterizationSettings
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise MissingComponent(
            "pytorch3d is not installed; install it, or rasterize the mesh with backend 'cpu'"
        ) from error
    points, Ks = points.detach().float(), Ks.detach().float()
    flip = points.new_tensor([-1.0, -1.0, 1.0])
    # A face too near is made a point: pytorch3d would clip it where ours leaves it out.
    keep = (points[:, faces, 2] > near).all(-1)
    face_lists = [torch.where(k[:, None], faces, faces[:, :1]) for k in keep]
    focal, principal = pytorch3d_camera(Ks, width, height)
    camera = PerspectiveCameras(focal_length=focal, principal_point=principal, device=points.device)
    settings = RasterizationSettings(
        image_size=(height, width), blur_radius=0.0, faces_per_pixel=1, cull_backfaces=cull_backfaces
    )
    meshes = Meshes(list(points * flip), face_lists)
    packed = MeshRasterizer(camera, settings)(meshes).pix_to_face[..., 0]
    offset = torch.arange(len(Ks), device=points.device)[:, None, None] * faces.shape[0]
    return torch.where(packed >= 0, packed - offset, -1)


def _barycentrics(face_index, points, faces, Ks):
    """bary [C,H,W,3] and depth [C,H,W] as differentiable functions of camera-space points and Ks.

    In float64: the cross products of small far-off faces lose most of a float32.
    """
    camera, line, column = torch.nonzero(face_index >= 0, as_tuple=True)
    a, b, c = points[camera[:, None], faces[face_index[camera, line, column]]].double().unbind(1)
    K = Ks[camera].double()
    x = (column + 0.5 - K[:, 0, 2]) / K[:, 0, 0]
    y = (line + 0.5 - K[:, 1, 2]) / K[:, 1, 1]
    ray = torch.stack([x, y, torch.ones_like(x)], -1)
    normals = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 1)
    weights = (normals * ray[:, None]).sum(-1)
    total = weights.sum(-1)
    volume = (a * normals[:, 0]).sum(-1)
    shape = face_index.shape
    bary = points.new_zeros(*shape, 3).index_put(
        (camera, line, column), (weights / total[:, None]).to(points.dtype)
    )
    depth = points.new_zeros(shape).index_put((camera, line, column), (volume / total).to(points.dtype))
    return bary, depth


def interpolate(
    fragments: MeshFragments, attributes: torch.Tensor, faces: torch.Tensor | None = None
) -> torch.Tensor:
    """Attributes of vertices [V,D] or [C,V,D] at every pixel, [C,H,W,D]; 0 where there is no face.

    Other `faces` [F,3] may index the attributes, as texture coordinates need. Gradients flow to the
    attributes and, through the barycentrics, to the vertices of `rasterize_mesh`.
    """
    faces = fragments.faces if faces is None else faces
    camera, line, column = torch.nonzero(fragments.covered, as_tuple=True)
    corners = faces[fragments.face_index[camera, line, column]]
    values = attributes[corners] if attributes.ndim == 2 else attributes[camera[:, None], corners]
    weights = fragments.bary[camera, line, column].to(attributes.dtype)
    mixed = (values * weights[..., None]).sum(1)
    result = attributes.new_zeros(*fragments.face_index.shape, attributes.shape[-1])
    return result.index_put((camera, line, column), mixed)


def soft_silhouette(
    fragments: MeshFragments,
    vertices: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    softness: float = 1.5,
) -> torch.Tensor:
    """Coverage [C,H,W] that fades over the outline, with gradients to vertices, viewmats and Ks.

    Between every covered pixel and its empty neighbours lies a point where the outline passes: where the
    line between their centres leaves the covered pixel's face. Coverage is sigmoid(distance / softness) of
    the distance in pixels, positive inside, to the nearest such point along the outline's normal; beyond
    four times `softness` it is 0 or 1. The picture's border is not an outline.
    """
    covered = fragments.covered
    coverage = covered.to(vertices.dtype)
    camera, crossings, line, column = _outline_crossings(fragments, to_camera(vertices, viewmats), Ks)
    normals = _outward_normals(covered)[camera, line, column].to(vertices.dtype)
    layers = []
    for c in range(covered.shape[0]):
        chosen = camera == c
        points = crossings[chosen]
        nearest = np.empty(covered.shape[1:], np.int32)
        nearest_crossing(points.detach().double().cpu().numpy(), 4.0 * softness, nearest)
        index = torch.from_numpy(nearest).long().to(vertices.device)
        y, x = torch.nonzero(index >= 0, as_tuple=True)
        k = index[y, x]
        pixel = torch.stack([x, y], -1) + 0.5
        inward = ((points[k] - pixel) * normals[chosen][k]).sum(-1)
        layers.append(coverage[c].index_put((y, x), torch.sigmoid(inward / softness)))
    return torch.stack(layers)


_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def _outline_crossings(fragments, points, Ks):
    """Where the outline passes between neighbours: camera [P], crossings [P,2] px, line and column [P]."""
    covered = fragments.covered
    _, height, width = covered.shape
    camera, line, column, steps = [], [], [], []
    for dy, dx in _NEIGHBOURS:
        empty = torch.zeros_like(covered)
        inside = (
            slice(None),
            slice(max(0, -dy), height - max(0, dy)),
            slice(max(0, -dx), width - max(0, dx)),
        )
        beside = (slice(None), slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
        empty[inside] = covered[inside] & ~covered[beside]
        found = torch.nonzero(empty)
        camera.append(found[:, 0])
        line.append(found[:, 1])
        column.append(found[:, 2])
        steps.append(points.new_tensor([dx, dy]).expand(len(found), 2))
    camera, line, column, step = (torch.cat(parts) for parts in (camera, line, column, steps))
    pixel = torch.stack([column, line], -1) + 0.5
    corners = points[camera[:, None], fragments.faces[fragments.face_index[camera, line, column]]]
    corners = to_pixels(corners, Ks[camera])
    edge = corners.roll(-1, 1) - corners
    offset = pixel[:, None] - corners
    here = edge[..., 0] * offset[..., 1] - edge[..., 1] * offset[..., 0]
    slope = edge[..., 0] * step[:, None, 1] - edge[..., 1] * step[:, None, 0]
    # `here` has one sign inside the face; the ray leaves through the edge whose value first turns.
    sign = here.detach().sum(-1, keepdim=True).sign()
    leaving = (slope * sign) < 0
    distance = torch.where(leaving, -here / torch.where(leaving, slope, 1), torch.inf)
    crossing = distance.min(-1).values.clamp(0, 1)
    return camera, pixel + crossing[:, None] * step, line, column


def _outward_normals(covered: torch.Tensor) -> torch.Tensor:
    """[C,H,W,2] unit vectors (x, y) out of the covered area, from a blurred mask."""
    mask = covered.float()[:, None]
    blurred = torch.nn.functional.avg_pool2d(mask, 5, 1, 2, count_include_pad=False)
    blurred = torch.nn.functional.avg_pool2d(blurred, 3, 1, 1, count_include_pad=False)[:, 0]
    padded = torch.nn.functional.pad(blurred[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    gradient = torch.stack(
        [padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:], padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]], -1
    )
    return torch.nn.functional.normalize(gradient, dim=-1)
