"""FLAME heads: their files read as data, their posing against the published formulas, the head made of them."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch
from flame_shaped import OldPickle, flame_shaped, write_flame, write_landmarks

from emoga.avatar import Avatar, Gaussians, load_avatar, save_avatar
from emoga.avatar.rig import bind_pose
from emoga.camera import look_at
from emoga.capture import save_landmarks, write_capture_index
from emoga.describe import describe
from emoga.errors import InputError, MissingComponent
from emoga.exporting.flame import flame_param
from emoga.head import HeadParams, load_head
from emoga.head.flame import convert_flame
from emoga.head.flame_file import read_flame, read_landmark_file, read_masks, read_uv
from emoga.head.flame_parts import Supplied
from emoga.images import write_png
from emoga.motion import Motion
from emoga.motion.readers_flame import read_flame_params
from emoga.pickles import read_pickle
from emoga.tracking import track
from emoga_cli.main import main


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """A folder of assets with the FLAME-shaped head in it; EMOGA_ASSETS points there."""
    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOGA_ASSETS", str(folder))
        convert_flame(write_flame(folder / "generic_model.pkl"), "flame2020", Supplied(), load_head())
        yield folder


@pytest.fixture(scope="module")
def head(assets):
    return load_head("flame2020")


def rodrigues(turn: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(turn)
    if angle == 0:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def published(shape, expr, turns, translation) -> np.ndarray:
    """M(beta, theta, psi) of Li et al. 2017 in float64: turns [5,3] of root, neck, jaw, left and right eye."""
    a = flame_shaped()
    rest = a["v_template"] + a["shapedirs"][:, :, :300] @ shape
    joints = a["J_regressor"] @ rest
    matrices = [rodrigues(turn) for turn in turns]
    feature = np.concatenate([(matrix - np.eye(3)).ravel() for matrix in matrices[1:]])
    shaped = rest + a["shapedirs"][:, :, 300:] @ expr + a["posedirs"] @ feature
    world = []
    for joint, parent in enumerate((None, 0, 1, 1, 1)):
        local = np.eye(4)
        local[:3, :3] = matrices[joint]
        local[:3, 3] = joints[joint] - (0 if parent is None else joints[parent])
        world.append(local if parent is None else world[parent] @ local)
    for joint in range(5):
        world[joint][:3, 3] -= world[joint][:3, :3] @ joints[joint]
    blended = np.einsum("vj,jab->vab", a["weights"], np.stack(world))
    return (blended[:, :3, :3] @ shaped[..., None])[..., 0] + blended[:, :3, 3] + translation


@pytest.mark.parametrize("seed", [0, 1])
def test_posing_is_the_published_formula(head, seed):
    rng = np.random.default_rng(seed)
    shape, expr = rng.normal(size=300), rng.normal(size=100)
    turns, translation = 0.4 * rng.normal(size=(5, 3)), rng.normal(size=3)
    expected = published(shape, expr, turns, translation)
    double = head.to(dtype=torch.float64)
    identity = double.identify(torch.from_numpy(shape))
    given = [torch.from_numpy(turn)[None] for turn in turns]
    turn = torch.from_numpy(rodrigues(turns[0]))[None]
    shift = torch.from_numpy(translation)[None]
    moved = double.root.translation_from(identity.rest, turn, shift)
    posed = identity.pose(
        torch.from_numpy(expr)[None], given[0], given[1], given[2], torch.cat(given[3:], 1), moved
    )[0]
    assert np.abs(posed[: len(expected)].numpy() - expected).max() < 1e-6
    back = double.root.translation_to(identity.rest, turn, moved)
    torch.testing.assert_close(back, shift)


def test_a_part_is_posed_as_the_whole(head):
    identity = head.identify(torch.randn(300, generator=torch.Generator().manual_seed(1)))
    chosen = torch.tensor([3, 77, 4000, 5100])
    motion = (torch.full((2, 100), 0.3), None, torch.full((2, 3), 0.2), torch.full((2, 3), 0.1))
    torch.testing.assert_close(identity.part(chosen).pose(*motion), identity.pose(*motion)[:, chosen])


def test_the_origin_is_between_the_eyes_and_gradients_are_finite(head):
    torch.testing.assert_close(head.joints[2:].mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    params = HeadParams.zeros(head, 1)
    values = [params.shape, params.expr, params.rotation, params.neck, params.jaw, params.eyes]
    for value in values:
        value.requires_grad_()
    (head.vertices(params) ** 2).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in values)


def test_teeth_hang_from_neck_and_jaw(head):
    identity = head.identify(torch.zeros(300))
    upper, lower = torch.arange(5023, 5083), torch.arange(5083, 5143)
    assert head.regions["teeth"].sum() == 120 and head.faces.shape == (10144, 3)
    opened = identity.pose(torch.zeros(1, 100), jaw=torch.tensor([[0.3, 0, 0]]))[0]
    torch.testing.assert_close(opened[upper], identity.rest[upper])
    assert (opened[lower] - identity.rest[lower])[:, 1].max() < -0.005
    lips = identity.rest[head.regions["lips"]]
    teeth = identity.rest[5023:]
    assert teeth[:, 2].max() < lips[:, 2].max() and abs(float(teeth[:, 1].mean() - lips[:, 1].mean())) < 0.015


def test_landmarks_and_regions_lie_where_the_open_head_has_them(head):
    like = load_head()
    scale = float((head.joints[2] - head.joints[3]).norm() / (like.joints[2] - like.joints[3]).norm())
    for scheme, bound in (("ibug68", 0.0025), ("mediapipe478", 0.0025)):
        expected = scale * like.landmarks[scheme].points(like.template)
        gap = (head.landmarks[scheme].points(head.template) - expected).norm(dim=-1)
        assert gap.mean() < bound
    irises = head.landmarks["mediapipe478"].corners[468:]
    assert head.regions["eyeballs"][irises].all()
    middle = {name: head.template[head.regions[name]].mean(0) for name in ("lips", "nose", "scalp", "neck")}
    assert middle["scalp"][1] > middle["nose"][1] > middle["lips"][1] > middle["neck"][1]
    assert (head.face_regions < len(head.region_names)).all()
    assert head.uv.min() >= 0 and head.uv.max() <= 1


def test_official_landmarks_and_masks_are_taken(assets, tmp_path):
    file = read_landmark_file(write_landmarks(tmp_path / "landmark_embedding.npy"))
    ids = {name: np.arange(i * 9, i * 9 + 9) for i, name in enumerate(("scalp", "lips", "nose", "left_ear"))}
    masks = tmp_path / "FLAME_masks.pkl"
    masks.write_bytes(pickle.dumps(ids, protocol=2))
    supplied = Supplied(read_masks(masks), [file])
    convert_flame(assets / "generic_model.pkl", "flame2023", supplied, load_head())
    head = load_head("flame2023")
    np.testing.assert_array_equal(head.landmarks["ibug68"].faces.numpy(), file["faces"])
    assert head.regions["scalp"].nonzero()[:, 0].tolist() == list(range(9))
    assert head.regions["lips"][9:18].all() and head.regions["lips"].sum() == 9
    assert head.checksum == load_head("flame2020").checksum, "what lies where changes no form"


def test_texture_layout_is_read_from_obj(tmp_path):
    faces = flame_shaped()["f"].astype(int) + 1
    lines = ["vt 0.25 0.5", "vt 0.5 0.5", "vt 0.5 0.75"]
    lines += [f"f {a}/1 {b}/2 {c}/3" for a, b, c in faces]
    path = tmp_path / "head_template.obj"
    path.write_text("\n".join(lines))
    found = read_uv(path)
    np.testing.assert_array_equal(found["faces"], faces - 1)
    assert found["uv"].shape == (3, 2) and (found["uv_faces"] == [0, 1, 2]).all()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="9976"):
        read_uv(path)


def test_a_missing_head_says_what_to_do(assets):
    with pytest.raises(MissingComponent, match="emoga assets add FILE --as flame2023-open"):
        load_head("flame2023-open")


def test_pickles_of_either_python_are_read(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.arange(6).reshape(2, 3)), "c": 2.5}
    sparse = {"csc": scipy.sparse.csc_matrix(arrays["a"]), "csr": scipy.sparse.csr_matrix(arrays["a"])}
    for protocol in range(6):
        path = tmp_path / f"{protocol}.pkl"
        path.write_bytes(pickle.dumps({**arrays, **sparse, "d": [1, "x", None, True]}, protocol))
        found = read_pickle(path)
        for name in ("a", "b"):
            np.testing.assert_array_equal(found[name], arrays[name])
        for kind in ("csc", "csr"):
            np.testing.assert_array_equal(found[kind], arrays["a"])
        assert found["c"] == 2.5 and found["d"] == [1, "x", None, True]


def test_npz_with_the_same_arrays_is_the_same_head(assets, tmp_path):
    path = tmp_path / "converted.npz"
    np.savez(path, **flame_shaped())
    for name, values in read_flame(path).items():
        np.testing.assert_array_equal(values, flame_shaped()[name])


class Calls:
    """Pickles as a call of os.system."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile_pickles(marker: Path) -> dict[str, bytes]:
    """Pickles that do harm when run, or that ask for more than there is; `marker` would be written."""
    import os

    command = f"touch {marker}"
    deep = b"\x80\x02" + b")" + b"\x85" * 100_000 + b"}h\x00."
    return {
        "system": pickle.dumps({"v_template": Calls(os.system, command)}, 2),
        "eval": pickle.dumps(Calls(eval, f"open({str(marker)!r}, 'w')"), 4),
        "getattr": b"\x80\x02c__builtin__\ngetattr\ncnumpy\nndarray\nU\x04dump\x86R.",
        "instance": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "object": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "numpy": b"\x80\x02cnumpy\nload\nU\x01a\x85R.",
        "dtype attribute": b"\x80\x04\x8c\x05numpy\x8c\x10dtype.__reduce__\x93)R.",
        "call of a result": b"\x80\x02cnumpy\ndtype\nU\x02f8\x85R)R.",
        "persistent": b"\x80\x02U\x01aQ.",
        "extension": b"\x80\x02\x82\x01.",
        "huge bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "huge text": b"\x80\x04X\xff\xff\xff\xff.",
        "huge array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftcnumpy\ndtype\nU\x02f8K\x00K\x01\x87R\x89U\x01atb.",
        "huge sparse": b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81}(U\x06_shape"
        b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86ub.",
        "memo": b"\x80\x02Nr\xff\xff\xff\xff" + b"j\xfe\xff\xff\xff.",
        "deep": deep,
        "itself": b"\x80\x02]q\x00h\x00a.",
        "laughs": b"\x80\x02]" + b"".join(b"q%c](" % i + b"h%c" % i * 200 + b"e" for i in range(60)) + b".",
        "long number": b"I" + b"9" * 100_000 + b"\n.",
        "nothing": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\n",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(hostile_pickles(Path("marker"))))
def test_hostile_pickles_run_nothing_and_end_in_one_line(name, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("EMOGA_ASSETS", str(tmp_path / "assets"))
    marker = tmp_path / "marker"
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(hostile_pickles(marker)[name])
    assert main(["assets", "add", str(path)]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and str(path) in lines[0]
    assert not marker.exists() and not list(tmp_path.glob("assets/heads/*"))


def test_damage_is_never_anything_but_refused(tmp_path):
    rng = np.random.default_rng(0)
    writer = OldPickle()
    writer.out.append(b"}(")
    for name, write in ((b"a", writer.chumpy), (b"b", writer.sparse), (b"c", writer.array)):
        writer.text(name)
        write(np.arange(6.0).reshape(2, 3))
    writer.out.append(b"u")
    sound = np.frombuffer(writer.bytes(), np.uint8)
    path = tmp_path / "damaged.pkl"
    for _ in range(400):
        damaged = sound.copy()
        at = rng.integers(0, len(sound), rng.integers(1, 6))
        damaged[at] = rng.integers(0, 256, len(at))
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(InputError):
            read_pickle(path)


def with_nan(values):
    changed = values.copy()
    changed.flat[7] = np.nan
    return changed


@pytest.mark.parametrize(
    ("array", "change", "named"),
    [
        ("v_template", lambda a: a[:-1], "5022x3 instead of 5023x3"),
        ("v_template", lambda a: a * 1000, "metres"),
        ("f", lambda a: a + 5000, "points outside"),
        ("shapedirs", with_nan, "not finite"),
        ("shapedirs", lambda a: a[:, :, :150], "instead of 5023x3x400"),
        ("posedirs", lambda a: None, "lacks posedirs"),
        ("weights", lambda a: 2 * a, "add up to 1"),
        ("weights", lambda a: np.eye(5)[np.zeros(len(a), int)], "no eyeballs"),
        ("J_regressor", lambda a: 0 * a, "add up to 1"),
        ("kintree_table", lambda a: a[:, ::-1], "kintree_table"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_hold_together_is_named(array, change, named, tmp_path):
    path = write_flame(tmp_path / "flame2023.pkl", **{array: change(flame_shaped()[array])})
    with pytest.raises(InputError, match=named):
        read_flame(path)


def test_a_truncated_model_is_refused(assets, tmp_path):
    data = (assets / "generic_model.pkl").read_bytes()
    path = tmp_path / "flame2023.pkl"
    for share in (0.3, 0.99):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(InputError, match="cut short"):
            read_flame(path)


def theirs(shape: np.ndarray, frames: int = 3) -> dict[str, np.ndarray]:
    """FLAME parameters of a moving head, as datasets store them."""
    rng = np.random.default_rng(5)
    widths = {"expr": 100, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
    arrays = {name: 0.2 * rng.normal(size=(frames, width)) for name, width in widths.items()}
    return {name: array.astype(np.float32) for name, array in {**arrays, "shape": shape}.items()}


def test_flame_param_places_vertices_where_flame_does_and_goes_out_as_it_came(head, tmp_path):
    given = theirs(np.random.default_rng(6).normal(size=300))
    np.savez(tmp_path / "flame_param.npz", **given)
    motion = read_flame_params(tmp_path / "flame_param.npz", head)
    posed = head.vertices(motion.params)
    for frame in range(3):
        turns = [given["rotation"], given["neck_pose"], given["jaw_pose"]]
        turns += [given["eyes_pose"][:, :3], given["eyes_pose"][:, 3:]]
        rows = np.stack([turn[frame] for turn in turns]).astype(np.float64)
        expected = published(given["shape"], given["expr"][frame], rows, given["translation"][frame])
        assert np.abs(posed[frame, : len(expected)].numpy() - expected).max() < 2e-6
    avatar = flame_avatar(head, motion.params)
    written = flame_param(motion.params, avatar.shape, avatar.static_offset, avatar.head_name)
    for name, array in given.items():
        np.testing.assert_allclose(written[name], array, atol=2e-6)


def test_flame_parameters_are_described_whether_flame_is_here_or_not(tmp_path):
    given = theirs(np.zeros(300, np.float32))
    np.savez(tmp_path / "flame_param.npz", **given)
    (tmp_path / "take" / "flame_param").mkdir(parents=True)
    for frame in range(2):
        np.savez(tmp_path / "take" / "flame_param" / f"{frame:05d}.npz", **given)
    for name, frames in (("flame_param.npz", 3), ("take", 6)):
        found = describe(tmp_path / name)
        assert found.kind == "motion, FLAME parameters"
        assert found.facts == {"frames": frames, "expression_components": 100}


def flame_avatar(head, params) -> Avatar:
    """A few Gaussians on a FLAME head."""
    binding = torch.arange(0, len(head.faces), 500)
    count = len(binding)
    gaussians = Gaussians(
        torch.zeros(count, 3), torch.eye(4)[:1].expand(count, 4), torch.full((count, 3), -1.0),
        torch.zeros(count), torch.zeros(count, 1, 3), binding, head.face_regions[binding],
    )  # fmt: skip
    motion = Motion(head.name, head.version, head.checksum, params, 25.0)
    return Avatar(
        gaussians, head.name, head.version, head.checksum, params.shape, torch.zeros(100), motion=motion
    )


def test_an_avatar_names_its_head_and_holds_none_of_it(head, tmp_path):
    params = HeadParams.zeros(head, 2)
    avatar = flame_avatar(head, params)
    for name in ("a.h5", "a.ply"):
        save_avatar(avatar, tmp_path / name)
        assert load_avatar(tmp_path / name).head_checksum == head.checksum
    sizes = []
    with h5py.File(tmp_path / "a.h5") as file:
        file.visititems(lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None)
    assert max(sizes) < 3 * 5023, "nothing as large as a mesh"


def test_another_version_of_the_head_is_refused(head, assets, tmp_path):
    avatar = flame_avatar(head, HeadParams.zeros(head, 1))
    save_avatar(avatar, tmp_path / "a.h5")
    changed = write_flame(tmp_path / "other.pkl", v_template=flame_shaped()["v_template"] * 1.01)
    convert_flame(changed, "flame2023-open", Supplied(), load_head())
    avatar.head_name = "flame2023-open"
    with pytest.raises(InputError, match="mixing versions"):
        bind_pose(avatar)


def test_a_flame_head_is_tracked(head, assets, tmp_path):
    truth = HeadParams.zeros(head, 3)
    truth.shape[:10] = torch.randn(10, generator=torch.Generator().manual_seed(2))
    truth.jaw[:, 0] = torch.tensor([0.0, 0.1, 0.2])
    truth.rotation[:, 1] = torch.tensor([-0.2, 0.0, 0.2])
    cameras = [
        look_at((x, 0, 0.8), (0, -0.03, -0.03), 0.42, 96, 96, name=f"c{i}") for i, x in enumerate((-0.3, 0.3))
    ]
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    for camera in cameras:
        for frame in range(3):
            for kind in ("images", "masks"):
                write_png(tmp_path / kind / camera.name / f"{frame:06d}.png", np.full((96, 96, 3), 0.5))
        marks = camera.project(points)[0]
        save_landmarks(tmp_path / "landmarks" / f"{camera.name}.npz", marks, np.ones(3, bool), 96, 96, 25.0)
    write_capture_index(tmp_path, cameras, 3, 25.0, {})
    found = track(tmp_path, tmp_path / "t.h5", head="flame2020", preset="fast", overlay=False)
    face = head.regions["face"]
    gap = (head.vertices(found.params) - head.vertices(truth))[:, face].norm(dim=-1).mean()
    mean_head = (head.vertices(HeadParams.zeros(head, 3)) - head.vertices(truth))[:, face].norm(dim=-1).mean()
    assert gap < 0.4 * mean_head
    assert (found.params.jaw[:, 0] - truth.jaw[:, 0]).abs().max() < 0.05


def test_emotions_are_those_of_the_open_head_in_components(head):
    rest = head.identify(torch.zeros(300))
    points = head.landmarks["mediapipe478"]
    assert set(head.presets) == set(load_head().presets)

    def moved(name):
        return (points.points(rest.pose(head.emotion(name)[None])[0]) - points.points(rest.rest)) * 1e3

    happy, angry, surprised = (moved(name) for name in ("happy", "angry", "surprised"))
    corners, brows = [61, 291], [105, 334]
    assert happy[corners, 1].min() > 1.5, "lip corners up"
    assert happy[291, 0] - happy[61, 0] > 1, "and apart"
    assert angry[brows, 1].max() < -1 and surprised[brows, 1].min() > 1
    assert head.emotion("happy").abs().max() <= 3
