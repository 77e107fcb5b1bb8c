"""How well held-out pictures can be guessed without an avatar: what a fit has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import HeldOut, Track
from emoga.head import Head, load_head
from emoga.optimize.metrics import binary_mask, masked_psnr
from emoga.progress import Reporter, Stage, Step, silent
from emoga.render import interpolate, rasterize_mesh

MOST_PICTURES = 60


@dataclass(frozen=True)
class Baselines:
    """Mean PSNR in dB over held-out pictures of each guess; NaN where it cannot be made."""

    mean_frame: float
    nearest_frame: float
    nearest_warped: float

    @property
    def best(self) -> float:
        """The highest of them, NaN when there is none."""
        values = [v for v in (self.mean_frame, self.nearest_frame, self.nearest_warped) if not np.isnan(v)]
        return max(values, default=float("nan"))


def baseline_psnr(track: Track, held_out: HeldOut, report: Reporter = silent) -> float:
    """The best of `baselines`, dB; NaN when nothing is held out."""
    return baselines(track, held_out, report).best


def baselines(track: Track, held_out: HeldOut, report: Reporter = silent) -> Baselines:
    """Guess held-out pictures from training ones: their mean, the nearest, the nearest warped by the mesh.

    Held-out frames are guessed from the same view; without any, held-out views are guessed from the nearest
    view in the same frame, for which a mean has no meaning. At most 60 pictures, spread evenly, are tried.
    """
    views = held_out.training_views(len(track.cameras))
    frames = held_out.training_frames(track.frame_count)
    guesser = _Guesser(track, load_head(track.head_name), views, frames)
    if held_out.frames:
        pairs = [(view, frame) for view in views for frame in held_out.frames]
        guesses: dict[str, Callable[[int, int], np.ndarray]] = {
            "mean_frame": guesser.mean_frame,
            "nearest_frame": lambda view, frame: track.picture(view, guesser.nearest_frame(view, frame)),
            "nearest_warped": lambda view, frame: guesser.warped(
                view, frame, view, guesser.nearest_frame(view, frame)
            ),
        }
    else:
        pairs = [(view, frame) for view in held_out.views for frame in frames]
        guesses = {
            "nearest_warped": lambda view, frame: guesser.warped(
                view, frame, guesser.nearest_view(view), frame
            )
        }
    return _average(track, _evenly(pairs), guesses, report)


def _average(
    track: Track,
    pairs: Sequence[tuple[int, int]],
    guesses: dict[str, Callable[[int, int], np.ndarray]],
    report: Reporter,
) -> Baselines:
    values: dict[str, list[float]] = {"mean_frame": [], "nearest_frame": [], "nearest_warped": []}
    if track.head_masks is not None:
        report(Stage("baseline", len(pairs)))
        for done, (view, frame) in enumerate(pairs, start=1):
            truth, mask = track.picture(view, frame), binary_mask(track.head_masks[view, frame])
            for name, guess in guesses.items():
                values[name].append(masked_psnr(guess(view, frame), truth, mask))
            report(Step(done))
    means = {name: float(np.nanmean(found)) if found else float("nan") for name, found in values.items()}
    return Baselines(**means)


def _evenly(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(pairs) <= MOST_PICTURES:
        return pairs
    return [pairs[index] for index in np.linspace(0, len(pairs) - 1, MOST_PICTURES).round().astype(int)]


@dataclass
class _Guesser:
    track: Track
    head: Head
    views: list[int]
    frames: list[int]
    _vertices: torch.Tensor | None = None
    _means: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def vertices(self) -> torch.Tensor:
        """Tracked vertices [T,V,3]."""
        if self._vertices is None:
            with torch.no_grad():
                self._vertices = self.head.vertices(self.track.params)
        return self._vertices

    def mean_frame(self, view: int, frame: int) -> np.ndarray:
        """Mean of a view's training pictures, uint8 [H,W,3]."""
        if view not in self._means:
            camera = self.track.cameras[view]
            total = np.zeros((camera.height, camera.width, 3))
            for training in self.frames:
                total += self.track.picture(view, training)
            self._means[view] = (total / len(self.frames) + 0.5).astype(np.uint8)
        return self._means[view]

    def nearest_frame(self, view: int, frame: int) -> int:
        """The training frame whose posed mesh is nearest in the picture."""
        pixels, _ = self.track.cameras[view].project(self.vertices[:, ::7].double().numpy())
        distance = np.linalg.norm(pixels[self.frames] - pixels[frame], axis=-1).mean(-1)
        return self.frames[int(distance.argmin())]

    def nearest_view(self, view: int) -> int:
        """The training view that stands nearest to a held-out one."""
        position = self.track.cameras[view].position
        return min(self.views, key=lambda v: float(np.linalg.norm(self.track.cameras[v].position - position)))

    def warped(self, view: int, frame: int, from_view: int, from_frame: int) -> np.ndarray:
        """A training picture moved to where the mesh is in another view or frame."""
        source, target = self.track.cameras[from_view], self.track.cameras[view]
        places = _surface_lookup(self.head, self.vertices[frame], target, self.vertices[from_frame], source)
        return cv2.remap(
            self.track.picture(from_view, from_frame), places, None, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip


@torch.no_grad()
def _surface_lookup(
    head: Head, vertices: torch.Tensor, camera: Camera, source_vertices: torch.Tensor, source: Camera
) -> np.ndarray:
    """float32 [H,W,2]: where each pixel of `camera` finds its surface point in the picture of `source`.

    Pixels beside the mesh (hair, backdrop) move along with the nearest pixel on it.
    """
    viewmats, Ks = stack_cameras([camera])
    fragments = rasterize_mesh(vertices, head.faces, viewmats, Ks, camera.width, camera.height)
    points = interpolate(fragments, source_vertices)[0].double().numpy()
    covered = fragments.covered[0].numpy()
    grid = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1).astype(np.float32)
    if not covered.any():
        return grid
    moved = np.zeros_like(grid)
    moved[covered] = source.project(points[covered])[0] - 0.5 - grid[covered]
    _, nearest = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((nearest.max() + 1, 2), np.float32)
    table[nearest[covered]] = moved[covered]
    return grid + table[nearest]
