"""Figures of an edit from two avatars played alike: `pair` is always (edited, unedited)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.evaluation.clip import Clip
from emoga.evaluation.emotion_play import Cell, Play, Player
from emoga.evaluation.emotion_truth import Truth
from emoga.evaluation.faces import cut_face, five_points
from emoga.evaluation.networks import Network
from emoga.evaluation.perceptual import Distance
from emoga.head import Head
from emoga.images import from_uint8
from emoga.optimize.metrics import compare
from emoga.optimize.metrics_features import cosine_distances
from emoga.optimize.regions import region_mask, visible_faces
from emoga.optimize.surface_pictures import lift, look_up, surface_motion
from emoga.render import rasterize

MARGIN = 0.03  # of the height: how far the named regions are dilated
SKIN = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "eyelids", "lips", "ears")
LARGEST = 99.9  # percentile of the change outside
Pair = tuple[Play, Play]


def clip_of_change(
    model: Clip, texts: tuple[str, str], pair: Pair, views: Sequence[int], frames: Sequence[int]
) -> tuple[float, float, int]:
    """CLIP-S and CLIP-C of what an edit changes, and the number of pictures; NaN where nothing changes."""
    before, after = model.texts(list(texts)).astype(np.float64)
    scores, agreement = [], []
    for view in views:
        stacks = [np.stack([play.picture((view, frame)) for frame in frames]) for play in pair]
        edited, original = (model.pictures(stack).astype(np.float64) for stack in stacks)
        change = _unit(edited - original)
        scores += list(change @ _unit((after - before)[None])[0])
        agreement += list((change[:-1] * change[1:]).sum(1))
    mean = [float(np.nanmean(values)) if len(values) else float("nan") for values in (scores, agreement)]
    return mean[0], mean[1], len(views) * len(frames)


def likeness(
    truth: Truth, pair: Pair, track: Track, distance: Distance | None
) -> tuple[dict[str, dict[str, float]], list[tuple[str, int, float, float, float]]]:
    """PSNR, SSIM and LPIPS of both avatars against pictures of the true edit, and a row for each picture."""
    rows, values = [], {"edited": [], "unedited": []}
    for cell in truth.cells:
        mask, true = truth.mask(cell), truth.picture(cell)
        nothing = np.zeros_like(mask)
        figures = []
        for name, play in zip(values, pair, strict=True):
            drawn = play.picture(cell)
            found = compare(drawn, true, mask, nothing, nothing)
            apart = float("nan") if distance is None else distance(drawn, true, mask)
            values[name].append((found.psnr, found.ssim, apart))
            figures.append(found)
        camera = track.cameras[cell[0]].name
        rows.append((camera, int(track.frames[cell[1]]), figures[0].psnr, figures[0].ssim, figures[1].psnr))
    means = {name: np.mean(value, axis=0) for name, value in values.items()}
    return {
        name: {
            "psnr": float(m[0]), "ssim": float(m[1]),
            **({} if distance is None else {"lpips": float(m[2])}), "pictures": float(len(rows)),
        }
        for name, m in means.items()
    }, rows  # fmt: skip


def cross_view(
    head: Head, pair: Pair, track: Track, views: Sequence[int], frames: Sequence[int]
) -> tuple[float, float]:
    """How far views differ in what the edit changes on the skin, and how large that change is, in levels of 255."""
    skin = np.any([head.regions[name].numpy() for name in SKIN if name in head.regions], axis=0)
    cameras, faces = [track.cameras[view] for view in views], head.faces.numpy()
    apart, size = [], []
    for frame in frames:
        values, seen = [], []
        for play in pair:
            pictures = [play.picture((view, frame)) for view in views]
            covered = [play.coverage((view, frame)) for view in views]
            value, sight = lift(pictures, covered, play.vertices(frame), play.normals(frame), faces, cameras)
            values.append(value)
            seen.append(sight)
        both = (seen[0] & seen[1])[:, skin]
        change = (values[0] - values[1])[:, skin]
        often = both.sum(0) >= 2
        if not often.any():
            continue
        weight = both[:, often, None].astype(np.float64)
        mean = (weight * change[:, often]).sum(0) / weight.sum(0)
        apart.append((weight * np.abs(change[:, often] - mean)).sum() / (3 * weight.sum()))
        size.append(np.abs(mean).mean())
    if not apart:
        return float("nan"), float("nan")
    return 255 * float(np.mean(apart)), 255 * float(np.mean(size))


def temporal_ratio(head: Head, pair: Pair, track: Track, views: Sequence[int], count: int) -> float:
    """Mean change of the picture from frame to frame where the surface went, edited over unedited."""
    faces, frames = head.faces.numpy(), range(max(0, count - 7), count)
    totals = []
    for play in pair:
        total = weight = 0.0
        for view in views[:2]:
            for frame in list(frames)[1:]:
                before, after = (from_uint8(play.picture((view, at))) for at in (frame - 1, frame))
                came, known = surface_motion(
                    play.vertices(frame - 1), play.vertices(frame), faces, track.cameras[view]
                )
                known = known & play.coverage((view, frame))
                total += np.abs(after - look_up(before, came))[known].sum() / 3
                weight += known.sum()
        totals.append(total / max(weight, 1))
    return float(totals[0] / totals[1]) if totals[1] > 0 else float("nan")


def footprint(player: Player, play: Play, cell: Cell, first: int) -> np.ndarray:
    """bool [H,W]: pixels that Gaussians from row `first` on cover for the most part: things that were put on."""
    renderer, camera = player.renderer, player.track.cameras[cell[0]]
    splats = renderer.carry(renderer.pose(play.params, cell[1], cell[1] + 1)[0], camera.position[None])
    added = (torch.arange(len(splats.means)) >= first).float()[:, None].expand(-1, 3)
    viewmats, Ks = stack_cameras([camera], splats.means.device)
    image = rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, added.to(splats.means), viewmats, Ks,
        camera.width, camera.height, backend=renderer.backend,
    ).image  # fmt: skip
    return image[0, ..., 0].cpu().numpy() > 0.5


def change_outside(
    players: Sequence[Player], pair: Pair, track: Track, cells: Sequence[Cell], regions: tuple[str, ...]
) -> tuple[float, float, float]:
    """Mean and 99.9th percentile of the change outside, and the mean inside, in levels of 255.

    Inside is where either avatar shows the named regions, and where the edited one shows what was put on, dilated.
    """
    head, before = players[0].head, len(players[1].avatar.gaussians)
    grown = len(players[0].avatar.gaussians) > before
    outside, inside = [], []
    for cell in cells:
        camera = track.cameras[cell[0]]
        named = np.zeros((camera.height, camera.width), bool)
        for play in pair:
            vertices = torch.from_numpy(play.vertices(cell[1]))
            named |= region_mask(head, visible_faces(head, vertices, camera), regions)
        if grown:
            named |= footprint(players[0], pair[0], cell, before)
        reach = max(1, round(MARGIN * camera.height))
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        named = cv2.dilate(named.astype(np.uint8), brush) > 0
        change = np.abs(pair[0].picture(cell).astype(np.int16) - pair[1].picture(cell)).max(-1)
        outside.append(change[~named])
        inside.append(change[named])
    beyond, within = np.concatenate(outside), np.concatenate(inside)
    largest = float(np.percentile(beyond, LARGEST)) if beyond.size else float("nan")
    return (
        float(beyond.mean()) if beyond.size else float("nan"),
        largest,
        float(within.mean()) if within.size else float("nan"),
    )


def identity_distance(network: Network, head: Head, pair: Pair, track: Track, cells: Sequence[Cell]) -> float:
    """Mean cosine distance of the faces of both avatars."""
    vectors = []
    for play in pair:
        faces = [
            cut_face(
                play.picture(cell), five_points(head, play.vertices(cell[1]), track.cameras[cell[0]]),
                network.size, network.preparation.zoom,
            )
            for cell in cells
        ]  # fmt: skip
        vectors.append(network(np.stack(faces)))
    return float(np.mean(cosine_distances(*vectors)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [P,D] of length one; NaN where there is no direction."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-12), np.nan)
