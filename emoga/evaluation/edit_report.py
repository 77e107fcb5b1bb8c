"""What an evaluation of an edit found, and its forms: JSON, CSV, rows for a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from emoga.evaluation.report import without_nan

SITUATIONS = ("novel view", "self-reenactment", "cross-reenactment")
PROTOCOL = (
    "novel view: held-out views on training frames; self-reenactment: held-out frames; cross-reenactment: another's "
    "motion; where a track holds nothing out, all its views and frames",
    "CLIP-S: cosine between what the edit changes in a picture and what it changes in words (InstructPix2Pix)",
    "CLIP-C: cosine between what the edit changes in a picture and in the next frame's (Instruct-NeRF2NeRF)",
    "PSNR, SSIM, LPIPS: against pictures of the true edit, in the head mask",
    "cross-view: mean absolute difference, in levels of 255, of what the edit changes on a point of the skin between "
    "views that see it; size: of that change itself",
    "temporal: mean absolute change from frame to frame where the surface went, edited over unedited avatar",
    "outside: |edited - unedited| in levels of 255 outside the named regions as either shows them and "
    "the things put on as they cover the picture, dilated by 3 %",
    "identity: cosine distance of faces between the edited and the unedited avatar (ArcFace)",
)


@dataclass
class EditEvaluation:
    """Figures of an edited avatar beside the one it was made from; None: not computed, `missing` says why.

    clip: by situation, (CLIP-S, CLIP-C, pictures). likeness: psnr, ssim, lpips of the edited avatar and of the
    unedited one, and how many pictures. cross_view: (disagreement, size); temporal: ratio; outside: mean, the 99.9th
    percentile, mean inside. pictures: one row for each with a truth.
    """

    subject: str
    prompt: str
    clip: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    likeness: dict[str, dict[str, float]] = field(default_factory=dict)
    cross_view: tuple[float, float] | None = None
    temporal: float | None = None
    outside: tuple[float, float, float] | None = None
    identity: float | None = None
    pictures: list[tuple[str, int, float, float, float]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    protocol: tuple[str, ...] = PROTOCOL

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return without_nan(asdict(self))

    def csv(self) -> str:
        """One line per picture with a truth."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("camera", "frame", "psnr", "ssim", "psnr_unedited"))
        for camera, frame, *values in self.pictures:
            writer.writerow((camera, frame, *(f"{value:.6f}" for value in values)))
        return stream.getvalue()

    def table(self) -> list[tuple[str, str, str]]:
        """Rows (figure, value, beside it) as text, heading first; a dash where nothing could be computed."""
        rows = [("figure", "value", "beside")]
        for name in SITUATIONS:
            found = self.clip.get(name)
            text = ("-", "") if found is None else (_text(found[0], 3), f"CLIP-C {_text(found[1], 3)}")
            rows.append((f"CLIP-S, {name}", *text))
        own, before = self.likeness.get("edited", {}), self.likeness.get("unedited", {})
        for name, digits in (("psnr", 2), ("ssim", 4), ("lpips", 4)):
            beside = f"unedited {_text(before[name], digits)}" if name in before else ""
            rows.append((f"{name.upper()} to the truth", _text(own.get(name), digits), beside))
        cross = self.cross_view or (math.nan, math.nan)
        rows.append(
            ("disagreement of views /255", _text(cross[0], 2), f"of a change of {_text(cross[1], 2)}")
        )
        rows.append(("flicker beside the unedited", _text(self.temporal, 3), ""))
        mean, largest, inside = self.outside or (math.nan,) * 3
        rows.append(
            ("change outside /255", _text(mean, 3), f"99.9 % {_text(largest, 2)}, inside {_text(inside, 2)}")
        )
        rows.append(("identity distance", _text(self.identity, 4), ""))
        return rows


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
