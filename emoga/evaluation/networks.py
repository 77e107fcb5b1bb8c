"""Networks that the user supplies, as ONNX or TorchScript files: nothing is downloaded, no pickle is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emoga.assets import find_asset
from emoga.errors import InputError, MissingComponent
from emoga.evaluation.preparation import Preparation, read_preparation
from emoga.files import require_file

MAX_BYTES = 4 * 2**30
MAX_OUTPUT = 65_536
BATCH = 16
ARCFACE = "arcface"
NO_ARCFACE = "no ArcFace network was named (--arcface FILE) or kept (emoga assets add FILE --as arcface)"
SCRIPT_SUFFIXES = (".pt", ".ts", ".torchscript", ".jit")
# Pictures as each role's usual networks want them, where no JSON file beside the network says otherwise.
ROLES = {
    "features": Preparation(size=299),
    "emotions": Preparation(zoom=0.8),
    ARCFACE: Preparation(size=112),
    "vggface": Preparation(size=224, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), zoom=0.8),
}


class Network:
    """Pictures to vectors: `run` takes float32 tensors of at most `batch` pictures."""

    def __init__(
        self, path: Path, preparation: Preparation, size: int, run: Callable[[np.ndarray], Any], batch: int
    ) -> None:
        self.path, self.preparation, self.size = path, preparation, size
        self._run, self._batch = run, batch

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Vectors [P,D] float32 of pictures [P,H,W,3] uint8; maps [P,D,h,w] are averaged over places.

        Raises InputError when the network gives something else or numbers that are not finite.
        """
        found = []
        for start in range(0, len(pictures), self._batch):
            part = self.preparation.tensor(pictures[start : start + self._batch], self.size)
            try:
                output = np.asarray(self._run(part), np.float32)
            except (ValueError, TypeError, RuntimeError) as error:
                raise InputError(
                    f"{self.path}: cannot take pictures {list(part.shape)} ({_line(error)})"
                ) from error
            if output.ndim == 4:
                output = output.mean((2, 3) if self.preparation.layout == "nchw" else (1, 2))
            if output.ndim != 2 or len(output) != len(part) or not 0 < output.shape[1] <= MAX_OUTPUT:
                raise InputError(
                    f"{self.path}: gives {list(output.shape)} for {len(part)} pictures, not [P,D]"
                )
            if not np.isfinite(output).all():
                raise InputError(
                    f"{self.path}: gives numbers that are not finite; check its JSON file's values"
                )
            found.append(output)
        return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


def arcface_file(named: str | Path | None) -> Path | None:
    """The ArcFace network that is named, else the one that `emoga assets add` keeps, else None."""
    if named is not None:
        return Path(named)
    kept = find_asset(ARCFACE)
    return None if kept is None else kept.location


def load_network(path: str | Path, role: str, allow_torchscript: bool = False) -> Network:
    """A network for one of ROLES from an .onnx or, when allowed, a TorchScript file.

    TorchScript files are programs; only `allow_torchscript` has one loaded. How pictures are prepared is read from
    `<stem>.json` beside the file. Raises InputError for unusable files, MissingComponent without onnxruntime.
    """
    path = require_file(path, f"a network for {role} (.onnx)")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES // 2**30} GiB, which networks of pictures are not; refused"
        )
    preparation = read_preparation(path, ROLES[role])
    if path.suffix.lower() == ".onnx":
        return _onnx(path, preparation)
    if path.suffix.lower() in SCRIPT_SUFFIXES:
        if not allow_torchscript:
            raise InputError(
                f"{path}: TorchScript is a program that would run here; pass --allow-torchscript if you trust it, "
                "or convert it to ONNX"
            )
        return _torchscript(path, preparation)
    raise InputError(f"{path}: networks are read from .onnx or TorchScript ({', '.join(SCRIPT_SUFFIXES)})")


def _onnx(path: Path, preparation: Preparation) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingComponent(
            f"{path}: ONNX networks need onnxruntime; pip install 'emoga[metrics]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base below Exception
        raise InputError(f"{path}: not a usable ONNX network ({_line(error)})") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        raise InputError(f"{path}: must take one float32 batch of pictures, takes {_described(inputs)}")
    shape, name, output = inputs[0].shape, inputs[0].name, session.get_outputs()[0].name
    rows = shape[2] if preparation.layout == "nchw" else shape[1]
    declared = rows if isinstance(rows, int) else None
    size = _size(path, declared or preparation.size)
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else BATCH
    if batch not in (1, BATCH):
        raise InputError(f"{path}: takes batches of exactly {batch}; export it with a free batch, or with 1")

    def run(tensor: np.ndarray) -> Any:
        try:
            return session.run([output], {name: tensor})[0]
        except Exception as error:  # as above
            raise ValueError(_line(error)) from error

    return Network(path, preparation, size, run, batch)


def _torchscript(path: Path, preparation: Preparation) -> Network:
    import torch

    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a usable TorchScript file ({_line(error)})") from error

    @torch.no_grad()
    def run(tensor: np.ndarray) -> Any:
        output = module(torch.from_numpy(tensor))
        output = output[0] if isinstance(output, tuple | list) else output
        return output.numpy()

    return Network(path, preparation, _size(path, preparation.size), run, BATCH)


def _size(path: Path, size: int | None) -> int:
    if size is None:
        wanted = path.with_suffix(".json").name
        raise InputError(
            f'{path}: does not say how large its pictures are; write {{"size": 224}} into {wanted}'
        )
    return size


def _described(inputs: Any) -> str:
    return "; ".join(f"{part.type} {list(part.shape)}" for part in inputs)[:120]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
