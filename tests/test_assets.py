"""`emoga assets`: what users supply is recognised, checked, kept with its checksum, listed and found again."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from flame_shaped import write_flame, write_landmarks
from test_guidance_diffusion import model_folder

from emoga.assets import find_asset, list_assets
from emoga.evaluation.networks import ROLES, arcface_file
from emoga.evaluation.preparation import read_preparation
from emoga.guidance.checkpoint import find_folder
from emoga.guidance.families import FAMILIES
from emoga.head import load_head
from emoga.optimize.backbones import find_backbone
from emoga_cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of assets, empty at first."""
    monkeypatch.setenv("EMOGA_ASSETS", str(tmp_path / "assets"))
    for name in ("EMOGA_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "assets"


def run(capsys, *words: object) -> dict:
    assert main(["assets", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def task(path: Path, entry: str = "face_landmarks_detector.tflite") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, b"network")
    return path


def test_files_are_recognised_kept_listed_and_removed(folder, tmp_path, capsys):
    (tmp_path / "w600k_r50.onnx").write_bytes(b"x" * 2000)
    added = run(capsys, "add", tmp_path / "w600k_r50.onnx")["assets"][0]
    assert added["kind"] == "arcface" and added["sha256"] == hashlib.sha256(b"x" * 2000).hexdigest()
    run(capsys, "add", task(tmp_path / "face_landmarker.task"))
    assert [asset.name for asset in list_assets()] == ["arcface", "landmarker"]
    assert find_asset("landmarker").location.read_bytes() == (tmp_path / "face_landmarker.task").read_bytes()
    assert main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["asset arcface"]["usable"] and not checks["head flame2020"]["usable"]
    assert "emoga assets add FILE --as flame2020" in checks["head flame2020"]["detail"]
    (tmp_path / "glint360k.onnx").write_bytes(b"y" * 2000)
    run(capsys, "add", tmp_path / "glint360k.onnx")
    assert [file.name for file in (folder / "arcface").iterdir()] == ["glint360k.onnx"]
    run(capsys, "remove", "landmarker")
    assert find_asset("landmarker") is None and not list(folder.glob("landmarker/*"))
    assert main(["assets", "remove", "landmarker"]) == 2
    assert "arcface" in capsys.readouterr().err


def test_weights_are_found_where_they_were_put(folder, tmp_path, capsys):
    backbone = tmp_path / "vgg19-dcbb9e9d.pth"
    backbone.write_bytes(b"w" * 2000)
    run(capsys, "add", backbone)
    assert find_backbone([backbone.name]) == folder / "weights" / backbone.name
    run(capsys, "add", model_folder(tmp_path / "ultraedit"), "--as", "ultraedit")
    assert find_folder(FAMILIES["ultraedit"], None) == folder / "weights" / "ultraedit"


def test_flame_is_converted_and_again_with_its_landmarks(folder, tmp_path, capsys):
    added = run(capsys, "add", write_flame(tmp_path / "generic_model.pkl"))["assets"][0]
    assert (added["name"], added["kind"]) == ("flame2020", "head")
    before = load_head("flame2020")
    landmarks = write_landmarks(tmp_path / "landmark_embedding.npy")
    assert run(capsys, "add", landmarks)["assets"][0]["name"] == "flame-ibug68"
    after = load_head("flame2020")
    assert after.checksum == before.checksum
    assert not np.array_equal(after.landmarks["ibug68"].bary, before.landmarks["ibug68"].bary)
    run(capsys, "remove", "flame-ibug68")
    again = load_head("flame2020").landmarks["ibug68"].bary
    np.testing.assert_array_equal(again, before.landmarks["ibug68"].bary)
    run(capsys, "remove", "flame2020")
    assert main(["assets", "add", str(tmp_path / "missing.pkl")]) == 2


def hostile(tmp_path: Path) -> dict[str, Path]:
    """Files that are not what they seem."""
    files = {
        "pointer.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "what.onnx": b"x" * 5000,
        "face_landmarker.task": b"PK\x03\x04 no archive",
        "landmark_embedding.npy": b"\x93NUMPY\x01\x00\xff\xff{'descr': __import__('os')}",
        "head_template.obj": b"f 1/1 2/2 99999999999999999999/3\n" * 9976,
        "mediapipe_landmark_embedding.npz": b"PK\x05\x06",
        "FLAME_masks.pkl": pickle.dumps({n: np.array([9999]) for n in ("scalp", "lips", "nose")}),
        "photo.jpg": b"\xff\xd8\xff",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "empty").mkdir()
    task(tmp_path / "other.task", "hand.tflite")
    return {name: tmp_path / name for name in (*files, "empty", "other.task")}


def test_hostile_files_end_in_one_line(folder, tmp_path, capsys):
    for name, path in hostile(tmp_path).items():
        code = main(["assets", "add", str(path)])
        lines = capsys.readouterr().err.strip().splitlines()
        assert code in (2, 3) and len(lines) == 1 and str(path) in lines[0], (name, code, lines)
    assert not list_assets()


def test_the_arcface_that_was_added_is_the_one_that_measures(folder, tmp_path, capsys):
    assert arcface_file(None) is None
    network = tmp_path / "arcface.onnx"
    network.write_bytes(b"x" * 2000)
    network.with_suffix(".json").write_text('{"size": 96}')
    run(capsys, "add", network)
    kept = arcface_file(None)
    assert kept.is_relative_to(folder) and kept.read_bytes() == network.read_bytes()
    assert read_preparation(kept, ROLES["arcface"]).size == 96
    assert arcface_file(network) == network
    network.with_suffix(".json").write_text('{"size": "big"}')
    assert main(["assets", "add", str(network)]) == 2
    assert read_preparation(arcface_file(None), ROLES["arcface"]).size == 96
    network.with_suffix(".json").unlink()
    run(capsys, "add", network)
    assert read_preparation(arcface_file(None), ROLES["arcface"]) == ROLES["arcface"]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": 1}]', "[" * 10_000])
def test_a_damaged_list_is_named(folder, text, capsys):
    folder.mkdir()
    (folder / "assets.json").write_text(text)
    assert main(["assets", "list"]) == 2
    assert "assets.json" in capsys.readouterr().err


def test_a_list_from_elsewhere_removes_nothing_outside(folder, tmp_path, capsys):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder.mkdir()
    entry = {"name": "a", "kind": "landmarker", "file": "a", "sha256": "", "path": "../precious"}
    (folder / "assets.json").write_text(json.dumps([entry]))
    assert main(["assets", "remove", "a"]) == 2
    assert precious.exists()
