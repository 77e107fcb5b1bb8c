"""Pictures that one view takes of a head, laid onto that of one moment by the mesh; how far skin in them is off."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.solving_landmarks import project
from emoga.render import rasterize_mesh

MARGIN = 0.03  # of a sheet's side
# Pixels of a sheet for each of the view's, and how many its side has at least and at most.
FINER, LEAST, MOST = 1.3, 256, 512
WINDOW, SPACING = 0.004, 0.006  # metres: spread of what is compared around a place, and between places
BLUR = 0.7  # pixels
FACING, SHOWN, HIDDEN, RIM = 0.35, 0.6, 0.004, 5  # cosine to the camera, share of a window, metres, pixels
SEEN_OFTEN = 0.4  # share of the moments
FARTHEST = 2.5  # pixels of a sheet beyond which what was found is something else
LEAST_SPREAD = 0.00012  # metres that no place is followed better than: light wanders over skin
DARKEST = 0.02  # below it brightness is noise
STEADIEST = 1e-5  # variance of a logarithm of brightness that two pictures of the same differ by at least
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Sheet:
    """A view's pixels of one moment, onto which the skin of T moments is laid.

    faces [S,S] of the mesh under each of its pixels, -1 for none; weights [S,S,3] of their corners; places [T,S,S,2]:
    where that skin is in the pictures; shown [T,S,S]: 1 where it is seen; step: pixels of the view that one of the
    sheet is wide; scale: pixels of the sheet per metre.
    """

    faces: np.ndarray
    weights: np.ndarray
    places: np.ndarray
    shown: np.ndarray
    step: float
    scale: float


@dataclass(frozen=True)
class Sight:
    """N places of the skin in one view: corners and weights [N,3] on the mesh, pixels [T,N,2] where they are seen with
    information [T,N,2,2] in 1/pixel², zero where they are not.
    """

    corners: np.ndarray
    weights: np.ndarray
    pixels: np.ndarray
    information: np.ndarray


def make_sheet(
    head: Head, vertices: torch.Tensor, viewmat: torch.Tensor, K: torch.Tensor, moment: int
) -> Sheet:
    """The skin under a view's picture of one moment, and where it is at all; vertices [T,V,3]."""
    around = head.regions["face"] | head.regions.get("ears", head.regions["face"])
    pixels = project(vertices[moment : moment + 1, around], viewmat[None], K[None], 0.0)[0][0, 0]
    low, high = pixels.amin(0), pixels.amax(0)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    size = int(min(max(FINER * side, LEAST), MOST))
    corner, step = (low + high) / 2 - side / 2, side / size
    inner = K.clone()
    inner[:2, 2] -= corner
    inner[:2] /= step

    def drawn(t: int):
        return rasterize_mesh(vertices[t], head.faces, viewmat[None], inner[None], size, size)

    first = drawn(moment)
    faces = first.face_index[0]
    on = faces >= 0
    corners, weights = head.faces[faces[on]], first.bary[0][on]
    normals = vertex_normals(vertices, head.faces)
    eye = -(viewmat[:3, :3].T @ viewmat[:3, 3])
    places = np.zeros((len(vertices), size, size, 2), np.float32)
    shown = np.zeros((len(vertices), size, size), np.float32)
    for t in range(len(vertices)):
        skin, outward = ((values[t][corners] * weights[..., None]).sum(1) for values in (vertices, normals))
        there = project(skin[None], viewmat[None], K[None], 0.0)[0][0, 0]
        depth = skin @ viewmat[2, :3] + viewmat[2, 3]
        at = ((there - corner) / step).floor().long()
        inside, at = ((at >= 0) & (at < size)).all(1), at.clamp(0, size - 1)
        before = drawn(t).depth[0][at[:, 1], at[:, 0]]
        towards = torch.nn.functional.normalize(eye - skin, dim=-1)
        cosine = (towards * torch.nn.functional.normalize(outward, dim=-1)).sum(-1)
        seen = inside & ((before == 0) | (depth < before + HIDDEN)) & (cosine > FACING)
        places[t][on], shown[t][on] = there.numpy(), seen.numpy()
        shown[t] = cv2.erode(shown[t], np.ones((RIM, RIM), np.uint8))
    middle = vertices[moment, around].mean(0) @ viewmat[2, :3] + viewmat[2, 3]
    weights_on = np.zeros((size, size, 3))
    weights_on[on] = weights
    return Sheet(faces.numpy(), weights_on, places, shown, step, float(K[0, 0] / middle) / step)


def follow(sheet: Sheet, pictures: list[np.ndarray], head: Head, skin: torch.Tensor) -> Sight:
    """Where places of the skin, faces bool [F] of the mesh, are in each of the pictures [H,W,3] of all moments.

    One step of Lucas and Kanade of each picture against the mean of the others, light and contrast freed.
    """
    spread = WINDOW * sheet.scale

    def around(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), spread)

    detail = [
        _detail(picture, places, shown, around)
        for picture, places, shown in zip(pictures, sheet.places, sheet.shown, strict=True)
    ]
    weighted = sheet.shown * np.stack(detail)
    often, total = sheet.shown.sum(0), weighted.sum(0)
    y, x = _grid(sheet, skin)
    # Values that differ from one another in a window, which blur has made fewer.
    independent = 4 * np.pi * spread**2 / (1 + 4 * np.pi * (BLUR / sheet.step) ** 2)
    least = LEAST_SPREAD * sheet.scale * sheet.step
    pixels, information = np.zeros((len(pictures), len(y), 2)), np.zeros((len(pictures), len(y), 2, 2))
    for t, shown in enumerate(sheet.shown):
        others = (total - weighted[t]) / np.maximum(often - shown, 1e-6)
        shift, precision, share = _shift(detail[t], others, shown, around, (y, x))
        slopes = [np.gradient(sheet.places[t][..., axis]) for axis in (0, 1)]
        warp = np.array([[by_x[y, x], by_y[y, x]] for by_y, by_x in slopes]).transpose(2, 0, 1).astype(float)
        good = (shown[y, x] > 0) & (share > SHOWN) & (often[y, x] > SEEN_OFTEN * len(pictures))
        good &= (np.linalg.norm(shift, axis=1) < FARTHEST) & (np.abs(np.linalg.det(warp)) > 1e-3)
        back = np.linalg.inv(np.where(good[:, None, None], warp, np.eye(2)))
        found = back.transpose(0, 2, 1) @ (independent * precision) @ back
        found = np.linalg.inv(np.linalg.inv(found + 1e-9 * np.eye(2)) + least**2 * np.eye(2))
        pixels[t] = sheet.places[t][y, x] + (warp @ shift[..., None])[..., 0] * good[:, None]
        information[t] = found * good[:, None, None]
    corners = head.faces.numpy()[sheet.faces[y, x]]
    return Sight(corners, sheet.weights[y, x], pixels, information)


def _detail(picture: np.ndarray, places: np.ndarray, shown: np.ndarray, around) -> np.ndarray:
    """Logarithm of the brightness [S,S] of a picture at places [S,S,2], less that of what surrounds each."""
    bright = cv2.GaussianBlur(picture @ BRIGHTNESS, (0, 0), BLUR)
    # OpenCV has pixel centres at whole numbers.
    laid = cv2.remap(bright, places[..., 0] - 0.5, places[..., 1] - 0.5, cv2.INTER_CUBIC)
    laid = np.log(laid.clip(DARKEST))
    return laid - around(shown * laid) / (around(shown) + 1e-6)


def _grid(sheet: Sheet, skin: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns [N] of places on the skin."""
    step, size = max(2, round(SPACING * sheet.scale)), len(sheet.faces)
    y, x = (axis.ravel() for axis in np.mgrid[step : size - step : step, step : size - step : step])
    faces = sheet.faces[y, x]
    kept = (faces >= 0) & skin.numpy()[faces]
    return y[kept], x[kept]


def _shift(
    detail: np.ndarray, others: np.ndarray, shown: np.ndarray, around, at: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far what `others` show has moved in `detail` [N,2], the precision [N,2,2] that an independent value in each
    window would give, both in pixels of the sheet; and the share of each window in sight.
    """

    def in_window(values: np.ndarray) -> np.ndarray:
        return around(shown * values)[at].astype(float)

    by_y, by_x = np.gradient(others)
    # Contrast differs with light: how much of the others is in this one.
    gain = (around(shown * detail * others) / (around(shown * others * others) + 1e-6)).clip(0.5, 2)
    left = detail - gain * others
    crossed = in_window(by_x * by_y)
    structure = np.array([[in_window(by_x * by_x), crossed], [crossed, in_window(by_y * by_y)]])
    structure = structure.transpose(2, 0, 1)
    push = np.stack([in_window(by_x * left), in_window(by_y * left)], -1)
    step = np.linalg.solve(structure + 1e-7 * np.eye(2), push[..., None])[..., 0]
    share = around(shown)[at].astype(float)
    noise = (in_window(left * left) - (push * step).sum(-1)) / np.maximum(share, 1e-6)
    noise = np.maximum(noise, STEADIEST)
    gain = gain[at].astype(float)
    return -step / gain[:, None], structure * (gain**2 / noise)[:, None, None], share
