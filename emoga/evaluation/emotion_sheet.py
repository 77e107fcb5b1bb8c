"""The contact sheet of an evaluation of emotions: neutral, edit, avatar, baseline, truth and error side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emoga.images import contact_sheet
from emoga.optimize.metrics import masked_psnr

ERROR_GAIN = 4
CELL = 224
EMPTY = 235  # grey of a picture there is none of


@dataclass(frozen=True)
class SheetRow:
    """Pictures uint8 [H,W,3] of one view and frame, None where there is none; mask bool [H,W] of the truth's head."""

    label: str
    neutral: np.ndarray
    edit: np.ndarray | None
    avatar: np.ndarray
    geometry: np.ndarray | None
    truth: np.ndarray | None
    mask: np.ndarray | None


def emotion_sheet(rows: Sequence[SheetRow]) -> np.ndarray:
    """One row per entry; columns that are empty in every row are left out. uint8 [h,w,3]."""
    kinds = ["neutral", "edit", "avatar", "geometry", "truth"]
    kinds = [kind for kind in kinds if any(getattr(row, kind) is not None for row in rows)]
    height, width = rows[0].neutral.shape[:2]
    pictures, labels = [], []
    for row in rows:
        for kind in kinds:
            picture = getattr(row, kind)
            pictures.append(_placed(picture, height, width))
            labels.append(f"{row.label} {kind}" if kind == "neutral" else kind + _likeness(row, kind))
        if "truth" in kinds:
            pictures.append(_placed(_error(row), height, width))
            labels.append(f"error x {ERROR_GAIN}")
    return contact_sheet(pictures, labels, columns=len(kinds) + ("truth" in kinds), cell=CELL)


def _likeness(row: SheetRow, kind: str) -> str:
    picture = getattr(row, kind)
    if kind == "truth" or picture is None or row.truth is None or row.mask is None:
        return ""
    return f" {masked_psnr(picture, row.truth, row.mask):.2f} dB"


def _error(row: SheetRow) -> np.ndarray | None:
    if row.truth is None or row.mask is None:
        return None
    error = np.abs(row.avatar.astype(np.int16) - row.truth) * ERROR_GAIN
    return np.where(row.mask[..., None], np.minimum(error, 255), 40).astype(np.uint8)


def _placed(picture: np.ndarray | None, height: int, width: int) -> np.ndarray:
    """A picture on a grey cell of the sheet's size; views may differ in size, cells may not."""
    canvas = np.full((height, width, 3), EMPTY, np.uint8)
    if picture is not None:
        rows, columns = min(height, picture.shape[0]), min(width, picture.shape[1])
        canvas[:rows, :columns] = picture[:rows, :columns]
    return canvas
