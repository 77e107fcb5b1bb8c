"""Damaged and malicious files end in InputError: no crash, no hang, no memory blow-up.

EMOGA_FUZZ_SECONDS=300 pytest tests/test_hostile.py looks longer; the default is a glance.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from avatar_samples import colored_avatar, sample_avatar
from hypothesis import given, settings
from hypothesis import strategies as st

from emoga.avatar import load_avatar, save_avatar
from emoga.avatar.ply_records import format_ply
from emoga.errors import InputError

READERS = [
    "avatar.ply",
    "avatar.h5",
    "colored.h5",
    "inspect.ply",
    "track.h5",
    "motion.h5",
    "landmarks.npz",
    "motion.csv",
]
SECONDS = os.environ.get("EMOGA_FUZZ_SECONDS", "2")


@pytest.mark.timeout(int(float(SECONDS)) + 240)
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_refused_in_one_line(reader: str) -> None:
    # A glance always looks at the same inputs; a long look at new ones.
    seed = "0" if SECONDS == "2" else str(random.randrange(2**31))
    run = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "fuzz.py"), reader, SECONDS, seed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 20


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(
        [
            "gaussians/means",
            "gaussians/quats",
            "appearance/sh",
            "appearance/latents",
            "appearance/embed_in",
            "appearance/hidden",
            "appearance/out_bias",
            "binding",
            "labels",
            "head/shape",
            "neutral/expr",
        ]
    ),
    shape=st.lists(st.integers(0, 5), max_size=4),
    kind=st.sampled_from(["f4", "f8", "f2", "i4", "u1", "i8", "S5", "c8", "?"]),
    value=st.sampled_from([0, 1, -1, 127]),
)
def test_any_array_in_any_place_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, shape: list[int], kind: str, value: int
) -> None:
    path = tmp_path_factory.mktemp("h5") / "a.h5"
    save_avatar(colored_avatar(sample_avatar(10)), path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = np.full(shape, value).astype(kind)
    with pytest.raises(InputError) as caught:
        load_avatar(path)
    assert str(path) in str(caught.value)


def test_a_chunk_of_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    save_avatar(sample_avatar(10), path)
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (10,), "u1", maxshape=(None,), chunks=(2**31,), compression="gzip")
    with pytest.raises(InputError, match="chunks"):
        load_avatar(path)


def test_an_avatar_inside_an_avatar_is_not_followed_forever(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    save_avatar(sample_avatar(10), path)
    inner = np.frombuffer(path.read_bytes(), [("byte", "u1")])
    vertices = np.zeros(1, [(name, "<f4") for name in "xyz"])
    path.write_bytes(format_ply({"vertex": vertices, "emoga": inner}))
    with pytest.raises(InputError):
        load_avatar(path)
