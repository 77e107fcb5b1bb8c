"""demo: a studio performer becomes an avatar, is measured on what was held out, and acts."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import emoga
from emoga.avatar import Avatar, load_avatar
from emoga.avatar.emotions import EmotionCurve
from emoga.capture import Track, load_track
from emoga.demo.sheets import driving_sheet, emotion_sheet
from emoga.errors import InputError
from emoga.evaluation import evaluate
from emoga.evaluation.report import without_nan
from emoga.exporting import export
from emoga.files import atomic_output, check_output_folder
from emoga.fitting import fit
from emoga.hdf5 import open_hdf5, read_array
from emoga.head import load_head
from emoga.images import write_png
from emoga.motion import Motion, save_motion
from emoga.progress import Note, Reporter, silent
from emoga.reenactment import reenact
from emoga.studio import Performance, Performer, capture, make_performer, perform
from emoga.tracking import track

STATE_FILE = "demo.json"
ACTS = ("happy", "sad", "angry", "surprised", "fear", "disgust", "contempt")
ACT_SECONDS, EASE_SECONDS = 1.8, 0.45
FPS = 25.0
PERFORMER, DRIVER = 1, 5  # seeds of studio people: whom we film, and who drives the avatar later
CAPTURE_FIGURES = ("performer", "in_model", "size", "views", "frames", "samples", "noise_floor_psnr")
SHOWN = (
    "report.json", "pictures.csv", "track.overlay.mp4", "worst.png", "emotions.png", "emotions.mp4",
    "reenactment.png", "reenactment.mp4", "own.mp4", "orbit.mp4", "avatar.ply", "exports",
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much the demo takes on: pictures of size x size, samples per pixel, presets, videos' side."""

    size: int
    views: int
    frames: int
    samples: int
    track_preset: str
    fit_preset: str
    video: int
    hold_out: tuple[str, ...]


SCALES = {
    "fast": Scale(256, 6, 8, 16, "default", "fast", 256, ("views:2", "frames:last:2")),
    "default": Scale(256, 9, 14, 24, "default", "fast", 384, ("views:4", "frames:last:3")),
    "best": Scale(512, 16, 24, 16, "default", "default", 512, ("views:3,9", "frames:last:6")),
}


@dataclass
class DemoResult:
    """report: the content of report.json; files: what to look at, name to path; seconds of every stage."""

    report: dict[str, Any]
    files: dict[str, Path]
    seconds: dict[str, float]
    rows: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """What the stages share."""

    folder: Path
    scale: Scale
    seed: int
    report: Reporter
    resume: bool = False

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def track(self) -> Track:
        return load_track(self.path("track.h5"))

    @property
    def avatar(self) -> Avatar:
        return load_avatar(self.path("avatar.ply"))


def demo(
    output: str | Path = "demo",
    *,
    preset: str = "default",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter = silent,
) -> DemoResult:
    """Run the whole line on a synthetic performer into the folder `output`: on the CPU, without a network.

    preset: fast, default or best. resume: skip what an earlier, interrupted run with the same settings
    finished. Raises InputError for a folder that is in the way, MissingComponent without the studio's extra.
    """
    if preset not in SCALES:
        raise InputError(f"unknown preset {preset!r}; known: {', '.join(SCALES)}")
    folder = check_output_folder(output, overwrite or resume)
    state = State.open(folder, preset, seed, resume)
    line = Line(folder, SCALES[preset], seed, report, resume)
    run_stages(STAGES, line, state)
    return conclude(line, state)


def run_stages(stages: Mapping[str, Callable[[Line], None]], line: Line, state: State) -> None:
    """Run the stages that are not finished yet, and remember each when it is."""
    for name, stage in stages.items():
        if name in state.seconds:
            line.report(Note(f"{name}: already there"))
            continue
        line.report(Note(f"{name}: {DOING[name]}"))
        began = time.monotonic()
        stage(line)
        state.finish(name, time.monotonic() - began)


@dataclass
class State:
    """Which stages of which plan are finished, kept in the folder."""

    path: Path
    plan: dict[str, Any]
    seconds: dict[str, float]

    @classmethod
    def open(cls, folder: Path, preset: str, seed: int, resume: bool) -> State:
        plan = {"preset": preset, "seed": seed, "version": emoga.__version__, **asdict(SCALES[preset])}
        plan = json.loads(json.dumps(plan))
        state = cls(folder / STATE_FILE, plan, {})
        if resume and state.path.exists():
            found = _read_state(state.path)
            if found.get("plan") != plan:
                raise InputError(
                    f"{folder}: holds a demo with other settings; pass --overwrite or another folder"
                )
            state.seconds = {str(k): float(v) for k, v in found.get("seconds", {}).items() if k in STAGES}
        return state

    def finish(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(seconds, 1)
        with atomic_output(self.path, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"plan": self.plan, "seconds": self.seconds}, indent=1))


def _read_state(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path}: damaged; pass --overwrite to begin again")
    return found


def _film(line: Line) -> None:
    scale = line.scale
    # A finished capture of the very same plan is taken as it is, whoever asks.
    capture(
        line.path("capture"), "rig", performer=PERFORMER, size=scale.size, views=scale.views,
        frames=scale.frames, samples=scale.samples, seed=line.seed, hold_out=scale.hold_out,
        resume=True, overwrite=True, report=line.report,
    )  # fmt: skip


def _track(line: Line) -> None:
    track(
        line.path("capture"), line.path("track.h5"), preset=line.scale.track_preset,
        hold_out=line.scale.hold_out, seed=line.seed, resume=line.resume, overwrite=True,
        report=line.report,
    )  # fmt: skip


def _fit(line: Line) -> None:
    fit(
        line.path("track.h5"), line.path("avatar.ply"), preset=line.scale.fit_preset, seed=line.seed,
        resume=line.resume, overwrite=True, report=line.report, device="cpu",
    )  # fmt: skip


def _evaluate(line: Line) -> None:
    found = evaluate(
        line.path("avatar.ply"), line.path("track.h5"), csv=line.path("pictures.csv"),
        sheet=line.path("worst.png"), overwrite=True, report=line.report,
    )  # fmt: skip
    figures = found.to_dict()
    figures["tracking"] = {"face_vertices_mm": _vertex_error(line)}
    _write_json(line.path("evaluation.json"), figures)


def _vertex_error(line: Line) -> float:
    """Mean distance in mm of the tracked face's vertices to the truth, without any alignment."""
    head = load_head()
    with open_hdf5(line.path("capture/truth_vertices.h5"), "truth_vertices") as file:
        truth = read_array(file, "vertices", (None, len(head.template), 3))
    with torch.no_grad():
        tracked = head.vertices(line.track.params).numpy()
    face = head.regions["face"].numpy()
    return float(np.linalg.norm(tracked[:, face] - truth[:, face], axis=-1).mean() * 1000)


def _act(line: Line) -> None:
    """Every emotion in turn, over speech; and the same in stills."""
    keys = {}
    for place, name in enumerate(ACTS):
        begin, end = place * ACT_SECONDS, (place + 1) * ACT_SECONDS
        keys[name] = ((begin, 0.0), (begin + EASE_SECONDS, 1.0), (end - EASE_SECONDS, 1.0), (end, 0.0))
    speech = _speech(line.avatar, len(ACTS) * ACT_SECONDS, line.seed + 1)
    _video(line, "emotions.mp4", motion=speech, emotion=EmotionCurve(keys))
    write_png(line.path("emotions.png"), emotion_sheet(line.avatar, ["neutral", *ACTS], line.scale.video))


def _drive(line: Line) -> None:
    """Another person's motion, the avatar's own, and a walk around it."""
    driver = make_performer(DRIVER, in_model=True)
    motion = _motion_of(driver, perform(load_head(), round(6 * FPS), seed=line.seed + DRIVER, fps=FPS))
    save_motion(motion, line.path("driver.motion.h5"), overwrite=True)
    _video(line, "reenactment.mp4", motion=line.path("driver.motion.h5"))
    _video(line, "own.mp4", fps=FPS)
    _video(
        line,
        "orbit.mp4",
        motion=None,
        emotion="happy@1s:0,happy@2s:0.8,happy@4s:0.8,happy@5s:0",
        orbit="50/6s",
    )
    write_png(line.path("reenactment.png"), driving_sheet(line.avatar, motion, line.scale.video))


def _export(line: Line) -> None:
    avatar, folder = line.avatar, line.path("exports")
    for name, options in {
        "avatar.h5": {},
        "avatar.splat": {},
        "happy.ply": {"format": "3dgs", "emotion": "happy"},
        "happy.glb": {"emotion": "happy"},
    }.items():
        export(avatar, folder / name, overwrite=True, report=line.report, **options)


STAGES: dict[str, Callable[[Line], None]] = {
    "film": _film,
    "track": _track,
    "fit": _fit,
    "evaluate": _evaluate,
    "act": _act,
    "drive": _drive,
    "export": _export,
}
DOING = {
    "film": "path-tracing a performer from all sides",
    "track": "finding pose, expression and shape",
    "fit": "fitting Gaussians to the head",
    "evaluate": "comparing with pictures the fit has never seen",
    "act": "seven emotions over speech",
    "drive": "another person's motion, its own, and an orbit",
    "export": "splats, a posed head and a mesh for other programs",
}


def _speech(avatar: Avatar, seconds: float, seed: int) -> Motion:
    """Talk that the avatar's own person might do."""
    head = load_head(avatar.head_name)
    acted = perform(head, round(seconds * FPS), seed=seed, fps=FPS, head_motion=0.6)
    motion = _motion_of(make_performer(DRIVER, in_model=True), acted)
    motion.params.shape = avatar.shape.detach().cpu()
    return motion


def _motion_of(performer: Performer, acted: Performance) -> Motion:
    head = load_head()
    return Motion(head.name, head.version, head.checksum, performer.params(acted), FPS)


def _video(line: Line, name: str, **options: Any) -> None:
    side = line.scale.video
    reenact(line.avatar, line.path(name), size=(side, side), overwrite=True, report=line.report, **options)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(without_nan(value), indent=1) + "\n")


def conclude(line: Line, state: State) -> DemoResult:
    """Put report.json together from what the stages left behind."""
    figures = json.loads(line.path("evaluation.json").read_text(encoding="utf-8"))
    capture_info = json.loads(line.path("capture/capture.json").read_text(encoding="utf-8"))["info"]
    figures["capture"] = {key: capture_info.get(key) for key in CAPTURE_FIGURES}
    figures["stages"] = state.seconds
    figures.update(
        seconds=round(sum(state.seconds.values()), 1), peak_rss_mb=_peak_rss_mb(), version=emoga.__version__,
        device="cpu", threads=torch.get_num_threads(), seed=line.seed, preset=state.plan["preset"],
    )  # fmt: skip
    _write_json(line.path("report.json"), figures)
    files = {name: line.path(name) for name in SHOWN if line.path(name).exists()}
    return DemoResult(figures, files, state.seconds, _rows(figures))


def _rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """The figures as a table, heading first."""
    rows: list[tuple[str, ...]] = [("pictures", "count", "PSNR dB", "SSIM", "mouth dB", "eyes dB")]
    splits = {"training": figures["training"]}
    splits.update((f"held-out {name}", figures["held_out"].get(name)) for name in ("views", "frames", "both"))
    for name, split in splits.items():
        if split is not None:
            values = (split["psnr"], split["ssim"], split["mouth_psnr"], split["eyes_psnr"])
            texts = ["" if v is None else f"{v:.{4 if i == 1 else 2}f}" for i, v in enumerate(values)]
            rows.append((name, str(split["pictures"]), *texts))
    baseline = figures["held_out"].get("baseline_psnr")
    if baseline is not None:
        rows.append(("best guess without an avatar", "", f"{baseline:.2f}", "", "", ""))
    return rows


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
