"""Figures of edit_truth.py: what is found again of a drive, and gains over the edits and over their UV mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from emotion_figures import summarise

from emoga.editing.refitting import METHODS
from emoga.head import Head

MOVES = 0.05  # standard deviation over a drive from which on a unit counts as moving
NOTES = {
    "psnr": "dB, 8-bit sRGB, in the true head mask (hair in, clothing out, above the neck boundary), per picture, "
    "then averaged, over the scored pictures: 2 views x 6 frames that neither avatar nor edit was learnt from; of "
    "`edits` over the 8 views x 6 frames that were edited, those that failed included",
    "gain_over_edits_db": "psnr of the method minus that of the edits",
    "gain_over_uv_mean_db": "over the best of four: the edits' mean colour per texel or mean change per texel, on the "
    "unedited avatar's mesh or on the mesh our first method learnt, over the unedited avatar's colours",
    "gain_over_unedited_db": "over the avatar as it was before any edit",
    "unit_correlation": "units that the tracker finds in the edited avatar's pictures (all views and frames of the "
    "drive, landmarks of its mesh with a detector's noise, nothing known of the person) against those that drove "
    "it: of units that move, by a standard deviation of 0.05 at least, all but gaze, pooled, each as its change from "
    "its mean: what stands still all through a film is face as much as expression, and tracks draw that line anew",
    "unit_correlation_raw": "the same of every unit but gaze and of the values as they are",
    "iou_lips": "row `regions`: the Gaussians that a region's true masks choose on the pictures that are edited, drawn "
    "in the scored ones, against the true masks there; likewise the other regions",
    "unit_slope": "of found on driven units; unit_correlation_unedited: the same of the unedited avatar's pictures",
}


def agreement_of_units(head: Head, found: np.ndarray, drive: np.ndarray) -> dict[str, float]:
    """How units [T,E] that were found follow those that drove, gaze left out; see NOTES."""
    columns = [index for index in range(len(head.expr_names)) if index not in head.gaze_units]
    x, y = drive[:, columns], found[:, columns]
    moving = x.std(0) >= MOVES
    changed, followed = ((part - part.mean(0))[:, moving].ravel() for part in (x, y))
    return {
        "unit_correlation": float(np.corrcoef(changed, followed)[0, 1]),
        "unit_slope": float((changed * followed).sum() / (changed * changed).sum()),
        "unit_rmse": float(np.sqrt(((changed - followed) ** 2).mean())),
        "unit_correlation_raw": float(np.corrcoef(x.ravel(), y.ravel())[0, 1]),
        "units": int(moving.sum()),
    }


def summary_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and worst over cases, by method."""
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["method"]] = row
    summary = {}
    for method in METHODS:
        figures: dict[str, list[float]] = {}
        for case in cases.values():
            if method not in case:
                continue
            own = case[method]
            gains = {
                "edits": case["edits"]["psnr"] if "edits" in case else None,
                "uv_mean": max((row["psnr"] for name, row in case.items() if name.startswith("uv")), default=None),
                "unedited": case["unedited"]["psnr"] if "unedited" in case else None,
            }  # fmt: skip
            for name, peer in gains.items():
                if peer is not None:
                    figures.setdefault(f"gain_over_{name}_db", []).append(own["psnr"] - peer)
            for name in ("unit_correlation", "unit_slope", "unit_correlation_raw"):
                if name in own:
                    figures.setdefault(name, []).append(own[name])
                    other = case.get("unedited", {}).get(name)
                    if other is not None:
                        figures.setdefault(f"{name}_unedited", []).append(other)
        summary[method] = {name: summarise(values, "high") for name, values in figures.items()}
    return summary
