"""Write a capture: film the plan, then the landmarks and the truth, then the index that opens it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import HeldOut, Track, save_landmarks, save_track, write_capture_index
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.geometry import vertex_normals
from emoga.hdf5 import new_hdf5, write_array
from emoga.head import Head, load_head
from emoga.head.storage import write_head_identity
from emoga.images import read_image_uint8
from emoga.progress import Note, Reporter, Stage, Step, silent
from emoga.studio.detector import detected_landmarks, exact_landmarks, facing, smooth_normals
from emoga.studio.filming import film, is_missing, part_path, picture_paths
from emoga.studio.mitsuba_scene import mitsuba
from emoga.studio.performer import make_performer
from emoga.studio.plans import Plan, usable_cores

FOREHEAD, CHIN = 10, 152


def run_plan(
    plan: Plan,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
    workers: int | None = None,
) -> Path:
    """Film `plan` into the folder `output` and return it; `resume` goes on with, or keeps, the same capture.

    Raises InputError when the folder holds something else, MissingComponent without Mitsuba.
    """
    mitsuba()
    output = Path(output)
    if not _prepare(plan, output, overwrite, resume):
        return output
    count = len(plan.filmed_frames)
    todo = [index for index in range(count) if is_missing(plan, output, index)]
    if todo:
        minutes = plan.seconds(workers) * len(todo) / count / 60
        report(
            Note(f"studio: {len(todo)} of {count} frames to film, about {minutes:.1f} minutes on idle cores")
        )
        report(Stage("studio", count))
        for done, _ in enumerate(film(plan, output, todo, workers or usable_cores()), start=1):
            report(Step(count - len(todo) + done))
    finish(plan, output)
    return output


def _prepare(plan: Plan, output: Path, overwrite: bool, resume: bool) -> bool:
    """Make the folder ready; False when `resume` finds the very same capture complete."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, the output must be a folder; choose another name")
    plan_file = output / "studio.json"
    text = json.dumps(plan.record(), indent=1)
    same = plan_file.is_file() and plan_file.read_text() == text
    if resume and same:
        return not (output / "capture.json").exists()
    if output.is_dir() and any(output.iterdir()):
        if not overwrite:
            raise InputError(
                f"{output}: is not empty; pass --overwrite to replace it"
                + (", it holds another capture" if resume else " or --resume to go on with the same capture")
            )
        _clear(output)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_output(plan_file, overwrite=True) as temporary:
        temporary.write_text(text)
    return True


def _clear(output: Path) -> None:
    """Remove what a capture consists of, and nothing else."""
    for name in ("capture.json", "truth.track.h5", "truth_vertices.h5", "studio.json"):
        (output / name).unlink(missing_ok=True)
    for folder in ("images", "masks", "head_masks", "landmarks", "landmarks_exact", "parts"):
        for pattern in ("*.png", "*.npz"):
            for file in (output / folder).rglob(pattern):
                file.unlink()


def finish(plan: Plan, output: Path) -> None:
    """Write landmarks and truth of a completely filmed plan, and the index last."""
    head, cameras = load_head(), plan.cameras()
    vertices, floor = _gather_parts(plan, output)
    count = len(plan.filmed_frames)
    held_out = HeldOut(
        tuple(at for at, view in enumerate(plan.filmed_views) if view in plan.held_out_views),
        tuple(at for at, frame in enumerate(plan.filmed_frames) if frame in plan.held_out_frames),
    )
    _write_landmarks(plan, output, head, vertices, cameras)
    with (
        atomic_output(output / "truth_vertices.h5", overwrite=True) as temporary,
        new_hdf5(temporary, "truth_vertices") as file,
    ):
        write_array(file, "vertices", vertices)
        write_head_identity(file, head.name, head.version, head.checksum)
    performer, performance = (
        make_performer(plan.performer, plan.in_model, change=plan.change),
        plan.performance(),
    )
    track = Track(
        head.name, head.version, head.checksum, performer.params(performance), cameras,
        [output / "images" / camera.name for camera in cameras], np.arange(count), plan.fps,
        _stack(plan, output, "masks"), _stack(plan, output, "head_masks"),
        held_out=held_out,
        provenance={"command": "emoga studio", **plan.record()},
    )  # fmt: skip
    save_track(track, output / "truth.track.h5", overwrite=True)
    info = {"source": "emoga studio", "synthetic": True, "noise_floor_psnr": floor, **plan.record()}
    write_capture_index(output, cameras, count, plan.fps, info)


def _gather_parts(plan: Plan, output: Path) -> tuple[np.ndarray, dict[str, float | None]]:
    """True vertices [T,V,3] float32, and the noise floor in dB of training and held-out pictures."""
    parts, noise = [], {"training": [], "held_out": []}
    for index, frame in enumerate(plan.filmed_frames):
        with np.load(part_path(output, index), allow_pickle=False) as archive:
            parts.append(archive["vertices"])
            for view, variance in json.loads(str(archive["floor"])).items():
                held = plan.samples_at(int(view), frame) > plan.samples
                noise["held_out" if held else "training"].append(variance)
    floor = {
        kind: float(-10 * np.log10(max(np.mean(values), 1e-10))) if values else None
        for kind, values in noise.items()
    }
    return np.stack(parts), floor


def _stack(plan: Plan, output: Path, kind: str) -> np.ndarray:
    """Masks [C,T,H,W] uint8."""

    def picture(view: int, index: int) -> np.ndarray:
        return read_image_uint8(picture_paths(output, view, index)[kind], "L")

    frames = range(len(plan.filmed_frames))
    return np.stack([[picture(view, index) for index in frames] for view in plan.filmed_views])


def _write_landmarks(
    plan: Plan, output: Path, head: Head, vertices: np.ndarray, cameras: list[Camera]
) -> None:
    embedding = head.landmarks["mediapipe478"]
    posed = torch.from_numpy(vertices).double()
    points = embedding.points(posed).numpy()
    template = embedding.points(head.template.double()).numpy()
    normals = smooth_normals(embedding.points(vertex_normals(posed, head.faces)).numpy(), template)
    exact = exact_landmarks(points, cameras)
    cosines = np.stack([facing(points, normals, camera) for camera in cameras])
    heights = np.median(np.linalg.norm(exact[:, :, FOREHEAD] - exact[:, :, CHIN], axis=-1), axis=1)
    noisy = detected_landmarks(exact, cosines, template, float(heights.max()), plan.seed)
    valid = np.ones(len(vertices), bool)
    for folder, what, views in (
        ("landmarks_exact", "exact", exact),
        ("landmarks", "detector-like noise", noisy),
    ):
        for camera, values in zip(cameras, views, strict=True):
            save_landmarks(
                output / folder / f"{camera.name}.npz", values, valid, camera.width, camera.height, plan.fps,
                source=f"emoga studio, {what}", overwrite=True,
            )  # fmt: skip


def capturer(make_plan: Callable[..., Plan]) -> Callable[..., Path]:
    """A function that films what `make_plan` plans; its arguments plus those of `run_plan`."""

    def capture(
        output: str | Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        report: Reporter = silent,
        workers: int | None = None,
        **choices,
    ) -> Path:
        return run_plan(make_plan(**choices), output, overwrite, resume, report, workers)

    capture.__doc__ = (
        f"Film into the folder `output` and return it; other arguments as `{make_plan.__name__}`."
    )
    return capture
