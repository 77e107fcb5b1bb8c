"""What an evaluation found, and its forms: JSON, CSV and rows for a table."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emoga.files import write_bytes
from emoga.optimize.metrics import Likeness
from emoga.optimize.metrics_landmarks import LandmarkError
from emoga.optimize.scoring import PROTOCOL, PictureScore

HELD_OUT = ("views", "frames", "both")


@dataclass(frozen=True)
class EvaluationReport:
    """Figures of an avatar against a track.

    training and held_out (keys views, frames, both; None where nothing is held out): averages; baseline_psnr:
    dB of the best guess without an avatar, NaN when unknown; landmarks: of the track; pictures: figures of
    every picture measured, by split; lpips by split, or `lpips_missing` says why there is none.
    """

    training: Likeness
    held_out: dict[str, Likeness | None]
    baseline_psnr: float
    landmarks: LandmarkError | None
    pictures: dict[str, list[PictureScore]]
    lpips: dict[str, float] = field(default_factory=dict)
    lpips_missing: str = ""
    protocol: tuple[str, ...] = PROTOCOL

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is None."""
        held_out: dict[str, Any] = {
            name: None if likeness is None else asdict(likeness) for name, likeness in self.held_out.items()
        }
        held_out["baseline_psnr"] = self.baseline_psnr
        report = {
            "training": asdict(self.training),
            "held_out": held_out,
            "landmarks": None if self.landmarks is None else asdict(self.landmarks),
            "mask_fraction": self._mask_fraction(),
            "lpips": self.lpips or None,
            "not_computed": {"lpips": self.lpips_missing} if self.lpips_missing else {},
            "protocol": list(self.protocol),
        }
        return without_nan(report)

    def table(self) -> list[tuple[str, str, str, str, str, str]]:
        """Rows (pictures of, count, PSNR, SSIM, mouth, eyes) as text, heading first."""
        rows = [("pictures", "count", "PSNR dB", "SSIM", "mouth dB", "eyes dB")]
        splits = {"training": self.training, **{f"held-out {k}": v for k, v in self.held_out.items()}}
        for name, likeness in splits.items():
            if likeness is not None and likeness.pictures:
                values = (likeness.psnr, likeness.ssim, likeness.mouth_psnr, likeness.eyes_psnr)
                texts = [_text(value, 4 if place == 1 else 2) for place, value in enumerate(values)]
                rows.append((name, str(likeness.pictures), *texts))
        if not math.isnan(self.baseline_psnr):
            rows.append(("baseline (no avatar)", "", _text(self.baseline_psnr, 2), "", "", ""))
        return rows

    def csv(self) -> str:
        """One line per picture."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        names = ("psnr", "ssim", "mouth_psnr", "eyes_psnr", "mask_fraction")
        writer.writerow(("split", "view", "frame", *names))
        for split, scores in self.pictures.items():
            for score in scores:
                values = (_text(getattr(score.likeness, name), 6) for name in names)
                writer.writerow((split, score.view, score.frame, *values))
        return stream.getvalue()

    def _mask_fraction(self) -> float:
        shares = [score.likeness.mask_fraction for scores in self.pictures.values() for score in scores]
        return sum(shares) / len(shares) if shares else float("nan")


@dataclass(frozen=True)
class TrackReport:
    """Landmark error of a track: over all, and of each frame in pixels (NaN where nothing is valid)."""

    landmarks: LandmarkError
    per_frame_px: list[float]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is None."""
        return without_nan(
            {
                "landmarks": asdict(self.landmarks),
                "per_frame_px": self.per_frame_px,
                "source": self.source,
                "protocol": [
                    "2D distance in pixels over valid frames and camera-facing points, no irises",
                    "relative: share of the reference face height (points 10 to 152, median over frames)",
                ],
            }
        )


def without_nan(value: Any) -> Any:
    """The same nested value with NaN and infinities as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: str | Path, value: dict[str, Any], overwrite: bool = False) -> None:
    """Write a report atomically; `-` writes to stdout."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode(), overwrite)


def _text(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
