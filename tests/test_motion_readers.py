"""Motion readers: each format gives the motion it says, and damage is named in one line."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams, load_head
from emoga.motion import Motion, read_motion, save_motion
from emoga.motion.readers_flame import read_flame_params
from emoga.motion.resampling import interpolate_params

ANGLES = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"]
ANGLES += ["RightEyeYaw", "RightEyePitch", "RightEyeRoll"]


@pytest.fixture(scope="module")
def head():
    return load_head("open")


def write_csv(path, head, rows, extra=(), timecodes=None):
    """rows: dicts of unit or angle to value; names written in the capitals of Live Link Face."""
    names = [name[0].upper() + name[1:] for name in head.expr_names] + list(extra)
    lines = [",".join(["Timecode", "BlendShapeCount", *names])]
    for number, row in enumerate(rows):
        code = timecodes[number] if timecodes else f"10:00:{number // 60:02d}:{number % 60:02d}.000"
        if row is None:
            lines.append(f"{code},0")
            continue
        lowered = {key.lower(): value for key, value in row.items()}
        lines.append(",".join([code, "61", *(str(lowered.get(name.lower(), 0.0)) for name in names)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def some_motion(head, frames=5):
    torch.manual_seed(0)
    params = HeadParams.zeros(head, frames)
    for name, size in (("expr", len(head.expr_names)), ("rotation", 3), ("neck", 3), ("eyes", 6)):
        setattr(params, name, torch.rand(frames, size) * 0.5)
    params.translation = torch.randn(frames, 3)
    return Motion(head.name, head.version, head.checksum, params, 30.0)


def test_motion_file_round_trip_is_exact(tmp_path, head):
    motion = some_motion(head)
    save_motion(motion, tmp_path / "m.h5")
    again = read_motion(tmp_path / "m.h5")
    assert (again.fps, again.head_checksum) == (30.0, head.checksum)
    for name in ("expr", "rotation", "neck", "jaw", "eyes", "translation", "shape"):
        assert torch.equal(getattr(again.params, name), getattr(motion.params, name))


def test_given_fps_wins(tmp_path, head):
    save_motion(some_motion(head), tmp_path / "m.h5")
    assert read_motion(tmp_path / "m.h5", fps=50).fps == 50
    with pytest.raises(InputError, match="--fps"):
        read_motion(tmp_path / "m.h5", fps=0)


def test_arkit_csv_columns_go_by_name(tmp_path, head):
    rows = [{"jawOpen": 0.1 * k, "mouthSmileLeft": 0.5} for k in range(4)]
    path = write_csv(tmp_path / "a.csv", head, rows)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    shuffled = [line[:2] + line[:1:-1] for line in lines]
    path.write_text("\n".join(",".join(line) for line in shuffled))
    params = read_motion(path).params
    assert torch.allclose(params.expr[:, head.unit("jawOpen")], torch.tensor([0, 0.1, 0.2, 0.3]))
    assert torch.allclose(params.expr[:, head.unit("mouthSmileLeft")], torch.tensor(0.5))
    assert params.expr.sum() == pytest.approx(0.6 + 4 * 0.5, abs=1e-5)


def test_arkit_looks_turn_eyeballs_and_leave_no_units(tmp_path, head):
    path = write_csv(tmp_path / "a.csv", head, [{"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5}] * 2)
    params = read_motion(path).params
    assert (params.expr[:, head.gaze_units] == 0).all()
    expected = 0.5 * float(head.gaze_angles[0])
    assert params.eyes[0, 0] == pytest.approx(-expected) and params.eyes[0, 3] == pytest.approx(-expected)


def test_arkit_eye_columns_take_the_sign_of_the_units(tmp_path, head):
    for sign in (1, -1):
        rows = [{"eyeLookUpLeft": 0.4, "LeftEyePitch": sign * 0.17}] * 2
        params = read_motion(write_csv(tmp_path / "a.csv", head, rows, ANGLES)).params
        assert params.eyes[0, 0] == pytest.approx(-0.17), "looking up is a negative turn about x"


def test_arkit_head_angles_turn_the_nose(tmp_path, head):
    def nose(row):
        params = read_motion(write_csv(tmp_path / "a.csv", head, [row] * 2, ANGLES)).params
        return axis_angle_to_matrix(params.rotation[0]) @ torch.tensor([0.0, 0.0, 1.0])

    assert nose({"HeadYaw": 0.3})[0] == pytest.approx(np.sin(0.3), abs=1e-5)
    assert nose({"HeadPitch": 0.3})[1] == pytest.approx(np.sin(0.3), abs=1e-5)
    assert torch.allclose(nose({"HeadRoll": 0.3}), torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_timecodes_give_the_rate_and_dropped_rows_are_filled(tmp_path, head):
    times = [k for k in range(120) if k != 70]
    codes = [f"23:59:{58 + k // 60:02d}:{k % 60:02d}.000" for k in times]
    rows = [{"jawOpen": k / 200} for k in times]
    motion = read_motion(write_csv(tmp_path / "a.csv", head, rows, timecodes=codes))
    assert motion.fps == 60 and motion.frame_count == 120
    jaw = motion.params.expr[:, head.unit("jawOpen")]
    assert torch.allclose(jaw, torch.arange(120) / 200, atol=1e-5)


def test_rows_without_a_face_are_skipped(tmp_path, head):
    rows = [{"jawOpen": 0.5}, None, {"jawOpen": 0.5}]
    motion = read_motion(write_csv(tmp_path / "a.csv", head, rows, timecodes=["", "", ""]))
    assert motion.frame_count == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame,value\n1,2\n", "no ARKit units"),
        ("", "no ARKit units"),
        ("JawOpen,EyeBlinkLeft,EyeBlinkRight\n0,0,x\n", "line 2"),
        ("JawOpen,EyeBlinkLeft,EyeBlinkRight\n0,0,nan\n", "NaN"),
        ("JawOpen,EyeBlinkLeft,EyeBlinkRight\n", "no rows"),
    ],
)
def test_bad_csv_is_one_line(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_motion(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_binary_csv_is_refused(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x80" * 50)
    with pytest.raises(InputError, match=r"b\.csv"):
        read_motion(tmp_path / "b.csv")


def test_numpy_motion_by_names(tmp_path, head):
    np.savez(tmp_path / "m.npz", expr=np.array([[0.2], [0.4]]), names=np.array(["jawOpen"]), fps=48.0)
    motion = read_motion(tmp_path / "m.npz")
    assert motion.fps == 48 and motion.params.expr[:, head.unit("jawOpen")].tolist() == pytest.approx(
        [0.2, 0.4]
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"expr": np.zeros((3, 7))}, "7 columns"),
        ({"expr": np.zeros((0, 52))}, "one row per frame"),
        ({"expr": np.full((2, 52), np.nan)}, "NaN"),
        ({"expr": np.zeros((2, 52)), "rotation": np.zeros((3, 3))}, "rotation"),
        ({"expr": np.zeros((2, 1)), "names": np.array(["jawDrop"])}, "jawDrop"),
        ({"expr": np.zeros((2, 52)), "fps": np.array(-1.0)}, "fps"),
        ({"pose": np.zeros((2, 52))}, "lacks expr"),
        ({"expr": np.array([["a"] * 52])}, "expected numbers"),
    ],
)
def test_bad_numpy_motion_is_one_line(tmp_path, arrays, words):
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(InputError, match=words) as caught:
        read_motion(tmp_path / "m.npz")
    assert "m.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_pickles_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", expr=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError):
        read_motion(tmp_path / "m.npz")


def write_flame_folder(folder, frames=3):
    (folder / "flame_param").mkdir(parents=True)
    for frame in range(frames):
        np.savez(
            folder / "flame_param" / f"{frame:05d}.npz",
            expr=np.full((1, 100), frame, np.float32), rotation=np.full((1, 3), 0.1 * frame, np.float32),
            neck_pose=np.zeros((1, 3), np.float32), jaw_pose=np.full((1, 3), 0.2, np.float32),
            eyes_pose=np.zeros((1, 6), np.float32), translation=np.zeros((1, 3), np.float32),
            shape=np.zeros(300, np.float32), static_offset=np.zeros((1, 5143, 3), np.float32),
        )  # fmt: skip
    return folder


def test_flame_folder_is_refused_for_the_open_head(tmp_path):
    with pytest.raises(InputError, match="cannot drive the open head"):
        read_motion(write_flame_folder(tmp_path / "seq"))


def test_flame_folder_is_read_in_order_for_a_flame_head(tmp_path, head):
    from dataclasses import replace

    flame = replace(head, name="flame2020", _copies={})
    motion = read_flame_params(write_flame_folder(tmp_path / "seq"), flame)
    assert motion.params.expr[:, 0].tolist() == [0, 1, 2]
    assert motion.params.rotation[2].tolist() == pytest.approx([0.2] * 3)
    assert motion.params.jaw[0].tolist() == pytest.approx([0.2] * 3)


@pytest.mark.parametrize("name", ["nothing.h5", "folder", "text.h5", "clip.mp4"])
def test_what_is_no_motion_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "clip.mp4").write_bytes(b"\0" * 64)
    with pytest.raises(InputError) as caught:
        read_motion(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_interpolation_holds_ends_and_goes_the_short_way(head):
    params = HeadParams.zeros(head, 2)
    # Nearly half a turn one way and the other: the same orientation but for 0.04 rad.
    params.rotation = torch.tensor([[np.pi - 0.02, 0, 0], [-np.pi + 0.02, 0, 0]], dtype=torch.float32)
    params.expr[1] = 1
    middle = interpolate_params(params, np.array([-3.0, 0.5, 9.0]))
    assert torch.allclose(middle.expr[:, 0], torch.tensor([0.0, 0.5, 1.0]))
    up = axis_angle_to_matrix(middle.rotation[1]) @ torch.tensor([0.0, 1.0, 0.0])
    assert up[1] == pytest.approx(-1, abs=1e-4)


def test_random_bytes_never_crash_the_readers(tmp_path):
    rng = np.random.default_rng(0)
    valid = io.BytesIO()
    np.savez(valid, expr=np.zeros((2, 52)))
    for trial in range(40):
        data = bytearray(valid.getvalue())
        for position in rng.integers(0, len(data), 12):
            data[position] = rng.integers(256)
        path = tmp_path / f"{trial}.npz"
        path.write_bytes(bytes(data))
        try:
            read_motion(path)
        except InputError:
            continue
