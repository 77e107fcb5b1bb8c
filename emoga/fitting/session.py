"""A fit in progress: what it starts from, the avatar it has come to, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from emoga.avatar import Avatar, Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.light import Light
from emoga.avatar.rig import bind_pose, binding_rows, rig_of, to_world
from emoga.capture import HeldOut, Track
from emoga.errors import InputError
from emoga.fitting.all_round import colors_all_round, seen_along
from emoga.fitting.anchoring import anchor_shoulders
from emoga.fitting.clothing import bare_share, outside_head, skin_beneath
from emoga.fitting.first_look import SIGHTINGS, FirstLook, how_squarely
from emoga.fitting.glimpsed import believable_colors, believable_walls, shown_colors, shown_share
from emoga.fitting.network import TRAINED, start_network
from emoga.fitting.patching import PatchTerm
from emoga.fitting.presets import Preset, Rates, rates_for
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.report import FitReport, never_seen, score_fit, unseen_notes
from emoga.fitting.shown import PosedPictures
from emoga.fitting.sink import SHARE, start_sink
from emoga.fitting.trainer import Trainer
from emoga.fitting.trainer_torch import trainer_on
from emoga.fitting.turned import TurnedPictures
from emoga.head import Head, HeadParams, load_head
from emoga.motion import Motion
from emoga.motion.neutral import estimate_neutral
from emoga.optimize.first_gaussians import start_gaussians
from emoga.optimize.outline import fit_outline
from emoga.optimize.scoring import evenly
from emoga.optimize.splats import PARAMETERS, Splats
from emoga.optimize.standing_light import find_light
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import Note, Reporter

LIGHT_PICTURES = 60  # to find the light in
START_SHARE = 0.45  # of the budget, placed before the first iteration


@dataclass
class FitSession:
    """A fit in progress: the record it works from and the trainer."""

    track: Track
    held_out: HeldOut
    head: Head
    rig: str
    trainer: Trainer
    light: Light | None = None

    @property
    def perceptual(self) -> str | None:
        """By which features patches are compared, or None where they are not."""
        return None if self.trainer.patches is None else self.trainer.patches.perceptual.name

    def avatar(self, keep_shoulders: bool) -> Avatar:
        """The avatar as it stands; what is below the collar goes unless it is to be kept."""
        trainer, track = self.trainer, self.track
        gaussians, mlp = trainer.splats.gaussians.detach().to("cpu"), None
        if trainer.network is not None:
            gaussians, mlp = trainer.network.finished(trainer.splats.gaussians)
        else:
            gaussians = self._with_believable_colors(gaussians)
            gaussians = self._colored_all_round(gaussians)
        params = trainer.motion.refined().to("cpu")
        if not keep_shoulders:
            gaussians = gaussians.select((gaussians.binding >= 0) & ~self._clothing(gaussians))
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
            appearance=mlp,
            light=self.light,
        )

    def undress(self) -> None:
        """Drop clothing that hangs on the head; what soaks up the rest stays.

        With a single camera that goes too, and what clothing is left on the neck becomes skin: another turn of the
        head would bare it.
        """
        trainer = self.trainer
        gaussians = trainer.splats.gaussians.detach().to("cpu")
        kept = ~self._clothing(gaussians)
        if self._single:
            kept &= gaussians.binding >= 0
        trainer.splats = trainer.splats.select(kept.to(trainer.splats.slope.device))
        if self._single and self.track.head_masks is not None and trainer.network is None:
            self._bare_the_neck()

    def _with_believable_colors(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians, those of eyes, mouth and nostrils that were hardly seen in colours of what was."""
        pictures = self._sightings()
        share, seen = shown_share(gaussians, pictures), shown_colors(gaussians, pictures)
        sh = gaussians.sh.clone()
        for rows, colors in (
            believable_colors(gaussians, self.head, share),
            believable_walls(gaussians, self.head, share, seen),
        ):
            sh[rows] = colors
        return replace(gaussians, sh=sh)

    def _colored_all_round(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians in likely colours from where a single camera never looked."""
        likely = self.trainer.likely
        if likely is None or gaussians.sh_degree == 0:
            return gaussians
        bind = _bind(self.track, self.head, self.rig)
        along = seen_along(gaussians, self.head, bind, self._sightings())
        outwards = bind.rotation[..., self.trainer.rig.normal]
        normals = outwards[binding_rows(gaussians.binding, len(self.head.faces))].float()
        return replace(gaussians, sh=colors_all_round(gaussians, self.head, normals, likely.to("cpu"), along))

    def _bare_the_neck(self) -> None:
        """Give what shows clothing the colour of the skin around it."""
        gaussians = self.trainer.splats.gaussians
        still = gaussians.detach().to("cpu")
        places = to_world(still, _bind(self.track, self.head, self.rig)).means
        share, shown = bare_share(still, self._sightings())
        rows, colors = skin_beneath(still, self.head, places, share, shown)
        rows = rows.to(gaussians.sh.device)
        with torch.no_grad():
            gaussians.sh[rows] = 0
            gaussians.sh[rows, 0] = colors.to(gaussians.sh.device)

    @property
    def _single(self) -> bool:
        return len(self.track.cameras) == 1

    def _sightings(self) -> PosedPictures:
        """Some of the training pictures, on the host."""
        params = self.trainer.motion.refined().to("cpu")
        identity = self.head.identify(params.shape, params.static_offset)
        chosen = evenly(self.trainer.pictures.pairs, SIGHTINGS)
        return PosedPictures(identity, self.trainer.rig, params, self.track, chosen)

    def _clothing(self, gaussians: Gaussians) -> torch.Tensor:
        """bool [N]: Gaussians bound to the head that turned into clothing."""
        outside = torch.zeros(len(gaussians), dtype=torch.bool)
        bound = gaussians.binding >= 0
        outside[bound] = outside_head(gaussians.select(bound), self.head, self._sightings())
        return outside

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
        notes = [] if self.trainer.patches is None else [self.trainer.patches.note()]
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
            appearance=self.trainer.preset.appearance,
            perceptual=self.perceptual,
            notes=[*notes, *unseen_notes(unseen)],
        )


def prepare(
    track: Track,
    held_out: HeldOut,
    preset: Preset,
    rig_name: str,
    seed: int,
    report: Reporter,
    device: str = "cpu",
    weights: str | Path | None = None,
) -> FitSession:
    """Load the pictures and place the first Gaussians; the trainer then works on `device`.

    weights: folder where VGG may lie, for an appearance that is fitted with patches.
    """
    head = load_head(track.head_name)
    if head.checksum != track.head_checksum:
        raise InputError(
            f"the track was made with head {track.head_name} {track.head_version}, here is {head.version}; "
            "track again with this version"
        )
    views, frames = held_out.training_views(len(track.cameras)), held_out.training_frames(track.frame_count)
    if held_out.faceless:
        report(Note(f"left out: {len(held_out.faceless)} of {track.frame_count} frames, which show no face"))
    if len(track.cameras) == 1:
        track = replace(track, params=anchor_shoulders(head, track.params, frames))
    pictures = TrainingPictures(track, views, frames, report)
    track = replace(track, params=fit_outline(head, track, track.params, pictures.pairs, report))
    identity = head.identify(track.params.shape, track.params.static_offset)
    found = find_light(head, identity, track.params, pictures, LIGHT_PICTURES)
    bind = _bind(track, head, rig_name)
    lit = rig_of(head, rig_name).lit(found, bind)
    rig, light = (lit, found) if preset.light else (rig_of(head, rig_name), None)
    generator = np.random.default_rng(seed)
    count = round(preset.gaussians * START_SHARE)
    gaussians = start_gaussians(head, identity.rest, rig, count, preset.sh_degree, generator)
    squarely = how_squarely(track, head, pictures)
    middle = FirstLook(track, head, identity, rig, pictures, frames, squarely)
    middle.settle(gaussians)
    middle.color(gaussians)
    label = head.region_names.index("shoulders")
    count = round(preset.gaussians * SHARE)
    below, roots = middle.below_collar()
    sink = start_sink(track, pictures, below, roots, label, count, preset.sh_degree, generator)
    if sink is not None:
        gaussians = _joined(gaussians, sink)
    rates = rates_for(len(track.cameras))
    motion = MotionRefinement(track.params, _motion_rates(rates), head.expr_limits)
    network, patches = None, PatchTerm.of(preset, weights, device, seed)
    if preset.appearance == "color_mlp":
        gaussians, network = start_network(gaussians, bind, seed)
    splats = Splats.start(gaussians, len(head.faces), PARAMETERS if network is None else TRAINED)
    turned = TurnedPictures(head, identity, motion, pictures, lit) if preset.turn_every else None
    likely = None if squarely is None or network is not None else middle.likely_colors()
    trainer = Trainer(
        head, identity, rig, bind, splats, motion, pictures, preset, rates, seed, turned, network, patches, likely
    )  # fmt: skip
    if device != "cpu":
        trainer = trainer_on(device, trainer)
    return FitSession(track, held_out, head, rig_name, trainer, light)


def _bind(track: Track, head: Head, rig: str) -> TriangleFrames:
    """Bind frames in float32, for colours."""
    empty = Gaussians(*(torch.zeros(0),) * 7)
    params = track.params
    avatar = Avatar(
        empty, head.name, head.version, head.checksum, params.shape, torch.zeros(len(head.expr_names)),
        params.static_offset, rig,
    )  # fmt: skip
    return bind_pose(avatar, head).map(torch.Tensor.float)


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
