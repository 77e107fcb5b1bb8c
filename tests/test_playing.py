"""Play: the fast way from parameters to Gaussians equals the plain one; frames drawn ahead stay in order."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
import torch
from avatar_samples import sample_light
from mannequin import make_mannequin
from test_optimize_splats import TRIANGLES, some_frames, some_gaussians

from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import Rig
from emoga.avatar.score import Score, person_of
from emoga.head import BONES, HeadParams, load_head
from emoga.motion import Motion
from emoga.optimize.baked import BakedGaussians
from emoga.optimize.carry import carry, sort_bindings
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.pose_tables import PoseTables
from emoga.reenactment import portrait_camera, reenact
from emoga.reenactment.drawing import POSED_TOGETHER, draw_in_order

FRAMES = 2 * POSED_TOGETHER + 3


@pytest.fixture(scope="module")
def head():
    return load_head("open")


@pytest.fixture(scope="module")
def params(head):
    """Talk, blinks and turns far from the bind pose."""
    generator = torch.Generator().manual_seed(0)
    params = HeadParams.zeros(head, FRAMES)
    params.expr[:] = torch.rand(params.expr.shape, generator=generator) * 0.5
    for name in ("rotation", "neck", "jaw", "translation"):
        getattr(params, name)[:] = torch.randn(FRAMES, 3, generator=generator) * 0.1
    params.rotation[:, 1] = torch.linspace(-3, 3, FRAMES)
    return params


@pytest.fixture(scope="module")
def avatar(head, params):
    avatar = make_mannequin(motion=Motion(head.name, head.version, head.checksum, params, 10.0))
    # A few Gaussians hang from bones.
    avatar.gaussians.binding[: len(BONES)] = -1 - torch.arange(len(BONES))
    return avatar


def assert_carried_alike(fast, plain):
    torch.testing.assert_close(fast.means, plain.means, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast.scales, plain.scales, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(fast.opacities, plain.opacities, atol=5e-5, rtol=0)
    # A quaternion and its negative are the same rotation.
    torch.testing.assert_close(
        (fast.quats * torch.nn.functional.normalize(plain.quats, dim=-1)).sum(-1).abs(),
        torch.ones(len(fast.quats)), atol=1e-5, rtol=0,
    )  # fmt: skip
    torch.testing.assert_close(fast.colors[0], plain.colors, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("light", [None, sample_light()])
@pytest.mark.parametrize("rig", ["smooth", "ga"])
def test_posing_for_play_equals_posing_for_fits(avatar, params, rig, light, monkeypatch):
    monkeypatch.setattr(avatar, "rig", rig)
    monkeypatch.setattr(avatar, "light", light)
    renderer = AvatarRenderer(avatar)
    puppet = renderer.puppet
    position = np.array([0.2, 0.1, 0.9], np.float32)
    for frame in range(FRAMES):
        _, frames = pose_frames(puppet.identity, puppet.rig, params, frame)
        bindings = sort_bindings(puppet.gaussians.binding, len(puppet.head.faces))
        plain = carry(puppet.gaussians, bindings, frames, puppet.bind, torch.from_numpy(position))
        pose = renderer.pose(params, frame, frame + 1)[0]
        assert_carried_alike(renderer.carry(pose, position[None]), plain)


def test_frames_posed_together_are_those_posed_alone(avatar, params):
    renderer = AvatarRenderer(avatar)
    position = np.array([[0.2, 0.1, 0.9]], np.float32)
    for frame, pose in enumerate(renderer.pose(params, 0, FRAMES)):
        together = renderer.carry(pose, position)
        kept = [getattr(together, name).clone() for name in ("means", "opacities", "colors")]
        alone = renderer.carry(renderer.pose(params, frame, frame + 1)[0], position)
        torch.testing.assert_close(kept[0], alone.means, atol=1e-6, rtol=1e-5)
        # The last bits of a pose hang on what it is posed with, and the fading of squeezed lids hangs on them.
        torch.testing.assert_close(kept[1], alone.opacities, atol=2e-4, rtol=0)
        torch.testing.assert_close(kept[2], alone.colors, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_baked_colours_equal_carried_ones(degree):
    gaussians = some_gaussians(301, degree)
    frames, bind = some_frames(1), some_frames(2)
    bindings = sort_bindings(gaussians.binding, TRIANGLES)
    batch = frames.map(lambda part: part[None])
    table = PoseTables(Rig("ga", torch.zeros(TRIANGLES, 3, dtype=torch.long), None), bind)
    table = table.from_frames(batch)[0]
    positions = np.array([[0.1, 0.2, 0.8], [-0.5, 0.3, -0.8]], np.float32)
    fast = BakedGaussians(gaussians, bindings.rows, bind).carry(table, positions)
    for camera in range(2):
        plain = carry(gaussians, bindings, frames, bind, torch.from_numpy(positions[camera]))
        torch.testing.assert_close(fast.colors[camera], plain.colors, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("output", ["video.mp4", "video.y4m", "folder"])
def test_the_number_of_threads_does_not_change_a_bit(avatar, tmp_path, output):
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            path = tmp_path / str(threads) / output
            reenact(avatar, path, size=(72, 48))
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            results.append([file.read_bytes() for file in files])
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] and len(results[0]) in (1, FRAMES + 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can take cores away")
def test_the_number_of_cores_does_not_change_a_bit_of_a_video(avatar, tmp_path):
    cores = os.sched_getaffinity(0)
    reenact(avatar, tmp_path / "many.mp4", size=(256, 256))
    try:
        os.sched_setaffinity(0, {min(cores)})
        reenact(avatar, tmp_path / "one.mp4", size=(256, 256))
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "many.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()


def draw(avatar, params, wanted, finish, hand_over):
    renderer = AvatarRenderer(avatar)
    camera = portrait_camera(load_head("open"), person_of(avatar), 32, 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        draw_in_order(renderer, Score(params, 10.0), [camera] * FRAMES, (1, 1, 1), wanted, finish, hand_over)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_frames_arrive_in_order_and_few_are_ahead(avatar, params):
    made, arrived, ahead = [], [], []
    lock = threading.Lock()

    def finish(rendering):
        with lock:
            made.append(None)
            turn = len(made)
        time.sleep(0.02 if turn % 3 == 1 else 0)
        return rendering.image[0].numpy().copy()

    def hand_over(frame, picture):
        arrived.append((frame, picture))
        time.sleep(0.005)
        with lock:
            ahead.append(len(made) - len(arrived))

    wanted = [frame for frame in range(FRAMES) if frame != 4]
    draw(avatar, params, wanted, finish, hand_over)
    assert [frame for frame, _ in arrived] == wanted
    assert max(ahead) <= 7
    alone = []
    for frame in (0, 9, FRAMES - 1):
        draw(avatar, params, [frame], finish, lambda *item: alone.append(item))
    assert all(np.array_equal(picture, dict(arrived)[frame]) for frame, picture in alone)


@pytest.mark.parametrize("where", ["finish", "hand_over"])
def test_an_interrupt_ends_the_drawing(avatar, params, where):
    made = []

    def finish(rendering):
        made.append(None)
        if where == "finish" and len(made) == 3:
            raise KeyboardInterrupt
        return None

    def hand_over(frame, item):
        if where == "hand_over" and frame == 2:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        draw(avatar, params, list(range(FRAMES)), finish, hand_over)
    assert len(made) < FRAMES and torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("emoga-draw")]


def test_part_of_a_head_moves_as_in_the_whole(head, params):
    identity = head.identify(0.5 * torch.ones(len(head.shape_names)))
    motion = (params.expr, params.rotation, params.neck, params.jaw, params.eyes, params.translation)
    lips = torch.nonzero(head.regions["lips"])[::5, 0]
    whole = identity.pose(*motion)[:, lips]
    torch.testing.assert_close(identity.part(lips).pose(*motion), whole, atol=1e-7, rtol=1e-5)
    with pytest.raises(ValueError, match="lids"):
        identity.part(head.lids.lashes[:3])
