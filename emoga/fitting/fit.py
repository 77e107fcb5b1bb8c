"""`emoga fit`: from a track to an avatar."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

import emoga
from emoga.avatar import Avatar, Gaussians, save_avatar
from emoga.avatar.files import format_of
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.posing import MOTION, pose_frames
from emoga.avatar.rig import bind_pose, rig_of, to_world
from emoga.capture import HeldOut, Track, load_track, parse_hold_out
from emoga.errors import InputError
from emoga.files import check_output
from emoga.fitting.anchoring import anchor_shoulders
from emoga.fitting.checkpoint import checkpoint_path, fingerprint, load_checkpoint, save_checkpoint
from emoga.fitting.clothing import outside_head
from emoga.fitting.presets import Preset, Rates, for_one_camera
from emoga.fitting.presets import preset as find_preset
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.report import FitReport, never_seen, score_fit, unseen_notes
from emoga.fitting.sink import SHARE, start_sink
from emoga.fitting.trainer import Trainer
from emoga.fitting.trainer_torch import trainer_on
from emoga.fitting.turned import TurnedPictures
from emoga.fitting.visibility import GRAZING, shown_squarely
from emoga.head import Head, HeadParams, load_head
from emoga.kernels import torch_on_one_thread
from emoga.motion import Motion
from emoga.motion.neutral import estimate_neutral
from emoga.optimize.coloring import color_as_seen
from emoga.optimize.first_gaussians import FLATNESS, start_gaussians
from emoga.optimize.outline import fit_outline
from emoga.optimize.scoring import evenly
from emoga.optimize.splats import Splats
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import Note, Reporter, Stage, silent
from emoga.render.gsplat_kernels import resolve_device

START_SHARE = 0.45  # of the budget, placed before the first iteration
SIGHTINGS = 24


@torch_on_one_thread()
def fit(
    track: Track | str | Path,
    output: str | Path | None,
    *,
    preset: str | Preset = "default",
    media: str | Path | None = None,
    hold_out: Sequence[str] | None = None,
    iterations: int | None = None,
    gaussians: int | None = None,
    sh_degree: int | None = None,
    refine_motion: bool | None = None,
    keep_shoulders: bool = False,
    rig: str = "smooth",
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter = silent,
) -> tuple[Avatar, FitReport]:
    """Fit an avatar to a tracked capture and write it to `output` (.ply or .h5; None writes nothing).

    track: record or file; media: where its pictures lie now. preset: a name (a single camera gets a lesser
    one by that name) or one's own. hold_out: specifications as on the command line; by default what the
    track held out. iterations, gaussians (budget), sh_degree (0 to 3) override the
    preset. refine_motion corrects pose and expression of the training frames along the way (when None, with
    several cameras). keep_shoulders keeps the layer below the collar. resume continues from the checkpoint
    beside the output. device: "auto" takes a GPU where everything it needs works.

    Raises InputError for unusable tracks, heads, presets or outputs, MissingComponent when CUDA is asked for
    and not usable.
    """
    started = time.monotonic()
    if output is not None:
        check_output(output, overwrite)
        format_of(output)
    device = resolve_device(device)
    known = find_preset(preset) if isinstance(preset, str) else preset
    name = preset if isinstance(preset, str) else "own"
    track = track if isinstance(track, Track) else load_track(track, media)
    if isinstance(preset, str) and len(track.cameras) == 1:
        known = for_one_camera(known)
    chosen = _overridden(known, iterations, gaussians, sh_degree, refine_motion)
    held_out = track.held_out
    if hold_out is not None:
        held_out = parse_hold_out(hold_out, len(track.cameras), track.frame_count)
    session = prepare(track, held_out, chosen, rig, seed, report, device)
    checkpoint = None if output is None else checkpoint_path(output)
    _train(session.trainer, checkpoint, fingerprint(track, held_out, chosen, rig, seed), resume, report)
    avatar = session.avatar(keep_shoulders)
    avatar.provenance = {
        "made_by": f"emoga {emoga.__version__} fit",
        "preset": name,
        "iterations": chosen.iterations,
        "seed": seed,
        "hold_out": _specifications(held_out),
    }
    if output is not None:
        save_avatar(avatar, output, overwrite)
        checkpoint.unlink(missing_ok=True)
    found = session.report(avatar, name, report)
    found.seconds = round(time.monotonic() - started, 2)
    for note in found.notes:
        report(Note(note))
    return avatar, found


def _train(trainer: Trainer, checkpoint: Path | None, identity: str, resume: bool, report: Reporter) -> None:
    """Run to the end, from the checkpoint when asked to, saving one now and then."""
    if resume and checkpoint is not None and checkpoint.exists():
        load_checkpoint(trainer, identity, checkpoint)
        report(Note(f"resumed at iteration {trainer.iteration} of {trainer.preset.iterations}"))
    report(Stage("fit", trainer.preset.iterations))
    while trainer.iteration < trainer.preset.iterations:
        every = trainer.preset.checkpoint_every
        until = min((trainer.iteration // every + 1) * every, trainer.preset.iterations)
        trainer.run(until, report)
        if checkpoint is not None:
            save_checkpoint(trainer, identity, checkpoint)


def _overridden(
    chosen: Preset,
    iterations: int | None,
    gaussians: int | None,
    sh_degree: int | None,
    refine_motion: bool | None,
) -> Preset:
    asked = {"iterations": iterations, "gaussians": gaussians, "sh_degree": sh_degree}
    for name, (low, high) in {"iterations": (1, 10**7), "gaussians": (1, 10**7), "sh_degree": (0, 3)}.items():
        if asked[name] is not None and not low <= asked[name] <= high:
            raise InputError(f"{name} {asked[name]} is out of range; {low} to {high} are possible")
    asked["refine_motion"] = refine_motion
    return replace(chosen, **{name: value for name, value in asked.items() if value is not None})


def _specifications(held_out: HeldOut) -> list[str]:
    """`--hold-out` values that name these views and frames."""
    parts = {"views": held_out.views, "frames": held_out.frames}
    return [f"{kind}:{','.join(map(str, indices))}" for kind, indices in parts.items() if indices]


@dataclass
class FitSession:
    """A fit in progress: the record it works from and the trainer."""

    track: Track
    held_out: HeldOut
    head: Head
    rig: str
    trainer: Trainer

    def avatar(self, keep_shoulders: bool) -> Avatar:
        """The avatar as it stands; what is below the collar goes unless it is to be kept."""
        trainer, track = self.trainer, self.track
        gaussians = trainer.splats.gaussians.detach().to("cpu")
        params = trainer.motion.refined().to("cpu")
        if not keep_shoulders:
            gaussians = gaussians.select(gaussians.binding >= 0)
            pairs = evenly(trainer.pictures.pairs, SIGHTINGS)
            identity = self.head.identify(params.shape, params.static_offset)
            gaussians = gaussians.select(
                ~outside_head(gaussians, self.head, identity, trainer.rig, params, track, pairs)
            )
        motion = Motion(track.head_name, track.head_version, track.head_checksum, params, track.fps)
        frames = self.held_out.training_frames(track.frame_count)
        return Avatar(
            gaussians,
            track.head_name,
            track.head_version,
            track.head_checksum,
            params.shape,
            self._neutral(params.select(frames)),
            params.static_offset,
            self.rig,
            motion=motion,
        )

    def _neutral(self, params: HeadParams) -> torch.Tensor:
        if not self.head.landmarks:  # without lips nobody can say when they are closed
            return torch.zeros_like(params.expr[0])
        return estimate_neutral(self.head, params)

    def report(self, avatar: Avatar, preset: str, report: Reporter) -> FitReport:
        """Measure the avatar."""
        params = avatar.motion.params
        scores = score_fit(avatar, self.track, self.held_out, params, report)
        frames = self.held_out.training_frames(self.track.frame_count)
        with torch.no_grad():
            vertices = self.head.vertices(params.select(frames))
        unseen = never_seen(self.head, vertices, self.track, self.trainer.pictures.pairs, frames)
        return FitReport(
            training=scores.training,
            held_out=scores.held_out,
            baseline_psnr=max(scores.baselines.values(), default=float("nan")),
            baselines=scores.baselines,
            never_seen=unseen,
            gaussians=len(avatar.gaussians),
            iterations=self.trainer.iteration,
            sh_degree=avatar.gaussians.sh_degree,
            preset=preset,
            seconds=0.0,
            notes=unseen_notes(unseen),
        )


def prepare(
    track: Track,
    held_out: HeldOut,
    preset: Preset,
    rig_name: str,
    seed: int,
    report: Reporter,
    device: str = "cpu",
) -> FitSession:
    """Load the pictures and place the first Gaussians; the trainer then works on `device`."""
    head = load_head(track.head_name)
    if head.checksum != track.head_checksum:
        raise InputError(
            f"the track was made with head {track.head_name} {track.head_version}, here is {head.version}; "
            "track again with this version"
        )
    views, frames = held_out.training_views(len(track.cameras)), held_out.training_frames(track.frame_count)
    if len(track.cameras) == 1:
        track = replace(track, params=anchor_shoulders(head, track.params, frames))
    pictures = TrainingPictures(track, views, frames, report)
    track = replace(track, params=fit_outline(head, track, track.params, pictures.pairs, report))
    identity, rig = head.identify(track.params.shape, track.params.static_offset), rig_of(head, rig_name)
    generator = np.random.default_rng(seed)
    count = round(preset.gaussians * START_SHARE)
    gaussians = start_gaussians(head, identity.rest, rig, count, preset.sh_degree, generator)
    middle = TrainerStart(track, head, identity, rig, pictures, frames, _shown(track, head, pictures))
    middle.settle(gaussians)
    middle.color(gaussians)
    label = head.region_names.index("shoulders")
    count = round(preset.gaussians * SHARE)
    below, roots = middle.below_collar()
    sink = start_sink(track, pictures, below, roots, label, count, preset.sh_degree, generator)
    if sink is not None:
        gaussians = _joined(gaussians, sink)
    rates = Rates()
    motion = MotionRefinement(track.params, _motion_rates(rates))
    bind = _bind(track, head, rig_name)
    splats = Splats.start(gaussians, len(head.faces))
    turned = TurnedPictures(head, identity, motion, pictures) if preset.turn_every else None
    trainer = Trainer(head, identity, rig, bind, splats, motion, pictures, preset, rates, seed, turned)
    if device != "cpu":
        trainer = trainer_on(device, trainer)
    return FitSession(track, held_out, head, rig_name, trainer)


@torch.no_grad()
def _shown(track: Track, head: Head, pictures: TrainingPictures) -> np.ndarray | None:
    """How squarely a single camera shows each triangle [F]; several cameras need no such care."""
    if len(track.cameras) > 1:
        return None
    chosen = evenly(pictures.pairs, SIGHTINGS)
    vertices = head.vertices(track.params.select([frame for _, frame in chosen]))
    return shown_squarely(head, [(posed, track.cameras[0]) for posed in vertices])


@dataclass
class TrainerStart:
    """What the first pictures say about colours and shoulders."""

    track: Track
    head: Head
    identity: object
    rig: object
    pictures: TrainingPictures
    frames: list[int]
    shown: np.ndarray | None

    @torch.no_grad()
    def settle(self, gaussians: Gaussians) -> None:
        """Put hair back on the skin that starts outside an outline or beyond every picture.

        What no picture shows gets no gradient, so it would hover there for good. For the same reason hair
        that a single camera never shows lies flat: any thickness would stand out once the head turns.
        """
        kept, seen = (torch.full((len(gaussians),), value) for value in (True, False))
        for view, frame in evenly(self.pictures.pairs, SIGHTINGS):
            example = self.pictures.example(view, frame, half=True)
            _, frames = pose_frames(self.identity, self.rig, self.track.params, frame)
            pixels, _ = example.camera.project(to_world(gaussians, frames).means.double().numpy())
            column, row = torch.from_numpy(np.floor(pixels)).long().unbind(-1)
            height, width = example.alpha.shape
            within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            covered = example.alpha[row.clamp(0, height - 1), column.clamp(0, width - 1)] > 0.1
            kept &= covered | ~within
            seen |= within
        hair = gaussians.labels == self.head.region_names.index("scalp")
        normal = 2 if self.rig.patches is not None else 1
        if self.shown is not None:
            hidden = hair & torch.from_numpy(self.shown < GRAZING)[gaussians.binding]
            kept &= ~hidden
            gaussians.log_scales[hidden, normal] += math.log(FLATNESS)
        gaussians.means[hair & ~(kept & seen), normal] = 0

    def color(self, gaussians: Gaussians) -> None:
        """Give Gaussians the colours of some training pictures."""
        pairs = evenly(self.pictures.pairs, SIGHTINGS)
        color_as_seen(gaussians, self.head, self.identity, self.rig, self.track.params, self.pictures, pairs)

    @torch.no_grad()
    def below_collar(self) -> tuple[np.ndarray, np.ndarray]:
        """A point [3] in the world about where clothing begins, and the root bone's places [T,3,4]."""
        params = self.track.params
        vertices = self.head.vertices(params.select(self.frames[:1]))[0]
        bones = self.identity.bones(*(getattr(params, name) for name in MOTION))
        shoulders = vertices[self.head.regions["shoulders"]].mean(0)
        return shoulders.double().numpy(), bones[:, 0].double().numpy()


def _bind(track: Track, head: Head, rig: str) -> TriangleFrames:
    """Bind frames in float32, for colours."""
    empty = Gaussians(*(torch.zeros(0),) * 7)
    params = track.params
    avatar = Avatar(
        empty, head.name, head.version, head.checksum, params.shape, torch.zeros(len(head.expr_names)),
        params.static_offset, rig,
    )  # fmt: skip
    frames = bind_pose(avatar, head)
    return TriangleFrames(*(getattr(frames, item.name).float() for item in fields(frames)))


def _motion_rates(rates: Rates) -> dict[str, float]:
    turns = dict.fromkeys(("rotation", "neck", "jaw"), rates.turn)
    return {"expr": rates.expr, "eyes": rates.eyes, "translation": rates.translation, **turns}


def _joined(first: Gaussians, second: Gaussians) -> Gaussians:
    return Gaussians(
        **{
            item.name: torch.cat([getattr(first, item.name), getattr(second, item.name)])
            for item in fields(Gaussians)
        }
    )
