"""CLIP scores: what is refused before anything is loaded, their arithmetic, and a tiny model end to end."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.errors import InputError, MissingComponent
from emoga.evaluation.clip import Clip, clip_scores, words_for

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = importlib.util.find_spec("transformers") is not None


def test_scores_by_hand() -> None:
    pictures, neutral = np.array([[1.0, 0], [0, 1]]), np.array([[1.0, 0], [1, 0]])
    score, direction = clip_scores(pictures, neutral, np.array([0.0, 1]), np.array([1.0, 0]))
    assert score == 0.5 and direction == pytest.approx(1), "a picture that did not change has no direction"
    assert np.isnan(clip_scores(neutral, neutral, np.array([0.0, 1]), np.array([1.0, 0]))[1])


def test_folders_that_are_no_clip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        Clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        Clip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="type 'bert'"):
        Clip(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="JSON"):
        Clip(tmp_path)


@pytest.mark.skipif(HERE, reason="transformers is installed")
def test_without_transformers_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(MissingComponent, match="transformers"):
        Clip(tmp_path)


@pytest.mark.skipif(not HERE, reason="transformers is not installed")
def test_a_tiny_clip_compares_pictures_and_words(tmp_path: Path) -> None:
    from tiny_models import save_clip

    torch.manual_seed(0)
    clip = Clip(save_clip(tmp_path / "clip"))
    pictures = np.random.default_rng(0).integers(0, 255, (20, 40, 30, 3)).astype(np.uint8)
    vectors, texts = clip.pictures(pictures), clip.texts([words_for("happy"), words_for("neutral")])
    assert vectors.shape == (20, 16) and texts.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(clip.pictures(pictures[17:18])[0], vectors[17], atol=1e-6)
    assert -1 <= clip_scores(vectors, vectors[::-1], *texts)[0] <= 1
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="not a usable CLIP model"):
        Clip(tmp_path / "clip")
