"""Which token of one view shows what a token of another view shows: by depth, or along epipolar lines.

A picture of S x S pixels becomes a grid of G x G tokens in a denoiser, G = S/8 and its halves. Tokens are numbered
row by row; places are in tokens (x, y), token centres at +0.5, so that one record serves every grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emoga.camera import Camera

# Metres by which a point may lie behind, or before, what the other view shows there and still be what it shows.
THICKNESS = 0.010
# Of the square's side, one pixel at least: the neighbourhood of a projected point in which the other view may show its
# surface.
NEIGHBOURHOOD = 0.002
# Tokens beside an epipolar line that still count as on it.
BESIDE = 0.75


@dataclass(frozen=True)
class Matches:
    """Where each token of one view is in another: at [G*G,2] tokens, seen [G*G] bool. Unseen places mean nothing."""

    at: np.ndarray
    seen: np.ndarray

    def nearest(self, grid: int) -> np.ndarray:
        """[G*G] int64: the number of the token each place falls in."""
        x, y = np.clip(np.floor(self.at).astype(np.int64), 0, grid - 1).T
        return y * grid + x


@dataclass(frozen=True)
class ViewScene:
    """V square views of one moment: depth [V,S,S] metres along the camera axis, 0 where nothing is, and cameras."""

    depth: np.ndarray
    cameras: Sequence[Camera]

    def matches(self, source: int, target: int, grid: int) -> Matches:
        """Tokens of view `source` in view `target`: their centres lifted by depth, and tested for occlusion."""
        centres = token_centres(grid)
        side = self.depth.shape[1]
        pixels = centres * (side / grid)
        z = _surface(self.depth[source], pixels)
        there = z > 0
        points = _lifted(pixels, np.where(there, z, 1.0), self.cameras[source])
        at, depth = self.cameras[target].project(points)
        inside = there & (depth > 0) & ((at > 0) & (at < side)).all(1)
        at = np.where(inside[:, None], at, 0.0)
        return Matches(at * (grid / side), inside & _shows(self.depth[target], at, depth))

    def fundamental(self, source: int, target: int) -> np.ndarray:
        """F [3,3]: a pixel x of `source` lies on the line F x in `target`."""
        first, second = self.cameras[source], self.cameras[target]
        motion = second.w2c @ np.linalg.inv(first.w2c)
        turn, (x, y, z) = motion[:3, :3], motion[:3, 3]
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.linalg.inv(second.K).T @ cross @ turn @ np.linalg.inv(first.K)

    def foreground(self, view: int, grid: int) -> np.ndarray:
        """[G*G] bool: tokens whose centre shows the subject."""
        pixels = token_centres(grid) * (self.depth.shape[1] / grid)
        return _surface(self.depth[view], pixels) > 0


def epipolar_lines(scene: ViewScene, source: int, target: int, grid: int) -> np.ndarray:
    """[G*G,3]: of each token of `source` the line in `target` that shows it, l · (x, y, 1) its distance in tokens."""
    scale = scene.depth.shape[1] / grid
    pixels = np.concatenate([token_centres(grid) * scale, np.ones((grid * grid, 1))], 1)
    lines = pixels @ scene.fundamental(source, target).T @ np.diag([scale, scale, 1.0])
    return lines / (np.linalg.norm(lines[:, :2], axis=1, keepdims=True) + 1e-12)


def epipolar_matches(
    scene: ViewScene, source: int, target: int, grid: int, features: tuple[np.ndarray, np.ndarray]
) -> Matches:
    """The token on each token's epipolar line whose features are most alike (Edit3DGS 3.3, after DGE).

    features: [G*G,C] of both views, of several layers side by side. Nothing is said about occlusion: a token counts
    as seen when its line crosses the picture.
    """
    centres = np.concatenate([token_centres(grid), np.ones((grid * grid, 1))], 1)
    on_line = np.abs(epipolar_lines(scene, source, target, grid) @ centres.T) <= BESIDE
    first, second = (_unit(part) for part in features)
    best = np.where(on_line, first @ second.T, -np.inf).argmax(1)
    return Matches(token_centres(grid)[best], on_line.any(1))


def token_centres(grid: int) -> np.ndarray:
    """[G*G,2] (x, y) in tokens."""
    y, x = np.mgrid[:grid, :grid] + 0.5
    return np.stack([x.ravel(), y.ravel()], 1)


def _surface(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Depth [N] of the surface at pixels [N,2]: the middle of the four around, 0 where half of them show nothing."""
    side = depth.shape[0]
    corners = np.round(pixels).astype(np.int64)
    found = [
        depth[np.clip(corners[:, 1] - dy, 0, side - 1), np.clip(corners[:, 0] - dx, 0, side - 1)]
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    nearer, farther = np.sort(np.stack(found), 0)[1:3]
    # Of two surfaces, the nearer one.
    return np.where((nearer > 0) & (farther - nearer < THICKNESS), (nearer + farther) / 2, nearer)


def _lifted(pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """World points [N,3] of pixels [N,2] at depths [N]."""
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(camera.K).T
    local = rays * depth[:, None]
    return (local - camera.w2c[:3, 3]) @ camera.w2c[:3, :3]


def _shows(picture: np.ndarray, at: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Whether points at pixels [N,2] and depths [N] are what a depth picture shows there, within a neighbourhood."""
    side = picture.shape[0]
    reach = 2 * max(1, round(NEIGHBOURHOOD * side)) + 1
    brush = np.ones((reach, reach), np.uint8)
    far = np.where(picture > 0, picture, 0).astype(np.float32)
    near = np.where(picture > 0, picture, np.inf).astype(np.float32)
    x, y = np.clip(np.floor(at).astype(np.int64), 0, side - 1).T
    behind = cv2.dilate(far, brush)[y, x]
    before = cv2.erode(near, brush)[y, x]
    return (depth < behind + THICKNESS) & (depth > before - THICKNESS)


def _unit(features: np.ndarray) -> np.ndarray:
    return features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-8)
