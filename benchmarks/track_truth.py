"""How far tracks of studio captures are from the truth: vertices, units, landmarks, beside the mean head.

    python benchmarks/track_truth.py CAPTURE [CAPTURE ...] [--track FILE] [--hold-out SPEC] --json FILE

Tracks every capture (or judges the given track) and prints one row each. Vertex errors are over the face region
in millimetres: as they are for calibrated captures, after a similarity alignment per frame for single video.
The peer in the same run is the mean head, aligned alike. Gaze is the angle between the tracked and the true way from
an eyeball's middle to its iris, both eyes, after the same alignment of the face. `units` are correlations over the ten
units that vary most in truth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from harness import write_report

import emoga
from emoga.capture import Track, load_track, open_capture
from emoga.geometry import similarity_align
from emoga.head import Head, load_head

COUNT = 10
UNITS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")


def aligned_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean distance in mm of vertices [T,N,3] after one similarity alignment per frame."""
    distances = []
    for a, b in zip(found, truth, strict=True):
        scale, turn, shift = similarity_align(a, b)
        distances.append((scale * a @ turn.T + shift - b).norm(dim=-1).mean())
    return float(torch.stack(distances).mean() * 1e3)


def gaze_error(found: torch.Tensor, truth: torch.Tensor, head: Head) -> float:
    """Mean angle in degrees between the gazes of two heads [T,V,3], their faces aligned by a similarity per frame."""
    face, angles = head.regions["face"], []
    for a, b in zip(found, truth, strict=True):
        _, turn, _ = similarity_align(a[face], b[face])
        cosine = (gaze(a, head) @ turn.T * gaze(b, head)).sum(-1)
        angles.append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean())
    return float(torch.stack(angles).mean())


def gaze(vertices: torch.Tensor, head: Head) -> torch.Tensor:
    """Directions [2,3] in which the two eyes of a head [V,3] look."""
    irises = head.regions["irises"]
    eyes = head.regions["eyeballs"] | irises
    found = []
    for side in (head.template[:, 0] > 0, head.template[:, 0] < 0):
        found.append(vertices[irises & side].mean(0) - vertices[eyes & side].mean(0))
    return torch.nn.functional.normalize(torch.stack(found), dim=-1)


def largest_units(found: np.ndarray, truth: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Correlations of the COUNT units [T,E] that vary most in truth: mean, least, and whose that is."""
    chosen = np.argsort(-truth.var(0), kind="stable")[:COUNT]
    correlations = {names[i]: unit_figures(found[:, i], truth[:, i])["correlation"] for i in chosen}
    worst = min(correlations, key=lambda name: np.nan_to_num(correlations[name], nan=-1.0))
    return {
        "units_mean": round(float(np.mean(np.nan_to_num(list(correlations.values())))), 3),
        "units_least": correlations[worst],
        "units_worst": worst,
        "units": correlations,
    }


def unit_figures(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Correlation, slope and RMSE of one unit's track [T] against its truth."""
    if np.std(truth) < 1e-6 or np.std(found) < 1e-6:
        return {"correlation": float("nan"), "slope": float("nan"), "rmse": float(np.std(found - truth))}
    slope = np.polyfit(truth, found, 1)[0]
    return {
        "correlation": round(float(np.corrcoef(found, truth)[0, 1]), 3),
        "slope": round(float(slope), 3),
        "rmse": round(float(np.sqrt(np.mean((found - truth) ** 2))), 3),
    }


def film_and_track(capture: Path, output: Path, hold_out: list[str], preset: str) -> Track:
    """Track a capture; of a single camera only the pictures and landmarks are used, as of any video."""
    names = open_capture(capture).names
    if len(names) > 1:
        return emoga.track(capture, output, hold_out=hold_out, preset=preset, overlay=False)
    return emoga.track(
        capture / "images" / names[0], output, landmarks=capture / "landmarks" / f"{names[0]}.npz",
        hold_out=hold_out, preset=preset, overlay=False,
    )  # fmt: skip


def judge(track: Track, capture: Path, head: Head) -> dict[str, Any]:
    """One row: vertex errors and unit figures of a track against its capture's truth."""
    with h5py.File(capture / "truth_vertices.h5") as file:
        truth = torch.from_numpy(file["vertices"][()]).double()[track.frames]
    true_params = load_track(open_capture(capture).truth_track).params
    face = head.regions["face"]
    whole = head.vertices(track.params.to(dtype=torch.float64))
    gaze_degrees = gaze_error(whole, truth, head)
    found, truth = whole[:, face], truth[:, face]
    row: dict[str, Any] = {
        "case": capture.name,
        "calibrated": track.calibrated,
        "aligned_mm": round(aligned_error(found, truth), 3),
        "mean_head_mm": round(aligned_error(head.template[face].expand_as(truth), truth), 3),
        "gaze_degrees": round(gaze_degrees, 2),
        "landmarks_relative": track.provenance.get("landmarks", {}).get("mean_relative"),
        "seconds": track.provenance.get("seconds"),
    }
    if track.calibrated:
        row["absolute_mm"] = round(float((found - truth).norm(dim=-1).mean() * 1e3), 3)
    expr, true_expr = track.params.expr.double().numpy(), true_params.expr[track.frames].double().numpy()
    row |= largest_units(expr, true_expr, list(head.expr_names))
    for name in UNITS:
        unit = head.unit(name)
        figures = unit_figures(expr[:, unit], true_expr[:, unit])
        row |= {f"{name}_{key}": value for key, value in figures.items()}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--track", type=Path, help="judge this track instead of making one")
    parser.add_argument("--hold-out", action="append", default=[])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    head = load_head().to(dtype=torch.float64)
    rows = []
    for capture in options.captures:
        begun = time.perf_counter()
        if options.track:
            track = load_track(options.track)
        else:
            with tempfile.TemporaryDirectory() as folder:
                track = film_and_track(capture, Path(folder) / "track.h5", options.hold_out, options.preset)
        rows.append(judge(track, capture, head))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        rows[-1]["wall_seconds"] = round(time.perf_counter() - begun, 1)
    write_report(rows, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
