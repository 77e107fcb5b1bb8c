"""CLIP scores from a model folder of the user: does a picture look like the words for its emotion?"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import torch

from emoga.errors import InputError, MissingComponent
from emoga.evaluation.preparation import MAX_JSON_BYTES, Preparation

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NEEDED = ("config.json", "model.safetensors")
MAX_BYTES = 16 * 2**30
BATCH = 16


class Clip:
    """A CLIP model in the layout of transformers, read from safetensors and without a network."""

    def __init__(self, folder: str | Path) -> None:
        """Raises InputError for a folder that is none, MissingComponent without transformers."""
        self.folder = _examined(Path(folder))
        if importlib.util.find_spec("transformers") is None:
            raise MissingComponent("CLIP scores need transformers; pip install 'emoga[diffusion]'")
        # Read once, at the first import of the hub's client: from here on it asks no server for anything.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import transformers

        transformers.utils.logging.set_verbosity_error()
        try:
            place = {"pretrained_model_name_or_path": str(self.folder), "local_files_only": True}
            self._model = transformers.CLIPModel.from_pretrained(**place, use_safetensors=True).eval()
            self._words = transformers.CLIPTokenizer.from_pretrained(**place)
        except Exception as error:  # whatever a damaged folder makes transformers raise
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{self.folder}: not a usable CLIP model ({reason})") from error
        self._size = int(self._model.config.vision_config.image_size)

    @torch.no_grad()
    def pictures(self, pictures: np.ndarray) -> np.ndarray:
        """Unit vectors [P,D] of pictures [P,H,W,3] uint8."""
        preparation = Preparation(mean=MEAN, std=STD)
        parts = [
            self._model.get_image_features(
                pixel_values=torch.from_numpy(preparation.tensor(pictures[start : start + BATCH], self._size))
            )
            for start in range(0, len(pictures), BATCH)
        ]
        return np.concatenate([_unit(part) for part in parts])

    @torch.no_grad()
    def texts(self, texts: list[str]) -> np.ndarray:
        """Unit vectors [P,D] of texts."""
        tokens = self._words(texts, padding=True, return_tensors="pt")
        return _unit(self._model.get_text_features(**tokens))


def words_for(emotion: str) -> str:
    """The words an emotion's picture is compared with."""
    return f"a photo of a person with a {emotion} face"


def clip_scores(
    pictures: np.ndarray, neutral: np.ndarray, text: np.ndarray, neutral_text: np.ndarray
) -> tuple[float, float]:
    """Mean cosine of pictures [P,D] with the text [D], and of their change from neutral with the texts' change.

    All are unit vectors; the second is NaN where nothing changes.
    """
    direct = float((pictures @ text).mean())
    change, wanted = (pictures - neutral).astype(np.float64), (text - neutral_text).astype(np.float64)
    lengths = np.linalg.norm(change, axis=1) * np.linalg.norm(wanted)
    moved = lengths > 0
    if not moved.any():
        return direct, float("nan")
    return direct, float((change[moved] @ wanted / lengths[moved]).mean())


def _unit(output: object) -> np.ndarray:
    # transformers 5 gives an object, 4 the tensor itself.
    values = getattr(output, "pooler_output", output).float().numpy()
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _examined(folder: Path) -> Path:
    for name in NEEDED:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: holds no {name}; give a CLIP folder of transformers, with safetensors"
            )
    config = folder / "config.json"
    if config.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{config}: larger than {MAX_JSON_BYTES} bytes; refused")
    if (folder / "model.safetensors").stat().st_size > MAX_BYTES:
        raise InputError(f"{folder}: its weights are larger than {MAX_BYTES // 2**30} GiB; refused")
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{config}: not readable JSON ({error!s:.100})") from error
    if kind != "clip":
        raise InputError(f"{folder}: is a model of type {kind!r:.40}, not clip")
    return folder
