"""Pictures and video: round trips, atomic outputs, refusals."""

import numpy as np
import pytest

from emoga.errors import InputError
from emoga.files import atomic_folder, atomic_output, check_output
from emoga.images import contact_sheet, from_uint8, read_image, read_image_uint8, to_uint8, write_png
from emoga.video import VideoReader, VideoWriter


def smooth_clip(frames=6, height=32, width=48):
    y, x = np.mgrid[0:height, 0:width]
    return [np.stack([x * 5, y * 7, np.full_like(x, 40 * t)], -1).astype(np.uint8) for t in range(frames)]


def test_every_8_bit_value_survives_float():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(from_uint8(values)), values)


def test_png_round_trip(tmp_path):
    picture = smooth_clip()[2]
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image_uint8(tmp_path / "a.png"), picture)
    assert read_image(tmp_path / "a.png").dtype == np.float32


def test_text_is_not_a_picture(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(InputError, match=r"a\.png: not a readable picture"):
        read_image(tmp_path / "a.png")


def test_video_round_trip(tmp_path):
    clip = smooth_clip()
    with VideoWriter(tmp_path / "a.mp4", 30, 48, 32, metadata={"comment": "synthetic"}) as writer:
        for picture in clip:
            writer.write(picture)
    reader = VideoReader(tmp_path / "a.mp4")
    assert (len(reader), reader.width, reader.height, reader.fps) == (6, 48, 32, 30)
    for index in (5, 0, 3):
        assert np.abs(reader.frame(index).astype(int) - clip[index]).mean() < 4


def test_y4m_is_read_back(tmp_path):
    clip = smooth_clip()
    with VideoWriter(tmp_path / "a.y4m", 25, 48, 32) as writer:
        for picture in clip:
            writer.write(picture)
    reader = VideoReader(tmp_path / "a.y4m")
    assert len(reader) == 6
    # A y4m header carries no colour matrix, so only the shape of the picture is compared.
    assert np.corrcoef(reader.frame(4).ravel(), clip[4].ravel())[0, 1] > 0.98


def test_odd_sizes_are_padded(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 25, 47, 31) as writer:
        writer.write(smooth_clip(1, 31, 47)[0])
    assert VideoReader(tmp_path / "a.mp4").width == 48


def test_a_failing_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", 25, 48, 32) as writer:
        writer.write(smooth_clip()[0])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_text_is_not_a_video(tmp_path):
    (tmp_path / "a.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"a\.mp4: not a readable video"):
        VideoReader(tmp_path / "a.mp4")


def test_atomic_output_replaces_only_when_asked_and_only_on_success(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError, match="--overwrite"), atomic_output(path):
        pass
    with pytest.raises(RuntimeError), atomic_output(path, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_atomic_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("a")
    assert (tmp_path / "out" / "a").read_text() == "a"


def test_an_output_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, not a folder"):
        check_output(tmp_path / "file" / "a.ply")
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path)


def test_contact_sheet_has_a_cell_per_picture():
    sheet = contact_sheet(smooth_clip(5), [f"frame {i}" for i in range(5)], columns=3)
    assert sheet.shape == (2 * (32 + 14), 3 * 48, 3)
