"""ARKit blendshapes over time as CSV, as Live Link Face and many other programs write them.

One row per frame, columns by name: the 52 units in any case and order, optionally
Timecode (HH:MM:SS:FF.fraction), HeadYaw/Pitch/Roll and Left/RightEyeYaw/Pitch/Roll in radians.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError
from emoga.files import require_file
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams
from emoga.motion.motion import Motion
from emoga.motion.resampling import interpolate_params

MAX_ROWS = 1_000_000
MAX_CSV_BYTES = 2 * 2**30
DEFAULT_FPS = 60.0
STANDARD_RATES = (24, 25, 30, 48, 50, 60, 100, 120)
TIMECODE = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,3}(?:\.\d*)?)")
MINIMUM_UNITS = 3
ANGLES = {f"{part}{turn}" for part in ("head", "lefteye", "righteye") for turn in ("yaw", "pitch", "roll")}


@dataclass
class _Table:
    """values [T,columns] float64, column index by lower-case name, seconds [T] or None, fps or None."""

    values: np.ndarray
    columns: dict[str, int]
    timecodes: list[str]

    def column(self, name: str) -> np.ndarray | None:
        index = self.columns.get(name.lower())
        return None if index is None else self.values[:, index]


def read_arkit_csv(path: str | Path, head: Head, fps: float | None = None) -> Motion:
    """Motion for `head` from a CSV of ARKit units.

    Rows without a face are skipped, rows the phone dropped are filled in by interpolation along the
    timecode. Raises InputError when columns are missing or a value is not a number.
    """
    path = require_file(path, "an ARKit or Live Link Face CSV")
    if "jawOpen" not in head.expr_names:
        raise InputError(
            f"{path}: holds ARKit units, the {head.name} head has none; take an avatar with the open head"
        )
    table = _read_table(path, head)
    seconds, rate = _times(path, table.timecodes, fps)
    params = _params(table, head)
    if seconds is not None:
        params = _resampled(params, seconds, rate)
    return Motion(head.name, head.version, head.checksum, params, rate)


def _read_table(path: Path, head: Head) -> _Table:
    if path.stat().st_size > MAX_CSV_BYTES:
        raise InputError(f"{path}: larger than {MAX_CSV_BYTES} bytes; refused")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream)
            header = [name.strip().lower() for name in next(rows, [])]
            known = {name.lower() for name in head.expr_names}
            if len(known & set(header)) < MINIMUM_UNITS:
                raise InputError(
                    f"{path}: the first line names no ARKit units such as JawOpen or EyeBlinkLeft; "
                    "expected a CSV with a header, one row per frame"
                )
            return _parse_rows(path, header, known, rows)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text; expected an ARKit CSV") from error
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV ({error})") from error


def _parse_rows(path: Path, header: list[str], known: set[str], rows) -> _Table:
    wanted = {name: index for index, name in enumerate(header) if name in known | ANGLES}
    time_column = header.index("timecode") if "timecode" in header else None
    values: list[list[float]] = []
    timecodes: list[str] = []
    for number, row in enumerate(rows, start=2):
        if len(values) >= MAX_ROWS:
            raise InputError(f"{path}: more than {MAX_ROWS} rows; cut it")
        # Live Link Face writes rows without values while it sees no face.
        if len(row) <= max(wanted.values()) or not any(row[index].strip() for index in wanted.values()):
            continue
        try:
            values.append([float(row[index]) for index in wanted.values()])
        except ValueError:
            raise InputError(f"{path}: line {number} holds something that is not a number") from None
        timecodes.append(row[time_column] if time_column is not None else "")
    table = np.array(values, np.float64)
    if not len(table):
        raise InputError(f"{path}: holds no rows with values; was a face in sight?")
    if not np.isfinite(table).all():
        line = int(np.argmin(np.isfinite(table).all(1))) + 2
        raise InputError(f"{path}: near line {line} a value is NaN or infinite")
    return _Table(table, {name: index for index, name in enumerate(wanted)}, timecodes)


def _times(path: Path, timecodes: list[str], fps: float | None) -> tuple[np.ndarray | None, float]:
    """Seconds of each row, or None when rows are simply successive; and the frame rate to sample at."""
    matches = [TIMECODE.fullmatch(text.strip()) for text in timecodes]
    if len(matches) < 2 or not all(matches):
        return None, fps or DEFAULT_FPS
    parts = np.array([[float(text) for text in match.groups()] for match in matches])  # type: ignore[union-attr]
    rate = fps or _timecode_rate(parts)
    seconds = parts[:, 0] * 3600 + parts[:, 1] * 60 + parts[:, 2] + parts[:, 3] / rate
    seconds = seconds + 86400 * np.cumsum(np.concatenate([[0], np.diff(seconds) < -43200]))
    if (np.diff(seconds) <= 0).any():
        return None, rate
    if seconds[-1] - seconds[0] > MAX_ROWS / rate:
        raise InputError(f"{path}: its timecodes span {seconds[-1] - seconds[0]:.0f} s; cut it")
    return seconds, rate


def _timecode_rate(parts: np.ndarray) -> float:
    """The smallest standard rate that has room for every frame number seen over at least one full second."""
    whole = (parts[:, :3] != parts[0, :3]).any(1).any()
    if not whole:
        return DEFAULT_FPS
    largest = int(parts[:, 3].max())
    return float(next((rate for rate in STANDARD_RATES if rate > largest), STANDARD_RATES[-1]))


def _params(table: _Table, head: Head) -> HeadParams:
    count = len(table.values)
    params = HeadParams.zeros(head, count)
    gaze_units = set(head.gaze_units)
    expr = np.zeros((count, len(head.expr_names)), np.float32)
    for index, name in enumerate(head.expr_names):
        column = table.column(name)
        if column is not None:
            expr[:, index] = np.clip(column, 0, 1)
    params.expr = torch.from_numpy(expr)
    params.eyes = _gaze(table, head, params.expr)
    params.expr[:, sorted(gaze_units)] = 0
    params.rotation = _rotation(table, count)
    return params


def _gaze(table: _Table, head: Head, expr: torch.Tensor) -> torch.Tensor:
    """Eyeball rotations [T,6]: from the eye columns, else from the eyeLook units.

    Programs disagree on the signs of the eye columns; the eyeLook units beside them settle it.
    """
    from_units = head.units_to_gaze(expr)
    gaze = from_units.clone()
    for side, name in enumerate(("lefteye", "righteye")):
        pitch, yaw = table.column(f"{name}pitch"), table.column(f"{name}yaw")
        if pitch is None or yaw is None:
            continue
        for axis, column in ((3 * side, pitch), (3 * side + 1, yaw)):
            angles = torch.from_numpy(column.astype(np.float32))
            agreement = float((angles * from_units[:, axis]).sum())
            gaze[:, axis] = -angles if agreement < 0 else angles
    return gaze


def _rotation(table: _Table, count: int) -> torch.Tensor:
    """Head rotation [T,3]: yaw turns to the subject's left, pitch lifts the nose, roll lifts the left ear."""
    angles = [table.column(f"head{turn}") for turn in ("yaw", "pitch", "roll")]
    zero = np.zeros(count)
    yaw, pitch, roll = (torch.from_numpy(zero if angle is None else angle) for angle in angles)
    still = torch.zeros_like(yaw)
    turns = [
        axis_angle_to_matrix(torch.stack(axis, -1))
        for axis in ((still, yaw, still), (-pitch, still, still), (still, still, roll))
    ]
    return matrix_to_axis_angle(turns[0] @ turns[1] @ turns[2]).float()


def _resampled(params: HeadParams, seconds: np.ndarray, fps: float) -> HeadParams:
    """The rows at even steps of 1/fps."""
    steps = np.arange(round((seconds[-1] - seconds[0]) * fps) + 1) / fps + seconds[0]
    if len(steps) == len(seconds) and np.abs(steps - seconds).max() < 0.25 / fps:
        return params
    return interpolate_params(params, np.interp(steps, seconds, np.arange(len(seconds))))
