"""Checkpoints of a fit: everything that changes, so that a killed fit goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path

import h5py
import numpy as np
import torch

from emoga.avatar import ColorMLP, Gaussians
from emoga.capture import HeldOut, Track
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.fitting.network import ColorNetwork
from emoga.fitting.presets import Preset
from emoga.fitting.trainer import Trainer
from emoga.hdf5 import new_hdf5, open_hdf5, read_array, read_text, write_text
from emoga.optimize.adam import AdamState
from emoga.optimize.splats import Splats

KIND = "fit checkpoint"


def checkpoint_path(output: str | Path) -> Path:
    """Where the checkpoint of a fit that writes `output` lies: beside it."""
    return Path(f"{output}.checkpoint.h5")


def fingerprint(
    track: Track,
    held_out: HeldOut,
    preset: Preset,
    rig: str,
    seed: int,
    perceptual: str | None,
    keep_shoulders: bool,
) -> str:
    """A digest of all that decides how a fit runs; a checkpoint only fits the same."""
    settings = {"preset": asdict(preset), "held_out": asdict(held_out), "rig": rig, "seed": seed}
    settings |= {"perceptual": perceptual, "keep_shoulders": keep_shoulders}
    settings["head"], settings["media"] = track.head_checksum, [path.name for path in track.media]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in sorted(vars(track.params).items()):
        if value is not None:
            digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    for camera in track.cameras:
        digest.update(camera.K.tobytes() + camera.w2c.tobytes())
    for masks in (track.masks, track.head_masks):
        digest.update(b"" if masks is None else np.ascontiguousarray(masks).tobytes())
    return digest.hexdigest()


def save_checkpoint(trainer: Trainer, identity: str, path: Path) -> None:
    """Write the trainer's state atomically; `identity` is the fit's fingerprint."""
    with atomic_output(path, overwrite=True) as temporary, new_hdf5(temporary, KIND) as file:
        write_text(file, "identity", identity)
        file.attrs["iteration"] = trainer.iteration
        splats, motion = trainer.splats, trainer.motion
        for item in fields(Gaussians):
            _write(file, f"gaussians/{item.name}", getattr(splats.gaussians, item.name))
        _write(file, "slope", splats.slope)
        _write(file, "seen", splats.seen)
        groups = {"adam": splats.states, "motion_adam": motion.states}
        if trainer.network is not None:
            groups["network_adam"] = trainer.network.states
            for name, value in trainer.network.mlp.weights().items():
                _write(file, f"network/{name}", value)
        for group, states in groups.items():
            for name, state in states.items():
                for part, value in zip(("mean", "square", "steps"), state.parts, strict=True):
                    _write(file, f"{group}/{name}/{part}", value)
        for name, value in motion.corrections.items():
            _write(file, f"corrections/{name}", value)


def load_checkpoint(trainer: Trainer, identity: str, path: Path) -> None:
    """Put a saved state into a freshly prepared trainer.

    Raises InputError when the file is damaged or belongs to another fit.
    """
    with open_hdf5(path, KIND) as file:
        if read_text(file, "identity", limit=100) != identity:
            raise InputError(
                f"{path}: belongs to a fit with other settings or another track; "
                "run with the same ones, or without --resume"
            )
        device = trainer.splats.slope.device
        arrays = {item.name: _read(file, f"gaussians/{item.name}", device) for item in fields(Gaussians)}
        count = arrays["means"].shape[0]
        if any(value.shape[0] != count for value in arrays.values()):
            raise InputError(f"{path}: damaged, its arrays differ in length; run without --resume")
        trained = tuple(trainer.splats.states)
        splats = Splats.start(Gaussians(**arrays), trainer.splats.triangles, trained)
        splats.slope, splats.seen = _read(file, "slope", device), _read(file, "seen", device)
        splats.states = {name: _read_state(file, f"adam/{name}", device) for name in trained}
        motion = trainer.motion
        for name in motion.corrections:
            motion.corrections[name] = _read(file, f"corrections/{name}", device)
            motion.states[name] = _read_state(file, f"motion_adam/{name}", device)
        if trainer.network is not None:
            trainer.network = _read_network(file, trainer.network, device)
        trainer.splats, trainer.iteration = splats, int(file.attrs["iteration"])


def _read_network(file: h5py.File, network: ColorNetwork, device: torch.device) -> ColorNetwork:
    names = network.mlp.weights()
    weights = {name: _read(file, f"network/{name}", device) for name in names}
    restored = ColorNetwork.of(ColorMLP(**weights, form=network.mlp.form))
    restored.states = {name: _read_state(file, f"network_adam/{name}", device) for name in names}
    return restored


def _write(file: h5py.File, name: str, value: torch.Tensor) -> None:
    # Not compressed: a checkpoint is short-lived and writing it should not take long.
    file.create_dataset(name, data=value.detach().cpu().numpy(), track_times=False)


def _read(file: h5py.File, name: str, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(read_array(file, name, kind="fiu")).to(device)


def _read_state(file: h5py.File, name: str, device: torch.device) -> AdamState:
    return AdamState(*(_read(file, f"{name}/{part}", device) for part in ("mean", "square", "steps")))
