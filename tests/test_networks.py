"""Networks of the user: loaded without pickles or surprises, fed what they want, refused in one line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_onnx import save_pool_and_mix

from emoga.camera import look_at
from emoga.errors import InputError, MissingComponent
from emoga.evaluation.faces import PLACES, cut_face, five_points, similarity
from emoga.evaluation.networks import load_network
from emoga.evaluation.preparation import Preparation, read_preparation
from emoga.head import load_head

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed"
)
WEIGHTS = np.array([[1.0, 0, 2, 1], [0, 1, 2, 1], [0, 0, 2, -1]])


def pictures() -> np.ndarray:
    flat = np.zeros((3, 20, 30, 3), np.uint8)
    flat[0], flat[1], flat[2] = (255, 0, 0), (0, 255, 0), (51, 102, 204)
    return flat


class Pool(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture[:, :, ::2, ::2] + 1


def save_script(path: Path) -> Path:
    torch.jit.script(Pool()).save(str(path))
    return path


@needs_onnx
def test_an_onnx_network_sees_prepared_pictures(tmp_path: Path) -> None:
    network = load_network(save_pool_and_mix(tmp_path / "a.onnx", WEIGHTS, 8), "arcface")
    assert network.size == 8, "a size that the network declares is the size"
    found = network(np.full((40, 20, 20, 3), 255, np.uint8))
    np.testing.assert_allclose(found, np.tile([1, 1, 6, 1], (40, 1)), atol=1e-6)
    (tmp_path / "a.json").write_text(
        json.dumps({"mean": [0, 0, 0], "std": [1, 1, 1], "channels": "bgr"}), encoding="utf-8"
    )
    turned = load_network(tmp_path / "a.onnx", "arcface")(pictures()[:, :, :20])
    np.testing.assert_allclose(turned[2], [0.8, 0.4, 2.8, 1.0], atol=1e-6)


@needs_onnx
def test_an_onnx_network_of_one_picture_gets_one_at_a_time(tmp_path: Path) -> None:
    network = load_network(save_pool_and_mix(tmp_path / "a.onnx", WEIGHTS, "s", 1), "arcface")
    assert network.size == 112 and network(pictures()).shape == (3, 4)
    with pytest.raises(InputError, match="batches of exactly 5"):
        load_network(save_pool_and_mix(tmp_path / "b.onnx", WEIGHTS, 8, 5), "arcface")
    with pytest.raises(InputError, match="how large"):
        load_network(save_pool_and_mix(tmp_path / "c.onnx", WEIGHTS, "s"), "emotions")


@needs_onnx
def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"text\.onnx: not a usable ONNX network"):
        load_network(tmp_path / "text.onnx", "features")
    nan = load_network(save_pool_and_mix(tmp_path / "nan.onnx", WEIGHTS * np.nan, 8), "features")
    with pytest.raises(InputError, match="not finite"):
        nan(pictures())


def test_without_onnxruntime_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("onnxruntime") is not None:
        monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingComponent, match=r"emoga\[metrics\]"):
        load_network(save_pool_and_mix(tmp_path / "a.onnx", WEIGHTS, 8), "features")


def test_torchscript_runs_only_when_it_is_allowed(tmp_path: Path) -> None:
    path = save_script(tmp_path / "net.pt")
    with pytest.raises(InputError, match="--allow-torchscript"):
        load_network(path, "features")
    (tmp_path / "net.json").write_text('{"size": 16}')
    network = load_network(path, "features", allow_torchscript=True)
    found = network(pictures())
    assert found.shape == (3, 3) and network.size == 16
    # 20 of 30 rows are red, the rest is padding: white.
    np.testing.assert_allclose(found[0, 0], 2, atol=1e-6)
    assert 0.2 < found[0, 1] < 0.8


def test_files_that_are_no_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(InputError, match="not a usable TorchScript"):
        load_network(tmp_path / "a.pt", "features", allow_torchscript=True)
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.onnx or TorchScript"):
        load_network(tmp_path / "a.pth", "features", allow_torchscript=True)
    with pytest.raises(InputError, match="no such file"):
        load_network(tmp_path / "none.onnx", "features")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "not an object"),
        ("{", "not readable JSON"),
        ('{"sise": 3}', "unknown key 'sise'"),
        ('{"size": 0}', "size cannot be 0"),
        ('{"size": true, "std": [1, 0, 1]}', "cannot be"),
        ('{"std": [1, 0, 1]}', "std cannot be"),
        ('{"labels": "happy"}', "labels cannot be"),
    ],
)
def test_a_bad_preparation_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_preparation(tmp_path / "a.onnx", Preparation())


def test_pictures_are_padded_not_squeezed_and_grey_is_luma() -> None:
    tensor = Preparation(mean=(0, 0, 0), std=(1, 1, 1)).tensor(pictures()[:1], 30)
    assert tensor.shape == (1, 3, 30, 30) and (tensor[0, 1, :5] == 1).all()
    assert (tensor[0, 1, 5:25] == 0).all() and (tensor[0, 0] == 1).all()
    grey = Preparation(mean=(0, 0, 0), std=(1, 1, 1), channels="grey", layout="nhwc").tensor(pictures(), 30)
    assert grey.shape == (3, 30, 30, 1) and grey[1, 15, 15, 0] == pytest.approx(0.587)


def test_a_similarity_is_found_exactly() -> None:
    points = np.array([[1.0, 2], [4, 1], [3, 7]])
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    matrix = similarity(points, points @ turn.T + [3, -2])
    np.testing.assert_allclose(matrix, np.c_[turn, [3, -2]], atol=1e-12)


def test_cut_faces_have_their_points_in_place() -> None:
    head = load_head("open")
    camera = look_at((0, 0, 0.7), (0, 0, 0), 0.5, 400, 400)
    points = five_points(head, head.template.numpy(), camera)
    assert points[0, 0] < points[1, 0] and points[3, 1] > points[2, 1] > points[0, 1]
    y, x = np.mgrid[:400, :400] + 0.5
    picture = np.zeros((400, 400, 3), np.uint8)
    for channel, (px, py) in enumerate(points[[0, 1, 4]]):
        picture[..., channel] = 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / 9**2)
    for zoom in (1.0, 0.7):
        face = cut_face(picture, points, 112, zoom).astype(float)
        rows, columns = np.mgrid[:112, :112] + 0.5
        for channel, place in enumerate((PLACES[[0, 1, 4]] - 0.5) * zoom + 0.5):
            spot = face[..., channel] * (np.hypot(columns - place[0] * 112, rows - place[1] * 112) < 20)
            centre = np.array([(columns * spot).sum(), (rows * spot).sum()]) / spot.sum()
            # A head is no flat template: its five points fit to within a few pixels.
            assert np.abs(centre - place * 112).max() < 5
