"""`emoga doctor`: editors and networks that are usable here, and the exact command for each that is not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from test_guidance_diffusion import model_folder

from emoga.guidance.families import FAMILIES
from emoga_cli.main import main

FILES = {"VGG weights": "vgg19-dcbb9e9d.pth", "LPIPS weights": "alexnet-owt-7be5be79.pth"}


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What the doctor finds when the user's weights are in `tmp_path`, by name."""
    monkeypatch.setenv("EMOGA_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("EMOGA_LLM", raising=False)

    def look() -> dict[str, dict]:
        assert main(["doctor", "--json"]) == 0
        return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    return look


def test_without_anything_the_warp_works_and_the_rest_says_how_to_get_it(found, tmp_path: Path) -> None:
    checks = found()
    assert checks["editor warp"]["usable"] and checks["editor images:DIR"]["usable"]
    for name, family in FAMILIES.items():
        check = checks[f"editor {name}"]
        assert not check["usable"] and family.how_to_get(tmp_path / name) in check["detail"]
        if importlib.util.find_spec("diffusers") is None:
            assert "pip install 'emoga[diffusion]'" in check["detail"]
    for name, file in FILES.items():
        assert not checks[name]["usable"]
        assert f"curl --create-dirs -o {tmp_path / file} https://" in checks[name]["detail"]
    assert not checks["language model"]["usable"] and "EMOGA_LLM" in checks["language model"]["detail"]
    assert checks["onnxruntime"]["usable"] == (importlib.util.find_spec("onnxruntime") is not None)


def test_what_lies_there_is_found_and_what_is_broken_is_named(
    found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in FILES.values():
        (tmp_path / file).write_bytes(b"weights")
    folder = model_folder(tmp_path / "ultraedit")
    monkeypatch.setenv("EMOGA_LLM", "http://localhost:8080/v1")
    checks = found()
    assert all(checks[name]["usable"] for name in (*FILES, "language model"))
    assert "hf download" not in checks["editor ultraedit"]["detail"]
    (folder / "model_index.json").unlink()
    check = found()["editor ultraedit"]
    assert not check["usable"] and "model_index.json" in check["detail"]
