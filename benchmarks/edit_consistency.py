"""Do views edited together agree? Key-view attention with injection against editing each view by itself.

    python tools/train_small_editor.py -o small_editor
    python benchmarks/edit_consistency.py --editor small_editor --json FILE --cache DIR

A studio performer whom the editor never saw is filmed, tracked and fitted as `emotion_truth.py` does it; views of the
fitted avatar are edited from the same noise. Wherever two views truly show the same point of the performer's own mesh,
their edits are compared: edited less what the autoencoder alone makes of the original, so that neither light nor its
blur counts.

disagreement: mean absolute difference of two views' edits there, over their mean size there; strength: mean absolute
edit in the head; sharpness: mean gradient of the edited pictures in the head, and where the originals are steepest,
at lids, lips, outlines: there no pattern of the edit's own counts. Each is a ratio to editing alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import h5py
import numpy as np
import torch
from emotion_films import Studio
from harness import cache_folder, print_figures, write_report

from emoga.camera import Camera, stack_cameras
from emoga.editing.correspondence import rendered_scene
from emoga.editing.moments import moments_of_track, square_views
from emoga.guidance import open_editor
from emoga.guidance.view_editing import ViewEditor, ViewRequest, ViewSettings
from emoga.head import load_head
from emoga.images import from_uint8, to_uint8, write_png
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.surface_pictures import look_up
from emoga.render import rasterize_mesh

PROMPTS = ("paint the face", "paint patches on the face", "turn him into a marble statue")
VIEWS, FRAME = (1, 3, 4, 6, 8, 9, 11, 13), 18
HIDDEN, FACING = 0.003, 0.3
EDGES = 0.2  # share of the head's pixels
WAYS: dict[str, ViewSettings] = {
    "alone": ViewSettings(correspondence=None),
    "attention": ViewSettings("depth", inject=0, agree=0),
    "attention, epipolar injection": ViewSettings("epipolar"),
    "attention, depth injection": ViewSettings("depth", agree=0),
    "that, blends left pale": ViewSettings("depth", agree=0, contrast=1),
    "shared latents": ViewSettings("depth", attend=False),
    "all": ViewSettings("depth"),
}
# What is compared, by the head's regions: nothing that hair covers.
REGIONS = ("face", "cheeks", "nose", "forehead", "jaw", "lips", "ears", "brows", "eyelids", "neck")


@dataclass(frozen=True)
class TrueSurface:
    """Points of the performer's mesh and which of the views see them: points [P,3], seen [V,P]."""

    points: np.ndarray
    seen: np.ndarray


def true_surface(film: Path, frame: int, cameras: list[Camera]) -> TrueSurface:
    """Vertices of the skin as filmed, and in which views they are in sight and turned to the camera."""
    head = load_head()
    with h5py.File(film / "truth_vertices.h5") as file:
        vertices = torch.from_numpy(file["vertices"][frame]).float()
    skin = np.zeros(len(vertices), bool)
    for name in REGIONS:
        skin |= head.regions[name].numpy() if name in head.regions else False
    faces = head.faces.numpy()
    places = vertices.numpy()
    normals = np.zeros_like(places)
    corners = places[faces]
    np.add.at(normals, faces, np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, None])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    seen = []
    for camera in cameras:
        fine = camera.resized(512, 512)
        viewmats, Ks = stack_cameras([fine])
        depth = rasterize_mesh(vertices, head.faces, viewmats, Ks, 512, 512).depth[0].numpy()
        at, z = fine.project(places)
        inside = ((at > 1) & (at < 511)).all(1)
        x, y = np.clip(at.astype(int), 0, 511).T
        towards = camera.position - places
        facing = (towards * normals).sum(1) / np.linalg.norm(towards, axis=1) > FACING
        seen.append(skin & inside & facing & (z < depth[y, x] + HIDDEN))
    return TrueSurface(places, np.stack(seen))


def disagreement(edits: np.ndarray, cameras: list[Camera], truth: TrueSurface) -> tuple[float, float]:
    """Mean absolute difference of edits [V,S,S,3] at the same points, and their mean size there."""
    values = np.stack(
        [look_up(edit, camera.project(truth.points)[0]) for edit, camera in zip(edits, cameras, strict=True)]
    )
    apart, size, count = 0.0, 0.0, 0
    for one, other in combinations(range(len(edits)), 2):
        both = truth.seen[one] & truth.seen[other]
        apart += float(np.abs(values[one] - values[other])[both].mean(-1).sum())
        size += float(0.5 * (np.abs(values[one]) + np.abs(values[other]))[both].mean(-1).sum())
        count += int(both.sum())
    return apart / count, size / count


def gradients(pictures: np.ndarray) -> np.ndarray:
    """[V,S-1,S-1]: lengths of the gradients of pictures [V,S,S,3], mean over colours."""
    across, down = np.diff(pictures, axis=2)[:, :-1], np.diff(pictures, axis=1)[:, :, :-1]
    return np.sqrt(across**2 + down**2).mean(-1)


def own_edges(pictures: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """[V,S-1,S-1] bool: where pictures have the steepest fifth of their gradients inside."""
    steep, inside = gradients(pictures), inside[:, :-1, :-1]
    return inside & (steep > np.quantile(steep[inside], 1 - EDGES))


def rows_of(
    studio: Studio, film: Path, editor: Path, options: argparse.Namespace, sheets: Path | None
) -> Iterator[dict[str, Any]]:
    """One row per prompt, seed and way."""
    avatar, track = studio.person()
    opened = open_editor(
        str(editor), device="cpu", steps=options.steps, text_guidance=options.guidance[0],
        image_guidance=options.guidance[1],
    )  # fmt: skip
    renderer = AvatarRenderer(avatar)
    cameras = square_views(renderer, moments_of_track(avatar, track, VIEWS, (FRAME,)), FRAME, opened.size)
    pose = renderer.pose(track.params, FRAME, FRAME + 1)[0]
    pictures, scene = rendered_scene(renderer, pose, cameras)
    pictures, inside = to_uint8(pictures), scene.depth > 0
    truth = true_surface(film, FRAME, cameras)
    plain = from_uint8(ViewEditor(opened).round_trip(pictures))
    edges = own_edges(plain, inside)
    for prompt, seed in product(options.prompts, options.seeds):
        shown = [pictures]
        for way, settings in WAYS.items():
            edited = ViewEditor(opened, settings).edit(ViewRequest(pictures, scene, prompt, seed=seed))
            shown.append(edited)
            edits, steep = from_uint8(edited) - plain, gradients(from_uint8(edited))
            apart, size = disagreement(edits, cameras, truth)
            yield {
                "case": f"{prompt}, {seed}, {way}",
                "prompt": prompt,
                "seed": seed,
                "way": way,
                "apart": round(apart, 5),
                "size": round(size, 5),
                "disagreement": round(apart / max(size, 1e-9), 4),
                "strength": round(float(np.abs(edits)[inside].mean()), 5),
                "sharpness": round(float(steep[inside[:, :-1, :-1]].mean()), 5),
                "sharpness_at_edges": round(float(steep[edges].mean()), 5),
            }
        if sheets is not None:
            sheet = np.concatenate([np.concatenate(list(row), 1) for row in shown], 0)
            write_png(sheets / f"{prompt.replace(' ', '_')}_{seed}.png", sheet, overwrite=True)


def summary_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each way: mean ratios to editing alone."""
    alone = {(row["prompt"], row["seed"]): row for row in rows if row["way"] == "alone"}
    found = {}
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        found[way] = {
            name: round(
                float(np.mean([row[name] / alone[row["prompt"], row["seed"]][name] for row in own])), 4
            )
            for name in ("apart", "disagreement", "strength", "sharpness", "sharpness_at_edges")
        }
    return found


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--editor", type=Path, required=True, help="folder that train_small_editor.py made")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, help="folder to keep film, track and avatar in")
    parser.add_argument("--performer", type=int, default=1)
    parser.add_argument("--size", type=int, default=256, help="pixels on a side of the film")
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, nargs=2, default=(2.0, 1.0), help="by text and by picture")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    sheets = None if options.json is None else options.json.with_suffix("")
    with cache_folder(options.cache) as cache:
        studio = Studio(cache, options.performer, options.size)
        studio.person()
        rows = []
        for row in rows_of(studio, cache / f"p{options.performer}.neutral", options.editor, options, sheets):
            rows.append(row)
            print_figures(row)
    summary = summary_of(rows)
    for way, figures in summary.items():
        print(f"{way:<10} " + "  ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
    write_report(rows, torch.get_num_threads(), options.json, summary=summary, steps=options.steps,
                 guidance=list(options.guidance), seeds=options.seeds, views=list(VIEWS), frame=FRAME)  # fmt: skip


if __name__ == "__main__":
    main()
