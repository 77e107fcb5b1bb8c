"""What a fit says about itself: likeness on training and held-out pictures, and what was never seen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from emoga.avatar.avatar import Avatar
from emoga.capture import HeldOut, Track
from emoga.head import Head, HeadParams
from emoga.optimize.baseline import baselines
from emoga.optimize.metrics import Likeness
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.regions import visible_faces
from emoga.optimize.scoring import evenly, score_split, split_pictures
from emoga.progress import Reporter

TRAINING_PICTURES = 24
VISIBILITY_PICTURES = 48
UNSEEN = {
    "back of the head": ("scalp",),
    "mouth interior": ("mouth_interior",),
    "teeth": ("teeth",),
    "tongue": ("tongue",),
    "ears": ("ears",),
    "neck": ("neck",),
    "face": ("face", "cheeks", "forehead", "jaw"),
}


@dataclass
class FitReport:
    """The figures of a fit; `as_json` gives plain values with null for what was not measured.

    held_out: "views" (held-out views, training frames), "frames" (training views, held-out frames) and
    "both"; baselines: PSNR of ways to predict held-out frames without an avatar, baseline_psnr their best.
    perceptual: features by which patches were compared ("vgg19", "vgg16" or "band-pass"), None where they were not.
    never_seen: share of each part's triangles that no training picture showed.
    """

    training: Likeness | None
    held_out: dict[str, Likeness | None]
    baseline_psnr: float
    baselines: dict[str, float]
    never_seen: dict[str, float]
    gaussians: int
    iterations: int
    sh_degree: int
    preset: str
    seconds: float
    appearance: str = "sh"
    perceptual: str | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Nested dictionaries of JSON values."""
        values = asdict(self)
        values["held_out"]["baseline_psnr"] = values.pop("baseline_psnr")
        return _plain(values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


@dataclass(frozen=True)
class Scores:
    """Figures of the pictures of a track."""

    training: Likeness | None
    held_out: dict[str, Likeness | None]
    baselines: dict[str, float]


def score_fit(
    avatar: Avatar, track: Track, held_out: HeldOut, params: HeadParams, report: Reporter
) -> Scores:
    """Measure an avatar posed by `params` on some training pictures and on all that were held out."""
    if track.head_masks is None:
        return Scores(None, dict.fromkeys(("views", "frames", "both")), {})
    renderer = AvatarRenderer(avatar)
    splits = split_pictures(held_out, len(track.cameras), track.frame_count)
    figures: dict[str, Likeness | None] = {}
    for name, pairs in splits.items():
        chosen = evenly(pairs, TRAINING_PICTURES if name == "training" else None)
        figures[name] = (
            score_split(renderer, track, chosen, params=params, name=f"score {name}", report=report)[0]
            if chosen
            else None
        )
    return Scores(figures.pop("training"), figures, baselines(track, held_out) if held_out.frames else {})


@torch.no_grad()
def never_seen(
    head: Head, vertices: torch.Tensor, track: Track, pairs: list[tuple[int, int]], frames: list[int]
) -> dict[str, float]:
    """Share of each part's triangles that no picture among `pairs` shows; vertices [T',V,3] of `frames`."""
    seen = np.zeros(len(head.faces), bool)
    for view, frame in evenly(pairs, VISIBILITY_PICTURES):
        index = visible_faces(head, vertices[frames.index(frame)], track.cameras[view])
        seen[np.unique(index[index >= 0])] = True
    regions = head.face_regions.cpu().numpy()
    shares = {}
    for part, names in UNSEEN.items():
        inside = np.isin(regions, [head.region_names.index(name) for name in names])
        if inside.any():  # some heads have no tongue or lashes
            shares[part] = float(1 - seen[inside].mean())
    return shares


def unseen_notes(shares: dict[str, float]) -> list[str]:
    """Sentences about parts that were mostly hidden."""
    hidden = [f"{part} ({share:.0%})" for part, share in shares.items() if share > 0.5]
    return [f"never seen, so only guessed: {', '.join(hidden)}"] if hidden else []
