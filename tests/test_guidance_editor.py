"""The editors' contract, how they are opened, and edits made elsewhere, hostile folders included."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from emoga.errors import InputError, MissingComponent
from emoga.guidance import EditRequest, PictureName, open_editor, prompt_of, write_exchange
from emoga.guidance.editor import Editor, compose
from emoga.guidance.framing import SquareFrame
from emoga.images import read_image_uint8, write_png
from emoga.progress import silent

NAMES = (PictureName("cam_1", 0), PictureName("cam_1", 12), PictureName("cam_2", 0))


def request(**changes: object) -> EditRequest:
    pictures = np.random.default_rng(3).integers(0, 256, (3, 20, 30, 3), np.uint8)
    return EditRequest(**{"pictures": pictures, "names": NAMES, "prompt": "smile", **changes})


def edited_folder(folder: Path, wanted: EditRequest) -> np.ndarray:
    """A folder with an edit for every picture, and those edits."""
    edits = 255 - wanted.pictures
    for name, edit in zip(wanted.names, edits, strict=True):
        path = folder / name.camera / f"{name.frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, edit)
    return edits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pictures": np.zeros((3, 4, 4), np.uint8)}, r"uint8 \[N,H,W,3\]"),
        ({"pictures": np.zeros((0, 4, 4, 3), np.uint8)}, "no picture"),
        ({"names": NAMES[:2]}, "3 pictures but 2 names"),
        ({"names": (NAMES[0], NAMES[1], NAMES[1])}, "cam_1/000012 is named twice"),
        ({"strength": 1.5}, "strength 1.5"),
        ({"strength": float("nan")}, "strength nan"),
        ({"seed": -1}, "seed -1"),
        ({"mask": np.ones((3, 20, 31), bool)}, "the mask is"),
        ({"mask": np.full((3, 20, 30), np.nan)}, "bool, or floats"),
        ({"mask": np.full((3, 20, 30), 255, np.uint8)}, "bool, or floats"),
        ({"prompt": "a" * 5000}, "longer than"),
    ],
)
def test_requests_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        request(**changes)


def test_compose_keeps_bytes_outside_and_takes_bytes_inside() -> None:
    rng = np.random.default_rng(4)
    original, edited = rng.integers(0, 256, (2, 16, 256, 3), np.uint8)
    mask = np.zeros((16, 256), np.float32)
    mask[4:8], mask[8:12] = 1, 0.5
    mixed = compose(original, edited, mask)
    np.testing.assert_array_equal(mixed[:4], original[:4])
    np.testing.assert_array_equal(mixed[4:8], edited[4:8])
    mean = (original[8:12].astype(float) + edited[8:12]) / 2
    assert np.abs(mixed[8:12] - mean).max() <= 0.5


@pytest.mark.parametrize(
    ("height", "width", "size"), [(30, 41, 48), (64, 33, 64), (48, 48, 48), (47, 48, 48)]
)
def test_a_padded_picture_comes_back_to_the_byte(height: int, width: int, size: int) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)
    frame = SquareFrame(height, width, size)
    square = frame.enclose(picture)
    assert square.shape == (size, size, 3)
    np.testing.assert_array_equal(frame.release(square), picture)


def test_a_resized_square_keeps_the_pictures_proportions() -> None:
    y, x = np.mgrid[0:160, 0:96]
    circle = np.hypot(y - 79.5, x - 47.5) < 30
    picture = np.repeat((circle * 255).astype(np.uint8)[..., None], 3, axis=2)
    frame = SquareFrame(160, 96, 64)
    inside = np.argwhere(frame.enclose(picture)[..., 0] > 127)
    height, width = np.ptp(inside, axis=0) + 1
    assert height == width == 24
    back = frame.release(frame.enclose(picture))
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).mean() < 6


def test_unknown_editors_and_options_are_named() -> None:
    with pytest.raises(
        InputError, match=r"known are: warp, images:DIR, ultraedit:DIR, .*local diffusers folder"
    ):
        open_editor("photoshop")
    with pytest.raises(InputError, match="colour"):
        open_editor("images:.", colour=3)
    with pytest.raises(InputError, match="names no folder"):
        open_editor("images:")


def test_a_folder_that_is_no_model_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no model_index\.json"):
        open_editor(str(tmp_path))


def test_missing_weights_name_the_folder_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("EMOGA_WEIGHTS", str(tmp_path / "kept"))
    folder = tmp_path / "kept" / "ultraedit"
    with pytest.raises(MissingComponent) as caught:
        open_editor("ultraedit")
    command = f"hf download BleachNick/SD3_UltraEdit_w_mask --local-dir {folder}"
    assert str(folder) in str(caught.value) and command in str(caught.value)
    with pytest.raises(MissingComponent, match="hf download timbrooks/instruct-pix2pix --local-dir"):
        open_editor(f"instruct-pix2pix:{tmp_path / 'absent'}")


def test_prompts_of_the_thesis_and_of_free_words() -> None:
    assert prompt_of("Angry") == "Make the person angry"
    assert "one brow raised" in prompt_of("skeptical: one brow raised")


def test_edits_made_elsewhere_are_found_by_camera_and_frame(tmp_path: Path) -> None:
    wanted = request()
    edits = edited_folder(tmp_path, wanted)
    editor = open_editor(f"images:{tmp_path}")
    assert isinstance(editor, Editor)
    np.testing.assert_array_equal(editor.edit(wanted, silent), edits)
    turned = EditRequest(wanted.pictures[::-1].copy(), NAMES[::-1])
    np.testing.assert_array_equal(editor.edit(turned, silent), edits[::-1])
    assert editor.estimate(wanted).pictures == 3


def huge_png(path: Path, width: int, height: int) -> None:
    """A PNG whose header promises more than its few bytes hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_the_first_mismatch_is_named_in_one_line(tmp_path: Path) -> None:
    wanted = request()
    edited_folder(tmp_path, wanted)
    editor = open_editor(f"images:{tmp_path}")

    def refusal() -> str:
        with pytest.raises(InputError) as caught:
            editor.edit(wanted, silent)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    second, third = tmp_path / "cam_1" / "000012.png", tmp_path / "cam_2" / "000000.png"
    write_png(tmp_path / "cam_1" / "000013.png", wanted.pictures[0])
    assert "000013.png: no captured picture" in refusal()
    write_png(third, wanted.pictures[0][:, :10])
    assert "cam_2" in refusal() and "is 10x20, the captured picture is 30x20" in refusal()
    huge_png(second, 12000, 12000)
    assert "000012.png: is 12000x12000" in refusal()
    huge_png(second, 60000, 60000)
    assert "000012.png: not a readable picture" in refusal()
    huge_png(second, 30, 20)
    write_png(third, wanted.pictures[0])
    (tmp_path / "cam_1" / "000013.png").unlink()
    assert "000012.png: not a readable picture" in refusal()
    second.write_bytes(b"not a picture")
    assert "000012.png: not a readable picture" in refusal()
    second.unlink()
    assert "no such picture; the edit of camera cam_1, frame 12" in refusal()


def test_links_out_of_the_folder_and_odd_camera_names_are_refused(tmp_path: Path) -> None:
    wanted = request()
    edited_folder(tmp_path / "edits", wanted)
    secret = tmp_path / "secret.png"
    write_png(secret, wanted.pictures[0])
    path = tmp_path / "edits" / "cam_1" / "000000.png"
    path.unlink()
    try:
        path.symlink_to(secret)
    except OSError:
        pytest.skip("this system makes no links here")
    editor = open_editor(f"images:{tmp_path / 'edits'}")
    with pytest.raises(InputError, match="is a link that leaves"):
        editor.edit(wanted, silent)
    for camera in ("../cam", "..", "a/b", "", "-rf", "a\nb", "c:", "nul\0"):
        names = (PictureName(camera, 0), *NAMES[1:])
        with pytest.raises(InputError, match="cannot name a folder"):
            editor.edit(EditRequest(wanted.pictures, names), silent)
        with pytest.raises(InputError, match="cannot name a folder"):
            write_exchange(tmp_path / "out", EditRequest(wanted.pictures, names))
    assert not (tmp_path / "out").exists()


def test_what_is_written_for_a_tool_is_read_back_after_it(tmp_path: Path) -> None:
    mask = np.zeros((3, 20, 30), np.float32)
    mask[:, 5:15] = 1
    wanted = request(mask=mask, negative_prompt="no teeth", seed=9)
    folder = write_exchange(tmp_path / "out", wanted)
    np.testing.assert_array_equal(
        open_editor(f"images:{folder / 'images'}").edit(wanted, silent), wanted.pictures
    )
    stored = read_image_uint8(folder / "masks" / "cam_1" / "000012.png", "L")
    np.testing.assert_array_equal(stored, (mask[1] * 255).astype(np.uint8))
    facts = json.loads((folder / "edit.json").read_text(encoding="utf-8"))
    assert facts["prompt"] == "smile" and facts["seed"] == 9 and facts["negative_prompt"] == "no teeth"
    assert facts["pictures"][1] == {"camera": "cam_1", "frame": 12}
    with pytest.raises(InputError, match="not empty"):
        write_exchange(folder, wanted)


def test_a_broken_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(event: object) -> None:
        if getattr(event, "done", 0) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_exchange(tmp_path / "out", request(), report=stop)
    assert list(tmp_path.iterdir()) == []
