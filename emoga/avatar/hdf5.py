"""`avatar.h5`: every array and word of an avatar in one HDF5 file.

gaussians/   means, quats, log_scales, logit_opacities: local encodings
binding      [N] triangle, or -1 - joint
labels       [N] region
appearance/  sh [N,K,3]; for colours that depend on emotion also latents [N,128], the arrays of the ColorMLP
             and the attributes kind ("color_mlp") and form
head/        shape, static_offset (optional); attributes name, version, checksum, rig
neutral/     expr
light/       logarithm [8,3], turn [3]; absent when colours stay as they are however the head turns
emotions/    one group per emotion: offset; attribute embedding: its row in the ColorMLP, where it has one
motion/      params and fps (optional)
provenance   JSON attribute of the root
"""

from __future__ import annotations

import io
import json

import h5py
import numpy as np
import torch

from emoga.avatar.appearance import EMBEDDING, FORMS, LATENT, ColorMLP, weight_shapes
from emoga.avatar.avatar import Avatar, Emotion, Gaussians
from emoga.avatar.light import HARMONICS, Light
from emoga.avatar.rig import RIGS
from emoga.errors import InputError
from emoga.hdf5 import new_hdf5, read_array, read_json, read_text, write_array, write_text
from emoga.head.storage import read_head_identity, read_params, write_head_identity, write_params
from emoga.motion import Motion

MAX_GAUSSIANS = 20_000_000
MAX_EMOTIONS = 1000
SH_COUNTS = (1, 4, 9, 16)
COLOR_MLP = "color_mlp"
# With larger values than these its colours could overflow.
MOST_WEIGHT = 1e3
MOST_LIGHT = 100.0
LOCAL = {"means": (3,), "quats": (4,), "log_scales": (3,), "logit_opacities": ()}


def avatar_image(avatar: Avatar) -> bytes:
    """The bytes of `avatar.h5`; equal avatars give equal bytes."""
    buffer = io.BytesIO()
    with new_hdf5(buffer, "avatar") as file:
        _write_gaussians(file, avatar.gaussians)
        if avatar.appearance is not None:
            _write_color_mlp(file["appearance"], avatar.appearance, avatar.gaussians.latents)
        head = file.create_group("head")
        write_head_identity(head, avatar.head_name, avatar.head_version, avatar.head_checksum)
        write_text(head, "rig", avatar.rig)
        write_array(head, "shape", _float32(avatar.shape))
        if avatar.static_offset is not None:
            write_array(head, "static_offset", _float32(avatar.static_offset))
        write_array(file.create_group("neutral"), "expr", _float32(avatar.neutral))
        if avatar.light is not None:
            light = file.create_group("light")
            write_array(light, "logarithm", _float32(avatar.light.logarithm))
            write_array(light, "turn", _float32(avatar.light.turn))
        emotions = file.create_group("emotions")
        for name in sorted(avatar.emotions):
            group, emotion = emotions.create_group(_emotion_name(name)), avatar.emotions[name]
            write_array(group, "offset", _float32(emotion.offset))
            if emotion.embedding:
                group.attrs["embedding"] = emotion.embedding
        if avatar.motion is not None:
            _write_motion(file.create_group("motion"), avatar.motion)
        write_text(file, "provenance", json.dumps(avatar.provenance, sort_keys=True))
    return buffer.getvalue()


def read_avatar(file: h5py.File) -> Avatar:
    """The avatar in a checked HDF5 file. Raises InputError, naming file and array, for anything damaged."""
    head = _group(file, "head")
    rig = read_text(head, "rig", limit=32)
    if rig not in RIGS:
        raise InputError(f"{file.filename}: rig {rig!r} is not known here; known: {', '.join(RIGS)}")
    name, version, checksum = read_head_identity(head)
    neutral = _read(_group(file, "neutral"), "expr", (None,))
    offset = _read(head, "static_offset", (None, 3)) if "static_offset" in head else None
    gaussians = _read_gaussians(file)
    appearance, gaussians.latents = _read_color_mlp(_group(file, "appearance"), gaussians)
    rows = 1 if appearance is None else appearance.rows
    return Avatar(
        gaussians=gaussians,
        head_name=name,
        head_version=version,
        head_checksum=checksum,
        shape=_read(head, "shape", (None,)),
        neutral=neutral,
        static_offset=offset,
        rig=rig,
        emotions=_read_emotions(_group(file, "emotions"), len(neutral), rows),
        motion=_read_motion(file["motion"]) if "motion" in file else None,
        appearance=appearance,
        light=_read_light(_group(file, "light")) if "light" in file else None,
        provenance=read_json(file, "provenance"),
    )


def _write_gaussians(file: h5py.File, gaussians: Gaussians) -> None:
    group = file.create_group("gaussians")
    for name in LOCAL:
        write_array(group, name, _float32(getattr(gaussians, name)))
    write_array(file.create_group("appearance"), "sh", _float32(gaussians.sh))
    write_array(file, "binding", gaussians.binding.detach().cpu().numpy().astype(np.int32))
    write_array(file, "labels", gaussians.labels.detach().cpu().numpy().astype(np.uint8))


def _read_gaussians(file: h5py.File) -> Gaussians:
    binding = read_array(file, "binding", (None,), "i", max_elements=MAX_GAUSSIANS)
    count = len(binding)
    if count == 0:
        raise InputError(f"{file.filename}: holds no Gaussians")
    group = _group(file, "gaussians")
    local = {name: _read(group, name, (count, *tail)) for name, tail in LOCAL.items()}
    sh = _read(_group(file, "appearance"), "sh", (count, None, 3))
    if sh.shape[1] not in SH_COUNTS:
        raise InputError(f"{file.filename}: {sh.shape[1]} SH coefficients; 1, 4, 9 or 16 are possible")
    if not (local["quats"].square().sum(1) > 0).all():
        raise InputError(f"{file.filename}: gaussians/quats has quaternions of length zero")
    return Gaussians(
        **local,
        sh=sh,
        binding=torch.from_numpy(binding.astype(np.int64)),
        labels=torch.from_numpy(read_array(file, "labels", (count,), "u").astype(np.uint8)),
    )


def _write_color_mlp(group: h5py.Group, mlp: ColorMLP, latents: torch.Tensor) -> None:
    write_text(group, "kind", COLOR_MLP)
    write_text(group, "form", mlp.form)
    for name, value in mlp.weights().items():
        write_array(group, name, _float32(value))
    write_array(group, "latents", latents.detach().cpu().numpy())


def _read_color_mlp(group: h5py.Group, gaussians: Gaussians) -> tuple[ColorMLP | None, torch.Tensor]:
    """The network, if there is one, and the latents [N,128], or [N,0]."""
    kind, source = read_text(group, "kind", "sh", limit=32), group.file.filename
    if kind == "sh":
        return None, gaussians.latents
    form = read_text(group, "form", limit=32)
    if kind != COLOR_MLP or form not in FORMS:
        raise InputError(f"{source}: appearance {kind!r}, form {form!r} is not known here; update emoga")
    most = MAX_EMOTIONS * EMBEDDING
    rows = len(read_array(group, "embed_in", (None, EMBEDDING), max_elements=most))
    if rows == 0:
        raise InputError(f"{source}: its appearance knows no emotion, not even neutral")
    shapes = weight_shapes(rows, gaussians.sh.shape[1])
    mlp = ColorMLP(**{name: _read(group, name, shape) for name, shape in shapes.items()}, form=form)
    latents = read_array(group, "latents", (len(gaussians), LATENT))
    latents = torch.from_numpy(latents if latents.dtype == np.float16 else latents.astype(np.float32))
    if max(float(part.abs().max()) for part in (latents, *mlp.weights().values())) > MOST_WEIGHT:
        raise InputError(f"{source}: appearance holds values beyond {MOST_WEIGHT:g}; it is damaged")
    return mlp, latents


def _read_light(group: h5py.Group) -> Light:
    light = Light(_read(group, "logarithm", (HARMONICS, 3)), _read(group, "turn", (3,)))
    if max(float(part.abs().max()) for part in light.arrays()) > MOST_LIGHT:
        raise InputError(
            f"{group.file.filename}: its light holds values beyond {MOST_LIGHT:g}; it is damaged"
        )
    return light


def _write_motion(group: h5py.Group, motion: Motion) -> None:
    write_head_identity(group, motion.head_name, motion.head_version, motion.head_checksum)
    write_params(group.create_group("params"), motion.params)
    group.attrs["fps"] = float(motion.fps)


def _read_motion(group: h5py.Group) -> Motion:
    fps = float(np.float64(group.attrs["fps"]))
    if not 0 < fps < 10_000:
        raise InputError(f"{group.file.filename}: frame rate {fps} is impossible")
    return Motion(*read_head_identity(group), read_params(group, "params"), fps)


def _read_emotions(group: h5py.Group, width: int, rows: int) -> dict[str, Emotion]:
    if len(group) > MAX_EMOTIONS:
        raise InputError(f"{group.file.filename}: {len(group)} emotions, more than {MAX_EMOTIONS}")
    return {name: _read_emotion(_group(group, name), width, rows) for name in group}


def _read_emotion(group: h5py.Group, width: int, rows: int) -> Emotion:
    row = group.attrs.get("embedding", 0)
    if not isinstance(row, (int, np.integer)) or not 0 <= row < rows:
        raise InputError(
            f"{group.file.filename}: {group.name}@embedding {row!r:.40} is no row of the appearance"
        )
    return Emotion(_read(group, "offset", (width,)), int(row))


def _emotion_name(name: str) -> str:
    if not name or len(name) > 80 or name.startswith(".") or not name.isprintable() or set(name) & set("/:,"):
        raise InputError(f"emotion name {name!r:.100} cannot be stored; use letters, digits, - and _")
    return name


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        raise InputError(f"{parent.file.filename}: lacks the group {name!r}; it is damaged")
    return group


def _read(group: h5py.Group, name: str, shape: tuple[int | None, ...]) -> torch.Tensor:
    return torch.from_numpy(read_array(group, name, shape).astype(np.float32))


def _float32(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
