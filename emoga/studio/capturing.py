"""Write captures of a performer: resumable picture by picture, then the truth, then the index that opens it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import HeldOut, Track, parse_hold_out, save_landmarks, save_track, write_capture_index
from emoga.errors import EnvironmentFailure, InputError
from emoga.files import atomic_output, new_hdf5, write_array, write_text
from emoga.geometry import axis_angle_to_matrix, vertex_normals
from emoga.head import load_head
from emoga.images import from_uint8, read_image_uint8, to_uint8, write_png
from emoga.progress import Note, Reporter, Step, silent
from emoga.progress import Stage as ProgressStage
from emoga.studio.acting import Performance, perform
from emoga.studio.detector import detected_landmarks, exact_landmarks, facing
from emoga.studio.mitsuba_scene import mitsuba, use_threads
from emoga.studio.performer import Performer, make_performer
from emoga.studio.rig import rig_cameras, single_camera
from emoga.studio.stage import Picture, Stage
from emoga.studio.wardrobe import Wardrobe, dress

HELD_OUT_FACTOR = 4
MAX_CRASHES = 20
FLOOR_PICTURES = 3  # of each kind are rendered a second time to measure the noise
SAMPLES_PER_SECOND = 0.65e6  # pixels x samples that one core traces
SCENE_SECONDS = 1.1  # to build the scene of one frame
FLUSH = {
    "happy": 0.35,
    "sad": 0.15,
    "angry": 0.9,
    "surprised": 0.0,
    "fear": -0.6,
    "disgust": -0.25,
    "contempt": 0.1,
}


@dataclass(frozen=True)
class Plan:
    """Everything that determines a capture; two equal plans give the same files."""

    kind: str
    performer: int
    in_model: bool
    emotion: str | None
    intensity: float
    seed: int
    size: int
    views: int
    frames: int
    fps: float
    duration: float
    head_motion: float
    samples: int
    max_depth: int
    texture: int
    held_out_views: tuple[int, ...]
    held_out_frames: tuple[int, ...]

    def cameras(self) -> list[Camera]:
        """The cameras that film."""
        return [single_camera(self.size)] if self.kind == "single" else rig_cameras(self.views, self.size)

    def samples_at(self, view: int, frame: int) -> int:
        """Samples per pixel of one picture: held-out ones get four times as many."""
        held = view in self.held_out_views or frame in self.held_out_frames
        return self.samples * (HELD_OUT_FACTOR if held else 1)

    def performance(self) -> Performance:
        """What the performer does."""
        return perform(
            load_head(),
            self.frames,
            self.seed,
            self.fps,
            self.emotion,
            self.intensity,
            self.head_motion,
            self.duration,
        )


def estimate(plan: Plan, cores: int | None = None) -> float:
    """Seconds a capture takes on `cores` idle cores."""
    cores = cores or usable_cores()
    pixels = plan.size**2 * sum(plan.samples_at(v, f) for v in range(plan.views) for f in range(plan.frames))
    work = pixels / SAMPLES_PER_SECOND + plan.frames * SCENE_SECONDS
    return work / cores + 12


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_plan(
    plan: Plan,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
    workers: int | None = None,
) -> Path:
    """Film `plan` into the folder `output` and return it.

    Raises InputError when the folder holds something else, MissingComponent without Mitsuba.
    """
    mitsuba()
    output = Path(output)
    if not _prepare(plan, output, overwrite, resume):
        return output
    todo = [frame for frame in range(plan.frames) if _missing(plan, output, frame)]
    if todo:
        report(Note(f"studio: {len(todo)} of {plan.frames} frames to film, about "
                    f"{estimate(plan, workers) * len(todo) / plan.frames / 60:.1f} minutes"))  # fmt: skip
        report(ProgressStage("studio", plan.frames))
        done = plan.frames - len(todo)
        for _ in _film(plan, output, todo, workers or usable_cores()):
            done += 1
            report(Step(done))
    _finish(plan, output)
    return output


def _prepare(plan: Plan, output: Path, overwrite: bool, resume: bool) -> bool:
    """Make the folder ready; False when the very same capture is already complete and `resume` asks no more."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, the output must be a folder; choose another name")
    plan_file = output / "studio.json"
    text = json.dumps(asdict(plan), indent=1)
    same = plan_file.is_file() and plan_file.read_text() == text
    if output.is_dir() and any(output.iterdir()):
        if not (overwrite or (resume and same)):
            why = "holds another capture" if resume else "is not empty"
            raise InputError(
                f"{output}: {why}; pass --overwrite to replace it or --resume to go on with the same"
            )
        if resume and same and (output / "capture.json").exists():
            return False
        if not same or not resume:
            _clear(output)
    output.mkdir(parents=True, exist_ok=True)
    with atomic_output(plan_file, overwrite=True) as temporary:
        temporary.write_text(text)
    return True


def _clear(output: Path) -> None:
    """Remove what a capture consists of, and nothing else."""
    (output / "capture.json").unlink(missing_ok=True)
    for name in ("truth.track.h5", "truth_vertices.h5", "studio.json"):
        (output / name).unlink(missing_ok=True)
    for folder in ("images", "masks", "head_masks", "landmarks", "landmarks_exact", "parts"):
        for pattern in ("*.png", "*.npz", "*.npy", "*.json"):
            for file in (output / folder).rglob(pattern):
                file.unlink()


def _paths(plan: Plan, output: Path, view: int, frame: int) -> dict[str, Path]:
    camera = f"cam_{view:02d}"
    return {kind: output / kind / camera / f"{frame:06d}.png" for kind in ("images", "masks", "head_masks")}


def _missing(plan: Plan, output: Path, frame: int) -> bool:
    files = [path for view in range(plan.views) for path in _paths(plan, output, view, frame).values()]
    return not all(path.exists() for path in (*files, _part(output, frame)))


def _part(output: Path, frame: int) -> Path:
    return output / "parts" / f"{frame:06d}.npz"


def _film(plan: Plan, output: Path, frames: list[int], workers: int) -> Iterator[int]:
    """Render frames, each yielded when done; several processes of one thread beat one of several threads.

    Mitsuba's curves crash a process once in a great many rays; the frame is then rendered again.
    """
    wardrobe = dress(make_performer(plan.performer, plan.in_model), plan.texture)
    crashes = 0
    while frames:
        try:
            yield from _film_once(plan, output, frames, min(workers, len(frames)), wardrobe)
            return
        except BrokenProcessPool as error:
            crashes += 1
            frames = [frame for frame in frames if _missing(plan, output, frame)]
            if crashes > MAX_CRASHES:
                raise EnvironmentFailure(
                    "studio: the renderer keeps crashing; out of memory? use fewer workers"
                ) from error


def _film_once(
    plan: Plan, output: Path, frames: list[int], workers: int, wardrobe: Wardrobe
) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan, wardrobe))
    try:
        for future in as_completed([pool.submit(_film_frame, output, frame) for frame in frames]):
            yield future.result()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What a process keeps between frames."""

    plan: Plan
    performance: Performance
    performer: Performer
    stage: Stage


def _start_worker(plan: Plan, wardrobe: Wardrobe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    torch.set_num_threads(1)
    use_threads(1)
    performer = make_performer(plan.performer, plan.in_model)
    flush = FLUSH.get(plan.emotion or "", 0.0) * plan.intensity
    _Worker.plan, _Worker.performer, _Worker.performance = plan, performer, plan.performance()
    _Worker.stage = Stage(performer, wardrobe, flush, plan.max_depth)


def _film_frame(output: Path, index: int) -> int:
    """Render every missing picture of one frame; the part file with the truth comes last."""
    plan, stage, performance = _Worker.plan, _Worker.stage, _Worker.performance
    one = performance.select([index])
    vertices = _Worker.performer.vertices(one)[0]
    frame = stage.frame(vertices, one.expr[0].double().numpy(), bust_motion(one))
    floors = {}
    for view, camera in enumerate(plan.cameras()):
        paths = _paths(plan, output, view, index)
        samples, seed = plan.samples_at(view, index), _seed(plan, view, index)
        twice = (view, index) in floor_pictures(plan)
        if all(path.exists() for path in paths.values()) and not twice:
            continue
        picture = stage.take(frame, camera, samples, seed)
        if twice:
            floors[f"{view}"] = _noise(picture, stage.take(frame, camera, samples, seed + 500_000))
        write_png(paths["masks"], picture.alpha)
        write_png(paths["head_masks"], picture.head)
        write_png(paths["images"], picture.image)
    part = _part(output, index)
    with atomic_output(part, overwrite=True) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, vertices=frame.truth.astype(np.float32), floor=json.dumps(floors))
    return index


def _seed(plan: Plan, view: int, frame: int) -> int:
    return (plan.seed * 7_919 + view * 613 + frame * 17) % 400_000


def floor_pictures(plan: Plan) -> list[tuple[int, int]]:
    """The pictures that are rendered twice: some that train and some that are held out."""
    everything = [(view, frame) for view in range(plan.views) for frame in range(plan.frames)]
    chosen = []
    for held in (False, True):
        kind = [at for at in everything if (plan.samples_at(*at) > plan.samples) == held]
        step = max(len(kind) // FLOOR_PICTURES, 1)
        chosen += kind[step // 2 :: step][:FLOOR_PICTURES]
    return chosen


def _noise(first: Picture, second: Picture) -> float:
    """Variance of one picture's noise in the head, from two: half of their mean squared difference."""
    weight = (first.head > 0.5).astype(float)
    difference = from_uint8(to_uint8(first.image)) - from_uint8(to_uint8(second.image))
    return float(((difference**2).mean(-1) * weight).sum() / max(weight.sum(), 1) / 2)


def bust_motion(one: Performance) -> np.ndarray:
    """Rigid motion [3,4] of the shoulders in the first frame."""
    turn = axis_angle_to_matrix(one.rotation[0].double())
    return torch.cat([turn, one.translation[0].double()[:, None]], 1).numpy()


def _finish(plan: Plan, output: Path) -> None:
    """Write landmarks and truth of a completely filmed plan, and the index last."""
    head, cameras = load_head(), plan.cameras()
    performer = make_performer(plan.performer, plan.in_model)
    performance = plan.performance()
    parts = []
    floors: dict[str, list[float]] = {"training": [], "held_out": []}
    for frame in range(plan.frames):
        with np.load(_part(output, frame), allow_pickle=False) as archive:
            parts.append(archive["vertices"])
            for view, noise in json.loads(str(archive["floor"])).items():
                held = plan.samples_at(int(view), frame) > plan.samples
                floors["held_out" if held else "training"].append(noise)
    vertices = np.stack(parts)
    _write_landmarks(plan, output, vertices, cameras)
    truth = output / "truth_vertices.h5"
    with atomic_output(truth, overwrite=True) as temporary, new_hdf5(temporary, "truth_vertices") as file:
        write_array(file, "vertices", vertices)
        write_text(file, "head", head.name)
        write_text(file, "head_version", head.version)
    held_out = HeldOut(plan.held_out_views, plan.held_out_frames)
    media = [output / "images" / camera.name for camera in cameras]
    # Params are never overwritten by what the model cannot say: the vertices file is the truth out of model.
    track = Track(
        head.name, head.version, head.checksum, performer.params(performance), cameras, media,
        np.arange(plan.frames), plan.fps, *_read_masks(plan, output), held_out=held_out,
        provenance={"command": "emoga studio", **asdict(plan)},
    )  # fmt: skip
    save_track(track, output / "truth.track.h5", overwrite=True)
    floor = {kind: _psnr(noise) for kind, noise in floors.items()}
    info = {"source": "emoga studio", "synthetic": True, "noise_floor_psnr": floor, **asdict(plan)}
    write_capture_index(output, cameras, plan.frames, plan.fps, info)


def _psnr(noise: list[float]) -> float | None:
    return None if not noise else float(-10 * np.log10(max(np.mean(noise), 1e-10)))


def _read_masks(plan: Plan, output: Path) -> tuple[np.ndarray, np.ndarray]:
    stacks = []
    for kind in ("masks", "head_masks"):
        stacks.append(
            np.stack(
                [
                    np.stack(
                        [
                            read_image_uint8(_paths(plan, output, view, frame)[kind], "L")
                            for frame in range(plan.frames)
                        ]
                    )
                    for view in range(plan.views)
                ]
            )
        )
    return stacks[0], stacks[1]


def _write_landmarks(plan: Plan, output: Path, vertices: np.ndarray, cameras: list[Camera]) -> None:
    head = load_head()
    embedding = head.landmarks["mediapipe478"]
    posed = torch.from_numpy(vertices).double()
    points = embedding.points(posed).numpy()
    normals = embedding.points(vertex_normals(posed, head.faces)).numpy()
    exact = exact_landmarks(points, cameras)
    cosines = np.stack([facing(points, normals, camera) for camera in cameras])
    template = embedding.points(head.template.double()).numpy()
    heights = np.median(np.linalg.norm(exact[:, :, 10] - exact[:, :, 152], axis=-1), axis=1)
    noisy = detected_landmarks(exact, cosines, template, np.full(len(cameras), heights.max()), plan.seed)
    valid = np.ones(plan.frames, bool)
    for folder, all_views in (("landmarks_exact", exact), ("landmarks", noisy)):
        kind = "exact" if folder.endswith("exact") else "detector-like noise"
        for camera, values in zip(cameras, all_views, strict=True):
            save_landmarks(
                output / folder / f"{camera.name}.npz", values, valid, camera.width, camera.height, plan.fps,
                source=f"emoga studio, {kind}", overwrite=True,
            )  # fmt: skip


def capture_rig(
    output: str | Path,
    performer: int = 0,
    in_model: bool = False,
    emotion: str | None = None,
    intensity: float = 1.0,
    cameras: int = 16,
    frames: int = 24,
    size: int = 512,
    seed: int = 0,
    samples: int = 20,
    hold_out: tuple[str, ...] = ("views:3,9", "frames:last:25%"),
    duration: float | None = None,
    max_depth: int = 5,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
    workers: int | None = None,
) -> Path:
    """Film a performer (a seed) with a rig of cameras and return the capture folder.

    duration: seconds the frames are spread over (0.12 s a frame when None, so few frames show much).
    hold_out: pictures that get four times the samples. Raises InputError for bad values.
    """
    held = parse_hold_out(hold_out, cameras, frames)
    duration = frames * 0.12 if duration is None else duration
    plan = Plan(
        "rig", performer, in_model, emotion, intensity, seed, size, cameras, frames, frames / duration, duration, 1.0,
        samples, max_depth, _texture_size(size), held.views, held.frames,
    )  # fmt: skip
    return run_plan(_checked(plan), output, overwrite, resume, report, workers)


def capture_single(
    output: str | Path,
    performer: int = 0,
    in_model: bool = False,
    emotion: str | None = None,
    intensity: float = 1.0,
    frames: int = 120,
    size: int = 512,
    seed: int = 0,
    samples: int = 20,
    hold_out: tuple[str, ...] = ("frames:last:20%",),
    fps: float = 25.0,
    head_motion: float = 1.7,
    max_depth: int = 5,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter = silent,
    workers: int | None = None,
) -> Path:
    """Film a moving head with one camera on a tripod and return the capture folder; arguments as `capture_rig`."""
    held = parse_hold_out(hold_out, 1, frames) if hold_out else HeldOut()
    plan = Plan(
        "single", performer, in_model, emotion, intensity, seed, size, 1, frames, fps, frames / fps, head_motion,
        samples, max_depth, _texture_size(size), held.views, held.frames,
    )  # fmt: skip
    return run_plan(_checked(plan), output, overwrite, resume, report, workers)


def _texture_size(size: int) -> int:
    return int(np.clip(4 * size, 512, 2560))


def _checked(plan: Plan) -> Plan:
    limits = {
        "size": (16, 4096),
        "views": (1, 256),
        "frames": (1, 100_000),
        "samples": (1, 4096),
        "max_depth": (2, 64),
    }
    for name, (low, high) in limits.items():
        if not low <= getattr(plan, name) <= high:
            raise InputError(
                f"studio: {name} must be between {low} and {high}, {getattr(plan, name)} was given"
            )
    if plan.emotion is not None:
        load_head().emotion(plan.emotion)
    return plan
