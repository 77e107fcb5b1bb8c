"""The texture of a tracked head: its pictures laid out in UV, averaged over what was seen best."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.solving_landmarks import project
from emoga.render import rasterize_mesh

SIZE = 256
PICTURES = 8  # frames that are averaged
SHARPNESS = 4  # power of the cosine: pictures that see a place head on say most about it


def unwrap(track: Track, head: Head, vertices: torch.Tensor) -> np.ndarray:
    """Texture float32 [SIZE,SIZE,3] sRGB from training views and frames; unseen texels are the mean colour.

    vertices [T,V,3] of the tracked frames. Row 0 is v = 1.
    """
    index, bary = _texels(head)
    corners = head.faces[index]
    total = torch.zeros(len(index), 3, dtype=torch.float64)
    weight = torch.zeros(len(index), 1, dtype=torch.float64)
    frames = track.held_out.training_frames(track.frame_count)
    chosen = sorted({frames[round(i)] for i in np.linspace(0, len(frames) - 1, PICTURES)})
    for view in track.held_out.training_views(len(track.cameras)):
        for frame in chosen:
            colors, share = _look(track, head, vertices[frame].double(), view, frame, corners, bary)
            total += colors * share[:, None]
            weight += share[:, None]
    mean = total.sum(0) / weight.sum().clamp_min(1e-9)
    texture = mean.expand(SIZE * SIZE, 3).clone()
    texture[_covered(head)] = torch.where(weight > 1e-3, total / weight.clamp_min(1e-9), mean)
    return texture.reshape(SIZE, SIZE, 3).float().numpy()


def _fragments(head: Head):
    """Which triangle each texel belongs to: the UV layout is a flat mesh one unit before a camera."""
    uv = head.uv.double()
    flat = torch.stack([uv[:, 0], 1 - uv[:, 1], torch.ones(len(uv), dtype=torch.float64)], 1)
    K = torch.diag(torch.tensor([SIZE, SIZE, 1.0], dtype=torch.float64))
    return rasterize_mesh(flat, head.uv_faces, torch.eye(4, dtype=torch.float64)[None], K[None], SIZE, SIZE)


def _covered(head: Head) -> torch.Tensor:
    return (_fragments(head).face_index[0] >= 0).flatten()


def _texels(head: Head) -> tuple[torch.Tensor, torch.Tensor]:
    fragments = _fragments(head)
    covered = fragments.face_index[0] >= 0
    return fragments.face_index[0][covered], fragments.bary[0][covered].double()


def _look(
    track: Track, head: Head, vertices: torch.Tensor, view: int, frame: int, corners, bary
) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours [N,3] of the texels in one picture and how well it sees them [N]."""
    camera = track.cameras[view]
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    places = (vertices[corners] * bary[..., None]).sum(1)
    normals = torch.nn.functional.normalize(
        (vertex_normals(vertices, head.faces)[corners] * bary[..., None]).sum(1), dim=-1
    )
    towards = torch.nn.functional.normalize(torch.from_numpy(camera.position) - places, dim=-1)
    share = (towards * normals).sum(-1).clamp_min(0) ** SHARPNESS
    pixels = project(places[None], viewmats, Ks, 0.0)[0][0, 0]
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row = column.clamp(0, camera.width - 1), row.clamp(0, camera.height - 1)
    depth = rasterize_mesh(vertices, head.faces, viewmats, Ks, camera.width, camera.height).depth[0]
    distance = places @ viewmats[0, 2, :3] + viewmats[0, 2, 3]
    visible = inside & (distance < depth[row, column] + 0.003)
    picture = torch.from_numpy(track.image(view, frame)).double()
    return picture[row, column], share * visible
