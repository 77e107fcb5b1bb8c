"""Checkpoints of learning: all that changes, so that a killed run goes on to the same arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.appearance import weight_shapes
from emoga.capture import Track
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning.settings import Learning
from emoga.emotion.learning.task import Registered
from emoga.emotion.learning.training import Trainer
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.hdf5 import new_hdf5, open_hdf5, read_array, read_text, write_text

KIND = "emotion checkpoint"
PARTS = ("mean", "square", "steps")


def fingerprint(
    avatar: Avatar,
    track: Track,
    edits: Sequence[EmotionEdits],
    learning: Learning,
    seed: int,
    weights: Sequence[np.ndarray] | None,
) -> str:
    """A digest of all that decides how learning runs; a checkpoint only fits the same."""
    settings = {"learning": asdict(learning), "seed": seed, "head": track.head_checksum}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in (
        avatar.gaussians.means,
        avatar.gaussians.sh,
        avatar.shape,
        track.params.expr,
        track.params.rotation,
        *(() if avatar.light is None else avatar.light.arrays()),
    ):
        digest.update(np.ascontiguousarray(part.detach().cpu().numpy()).tobytes())
    for camera in track.cameras:
        digest.update(camera.K.tobytes() + camera.w2c.tobytes())
    for one in edits:
        digest.update(f"{one.name} {one.flush}".encode())
        meant = np.zeros(0) if one.meant is None else one.meant
        for part in (one.views, one.frames, one.captured, one.edited, one.masks, meant):
            digest.update(np.ascontiguousarray(part).tobytes())
    for one in weights or ():
        digest.update(np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()


def save_checkpoint(trainer: Trainer, identity: str, path: Path) -> None:
    """Write the trainer's state atomically; `identity` is the run's fingerprint."""
    with atomic_output(path, overwrite=True) as temporary, new_hdf5(temporary, KIND) as file:
        write_text(file, "identity", identity)
        _write(file, "face", trainer.registration.face)
        _write(file, "habit", trainer.registration.habit)
        file.attrs["iteration"], file.attrs["cycle"] = trainer.iteration, trainer.cycle
        for index, lesson in enumerate(trainer.lessons):
            group = file.create_group(f"emotions/{index}")
            found = lesson.registered
            parts = {
                "offset": trainer.offsets[index], "looked": trainer.looked[index], "registered": found.offset,
                "strengths": found.strengths, "trust": found.trust,
            }  # fmt: skip
            if index in trainer.losses:  # by now some emotion may not have had its turn
                parts["loss"] = trainer.losses[index]
            for name, value in parts.items():
                _write(group, name, value)
        for name, state in trainer.states.items():
            for part, value in zip(PARTS, state.parts, strict=True):
                _write(file, f"adam/{name}/{part}", value)
        if trainer.mlp is not None:
            _write(file, "latents", trainer.latents)
            for name, value in trainer.mlp.weights().items():
                _write(file, f"network/{name}", value)


def load_checkpoint(trainer: Trainer, identity: str, path: Path) -> None:
    """Put a saved state into a freshly prepared trainer.

    Raises InputError when the file is damaged or belongs to another run.
    """
    with open_hdf5(path, KIND) as file:
        if read_text(file, "identity", limit=100) != identity:
            raise InputError(
                f"{path}: belongs to a run with other settings, another avatar or other edits; "
                "run with the same ones, or without --resume"
            )
        for index, lesson in enumerate(trainer.lessons):
            base = f"emotions/{index}"
            shape = tuple(trainer.offsets[index].shape)
            trainer.offsets[index] = _read(file, f"{base}/offset", shape)
            looked = _read(file, f"{base}/looked", shape)
            trainer.looked = [*trainer.looked[:index], looked]
            units, count = (shape[-1],), (len(lesson.pairs),)
            strengths, trust = (read_array(file, f"{base}/{name}", count) for name in ("strengths", "trust"))
            lesson.registered = Registered(_read(file, f"{base}/registered", units), strengths, trust)
            if f"{base}/loss" in file:
                trainer.losses[index] = float(read_array(file, f"{base}/loss", ()))
        for name, state in trainer.states.items():
            for part, value in zip(PARTS, state.parts, strict=True):
                value.copy_(_read(file, f"adam/{name}/{part}", tuple(value.shape)))
        if trainer.mlp is not None:
            trainer.latents = _read(file, "latents", tuple(trainer.latents.shape))
            for name, shape in weight_shapes(trainer.mlp.rows, trainer.mlp.terms).items():
                setattr(trainer.mlp, name, _read(file, f"network/{name}", shape))
        trainer.registration.face = read_array(file, "face", trainer.registration.face.shape)
        trainer.registration.habit = _read(file, "habit", trainer.body.motion_mm.shape)
        trainer.iteration, trainer.cycle = int(file.attrs["iteration"]), int(file.attrs["cycle"])
    trainer.look()


def _write(file: h5py.Group, name: str, value: torch.Tensor | np.ndarray | float) -> None:
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    file.create_dataset(name, data=array, track_times=False)


def _read(file: h5py.File, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(read_array(file, name, shape, kind="fiu"))
