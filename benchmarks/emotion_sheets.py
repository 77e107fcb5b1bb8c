"""Contact sheets of a case: the truth, an edit of it, what the avatar makes of it and what its peers do."""

from __future__ import annotations

import numpy as np

from emoga.images import contact_sheet
from emoga.optimize.metrics import masked_psnr

CELL = 256
ERROR_GAIN = 4


def case_sheet(
    truth: np.ndarray, masks: np.ndarray, columns: dict[str, np.ndarray], names: list[str], rows: list[int]
) -> np.ndarray:
    """uint8 sheet: in each of `rows` (indices of [P,H,W,3] pictures) the truth, every column and ours' error.

    names: of the pictures. The first column is the one whose error is shown, last.
    """
    pictures, labels = [], []
    for row in rows:
        pictures.append(truth[row])
        labels.append(f"truth {names[row]}")
        for column, results in columns.items():
            pictures.append(results[row])
            labels.append(f"{column} {masked_psnr(results[row], truth[row], masks[row]):.1f} dB")
        ours = next(iter(columns.values()))[row]
        error = np.abs(ours.astype(np.int16) - truth[row]) * ERROR_GAIN
        pictures.append(np.where(masks[row][..., None], error.clip(0, 255), 40).astype(np.uint8))
        labels.append(f"error x {ERROR_GAIN}")
    return contact_sheet(pictures, labels, columns=len(columns) + 2, cell=CELL)


def telling_rows(psnr: np.ndarray, views: int) -> list[int]:
    """Of P = views x frames pictures, the worst and the middling one of every view."""
    by_view = psnr.reshape(views, -1)
    rows = []
    for view, values in enumerate(by_view):
        order = np.argsort(values)
        rows += [
            view * by_view.shape[1] + int(order[0]),
            view * by_view.shape[1] + int(order[len(order) // 2]),
        ]
    return rows
