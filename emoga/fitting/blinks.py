"""Blinks nobody filmed: how far lids close in turned pictures, and the line of lashes that closed ones show."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.head import Head, HeadParams

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
SHARE = 0.3  # of the pictures, whose lids close, where they never closed while filmed
DARKEST = 0.05  # share of what lashes cover in an open eye that is lashes and the shade beneath
BESIDE = 0.004  # metres to both sides of the line they draw, within which lids say what they look like closed
DENSITY = 0.6  # of the line: nobody knows how full the lashes are, nor exactly where lids meet
WORTH = 0.5  # of a pixel there, beside one whose skin was filmed


@dataclass(frozen=True)
class Blinks:
    """lids: units that close them; filmed: how far both did in the pictures; rims [2,P]: vertices of the upper lids'
    edges; lashes [F] bool: triangles.
    """

    lids: list[int]
    filmed: float
    rims: np.ndarray
    lashes: torch.Tensor

    @classmethod
    def of(cls, head: Head, params: HeadParams, frames: list[int]) -> Blinks:
        """Those of a head that was filmed in some frames of `params`."""
        rims = head.lids.upper.numpy()
        lids = [head.unit(name) for name in LIDS] if head.has_units and rims.size else []
        filmed = float(params.expr[frames][:, lids].amin(1).max()) if lids else 1.0
        return cls(lids, filmed, rims, head.faces_of(("lashes",)))

    def closed(self, expr: torch.Tensor, generator: np.random.Generator) -> torch.Tensor | None:
        """Now and then the expression [1,E] with lids further closed than in any picture, else None."""
        further = 1 - self.filmed
        if generator.random() >= SHARE * further:
            return None
        closed = expr.clone()
        closed[:, self.lids] = 1 - further * float(generator.random())
        return closed

    def without_lashes(self, faces: torch.Tensor) -> torch.Tensor:
        """The triangles [F,3], those of lashes shrunk to points: closed lids show behind them."""
        return torch.where(self.lashes[:, None], faces[:, :1], faces)

    def darkest(self, face_index: torch.Tensor, picture: np.ndarray) -> np.ndarray:
        """Colour [3] of lashes in a picture [H,W,3] that shows these triangles [H,W]; skin's where it shows none."""
        covered = picture[((face_index >= 0) & self.lashes[face_index.clamp_min(0)]).numpy()]
        covered = covered if len(covered) else picture.reshape(-1, 3)
        brightness = covered.sum(-1)
        return covered[brightness <= np.quantile(brightness, DARKEST)].mean(0)

    def draw_lashes(
        self, picture: np.ndarray, color: np.ndarray, vertices: torch.Tensor, camera: Camera
    ) -> tuple[np.ndarray, np.ndarray]:
        """A line along the upper lids' edges drawn into the picture [H,W,3] of a head with vertices [V,3], and what
        the pixels around it are worth [H,W].
        """
        line = np.zeros(picture.shape[:2], np.uint8)
        around = np.zeros_like(line)
        for rim in self.rims:
            points, depth = camera.project(vertices[rim].double().numpy())
            corners = np.round((points - 0.5) * 16).astype(np.int32)  # OpenCV counts in sixteenths of a pixel
            width = max(1, round(2 * BESIDE * camera.K[0, 0] / depth.mean()))
            cv2.polylines(line, [corners], False, 255, 1, cv2.LINE_AA, 4)
            cv2.polylines(around, [corners], False, 255, width, cv2.LINE_8, 4)
        share = line[..., None] * np.float32(DENSITY / 255)
        return picture + share * (color - picture), np.where(around > 0, np.float32(WORTH), np.float32(0))
