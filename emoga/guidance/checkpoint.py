"""A folder of model weights, examined before anything in it is loaded: whole, local, safetensors, no code."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoga.errors import InputError, MissingComponent
from emoga.files import data_dir
from emoga.guidance.families import Family

LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack"}
CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "scheduler_config.json",
)
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHARD = r"-\d{5}-of-\d{5}"
WEIGHTS = re.compile(rf"[^./\\]+?(?:{SHARD})?(?:\.(?P<variant>[a-z0-9]+))?(?:{SHARD})?\.safetensors")
MAX_JSON, MAX_HEADER, MAX_FILES = 16 << 20, 100 << 20, 5000


@dataclass(frozen=True)
class Part:
    """One component: its folder's name, its class and how many parameters it holds."""

    name: str
    class_name: str
    parameters: int


@dataclass(frozen=True)
class ModelFolder:
    """What a checked folder holds.

    size: side of the pictures in pixels it was trained on, where its denoiser says. vacant: parts that it leaves out on
    purpose; variant: the infix of its weight files (`fp16`), or None.
    """

    folder: Path
    class_name: str
    parts: tuple[Part, ...]
    variant: str | None
    vae_channels: tuple[int, ...]
    vacant: tuple[str, ...] = ()
    size: int | None = None

    @property
    def parameters(self) -> int:
        """Parameters of all parts together."""
        return sum(part.parameters for part in self.parts)

    @property
    def largest(self) -> int:
        """Parameters of the largest part."""
        return max(part.parameters for part in self.parts)


def find_folder(family: Family, folder: Path | None, weights: str | Path | None = None) -> Path:
    """Where a family's weights lie: the folder given, `weights`/NAME, $EMOGA_WEIGHTS/NAME, the assets, or the hub's.

    Raises MissingComponent naming the folder expected and the command that fills it.
    """
    expected = folder or usual_folder(family, weights)
    if expected.is_dir():
        return expected
    supplied = data_dir() / "weights" / family.name
    if folder is None and supplied.is_dir():
        return supplied
    cached = None if folder else _cached(family.repository)
    if cached is not None:
        return cached
    raise MissingComponent(
        f"{expected}: the weights of {family.name} are not here; get them with: {family.how_to_get(expected)}"
    )


def usual_folder(family: Family, weights: str | Path | None = None) -> Path:
    """Where a family's weights are expected: `weights`/NAME or $EMOGA_WEIGHTS/NAME, else weights/NAME from here."""
    return Path(weights or os.environ.get("EMOGA_WEIGHTS") or "weights") / family.name


def examine(folder: Path, family: Family | None) -> ModelFolder:
    """Check a folder that diffusers saved. Nothing is loaded and nothing in it runs.

    Raises MissingComponent when it is empty or incomplete, InputError when it holds something else or is unsafe.
    """
    if not (folder / "model_index.json").is_file():
        raise MissingComponent(
            f"{folder}: has no model_index.json{_get(family, folder)}; expected a diffusers folder"
        )
    _stays_inside(folder)
    index = _read_json(folder / "model_index.json")
    class_name = index.get("_class_name")
    if not isinstance(class_name, str) or not WORD.fullmatch(class_name):
        raise InputError(f"{folder}: model_index.json names code of its own; only diffusers' classes are run")
    if family is not None and class_name not in family.classes:
        raise InputError(
            f"{folder}: holds a {class_name}, {family.name} needs a {' or '.join(family.classes)}"
        )
    variants: set[str | None] = set()
    parts, vacant = [], []
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list):
            continue
        if value[:1] == [None]:
            vacant.append(name)
            continue
        parts.append(_examine_part(folder, name, value, variants, family))
    if not any(part.parameters for part in parts):
        raise MissingComponent(f"{folder}: holds no weights{_get(family, folder)}")
    named = sorted(variant for variant in variants if variant)
    variant = named[0] if named else None
    channels = _vae_channels(folder)
    return ModelFolder(
        folder, class_name, tuple(parts), variant, channels, tuple(vacant), _size(folder, channels)
    )


def _examine_part(
    folder: Path, name: str, value: list[Any], variants: set[str | None], family: Family | None
) -> Part:
    library, class_name = value if len(value) == 2 else (None, "")
    plain = isinstance(class_name, str) and WORD.fullmatch(class_name) and WORD.fullmatch(name)
    if library not in LIBRARIES or not plain:
        raise InputError(
            f"{folder}: part {name} comes from {library!r}; only diffusers and transformers are run"
        )
    part = folder / name
    if not part.is_dir():
        raise MissingComponent(f"{part}: this part is missing{_get(family, folder)}")
    for config in CONFIGS:
        if (part / config).is_file() and "auto_map" in _read_json(part / config):
            raise InputError(f"{part / config}: asks for code of its own (auto_map), which is never run")
    files = {path.name: WEIGHTS.fullmatch(path.name) for path in sorted(part.glob("*.safetensors"))}
    by_variant: dict[str | None, list[Path]] = {}
    for file, match in files.items():
        by_variant.setdefault(match["variant"] if match else None, []).append(part / file)
    if not by_variant:
        _refuse_pickles(part)
        if (part / "config.json").is_file():
            raise MissingComponent(f"{part}: has no weights (*.safetensors){_get(family, folder)}")
        return Part(name, class_name, 0)
    _check_shards(part, family, folder)
    variant = None if None in by_variant else min(by_variant, key=str)
    variants.add(variant)
    return Part(name, class_name, sum(_parameters(path) for path in by_variant[variant]))


def _check_shards(part: Path, family: Family | None, folder: Path) -> None:
    """What an index of shards lists must lie beside it."""
    for path in sorted(part.glob("*.index.json")):
        shards = _read_json(path).get("weight_map")
        for shard in sorted(set(map(str, shards.values())) if isinstance(shards, dict) else [""]):
            if not WEIGHTS.fullmatch(shard):
                raise InputError(f"{path}: lists {shard[:80]!r}, which is no safetensors file beside it")
            if not (part / shard).is_file():
                raise MissingComponent(f"{part / shard}: this file is missing{_get(family, folder)}")


def _refuse_pickles(part: Path) -> None:
    pickles = sorted(path.name for path in part.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise InputError(
            f"{part / pickles[0]}: pickled weights can run code and are never loaded; get the .safetensors"
        )


def _parameters(path: Path) -> int:
    """Numbers in a safetensors file, from its header, whose lengths must agree with the file's."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(MAX_HEADER, size - 8):
                raise ValueError
            header = json.loads(stream.read(length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
        if 8 + length + end != size:
            raise ValueError
        return sum(math.prod(int(side) for side in entry["shape"]) for entry in tensors)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        struct.error,
        RecursionError,
    ) as error:
        raise InputError(f"{path}: damaged or cut short; download it again") from error


def _stays_inside(folder: Path) -> None:
    """No code, no link that leaves the folder; the hub's cache links into its own blobs."""
    root = folder.resolve()
    home = next((parent for parent in root.parents if parent.name.startswith("models--")), root)
    for count, path in enumerate(folder.rglob("*")):
        if count > MAX_FILES:
            raise InputError(f"{folder}: holds more than {MAX_FILES} files; not a model folder")
        if not path.resolve().is_relative_to(home):
            raise InputError(f"{path}: is a link that leaves {folder}; copy the file there")
        if path.suffix in {".py", ".so", ".pyd", ".dll"}:
            raise InputError(f"{path}: the folder carries code, which is never run; remove it")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError
        return content
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON object; download it again") from error


def _vae_channels(folder: Path) -> tuple[int, ...]:
    """Channels of the decoder's stages, finest first; of the usual autoencoder where the file does not say."""
    path = folder / "vae" / "config.json"
    channels = _read_json(path).get("block_out_channels") if path.is_file() else None
    if isinstance(channels, list) and channels and all(type(c) is int and 0 < c < 65536 for c in channels):
        return tuple(channels)
    return (128, 256, 512, 512)


def _size(folder: Path, channels: tuple[int, ...]) -> int | None:
    """Side of the pictures, from that of a UNet's latents."""
    path = folder / "unet" / "config.json"
    side = _read_json(path).get("sample_size") if path.is_file() else None
    return side * 2 ** (len(channels) - 1) if type(side) is int and 0 < side < 1024 else None


def _cached(repository: str) -> Path | None:
    hub = os.environ.get("HF_HUB_CACHE")
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    model = Path(hub or home / "hub") / f"models--{repository.replace('/', '--')}"
    reference = model / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = model / "snapshots" / reference.read_text(encoding="utf-8").strip()
    return snapshot if (snapshot / "model_index.json").is_file() else None


def _get(family: Family | None, folder: Path) -> str:
    return "" if family is None else f"; get it with: {family.how_to_get(folder)}"
