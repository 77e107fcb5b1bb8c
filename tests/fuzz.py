"""Damaged files by the thousand for every reader: `python tests/fuzz.py READER SECONDS [SEED]`.

Runs as a process of its own, because a crash inside a C library would take a test session with it. Each input is
a good file with random damage. A reader may succeed or raise InputError; anything else, more than a few seconds
or more than a gigabyte is a finding: the input is kept and the process exits with 1.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from avatar_samples import colored_avatar, sample_avatar, sample_motion

from emoga.avatar import avatar_bytes, inspect_avatar, load_avatar
from emoga.camera import look_at
from emoga.capture import Track, load_landmarks, load_track, save_landmarks, save_track
from emoga.errors import InputError
from emoga.head import load_head
from emoga.motion import load_motion, read_motion, save_motion

MOST_SECONDS = 5.0
MOST_MEMORY = 2**30
INTERESTING = [
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
]
FRAMES = 3


def good_avatar(suffix: str) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(avatar_bytes(sample_avatar(60), suffix)) and None


def good_colored(path: Path) -> None:
    path.write_bytes(avatar_bytes(colored_avatar(sample_avatar(60)), "h5"))


def good_motion(path: Path) -> None:
    save_motion(sample_motion(load_head("open")), path)


def good_track(path: Path) -> None:
    head = load_head("open")
    camera = look_at((0, 0, 1), (0, 0, 0), 0.4, 24, 16)
    masks = np.zeros((1, FRAMES, 16, 24), np.uint8)
    motion = sample_motion(head, FRAMES)
    track = Track(
        head.name, head.version, head.checksum, motion.params, [camera], [path.parent / "clip.mp4"],
        np.arange(FRAMES), 25.0, masks, masks, quality={"error": np.ones(FRAMES)},
    )  # fmt: skip
    save_track(track, path)


def good_landmarks(path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 64, (FRAMES, 478, 2))
    save_landmarks(path, points, np.ones(FRAMES, bool), 64, 48, 25.0)


def good_csv(path: Path) -> None:
    names = load_head("open").expr_names
    rows = [",".join(["Timecode", *names])]
    rows += [f"00:00:00:{frame:02d}.000," + ",".join(["0.25"] * len(names)) for frame in range(4)]
    path.write_text("\n".join(rows))


READERS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], object]]] = {
    "avatar.ply": (".ply", good_avatar("ply"), load_avatar),
    "avatar.h5": (".h5", good_avatar("h5"), load_avatar),
    "colored.h5": (".h5", good_colored, load_avatar),
    "inspect.ply": (".ply", good_avatar("ply"), inspect_avatar),
    "track.h5": (".h5", good_track, load_track),
    "motion.h5": (".h5", good_motion, load_motion),
    "landmarks.npz": (".npz", good_landmarks, lambda path: load_landmarks(path, FRAMES, 64, 48)),
    "motion.csv": (".csv", good_csv, read_motion),
}


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One to eight random injuries, most of them where headers are."""
    image = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        if not image:
            break
        span = len(image) if rng.random() < 0.5 else min(len(image), 4096)
        place = int(rng.integers(span))
        kind = rng.integers(6)
        if kind == 0:
            image[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            image[place] = int(rng.integers(256))
        elif kind == 2:
            width = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice(np.array(INTERESTING, dtype=object))) & (256**width - 1)
            image[place : place + width] = value.to_bytes(width, "little")
        elif kind == 3:
            del image[place : place + int(rng.integers(1, 64))]
        elif kind == 4:
            image[place:place] = rng.bytes(int(rng.integers(1, 32)))
        else:
            other = int(rng.integers(len(image)))
            image[place : place + 16] = image[other : other + 16]
    return bytes(image)


def main() -> int:
    """Damage and read until the time is over; the number of inputs goes to stdout."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    suffix, write, read = READERS[name]
    folder = Path(tempfile.mkdtemp(prefix="emoga-fuzz-"))
    path = folder / f"input{suffix}"
    write(path)
    good = path.read_bytes()
    read(path)
    faulthandler.enable()
    rng, end, count = np.random.default_rng(seed), time.monotonic() + seconds, 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < end:
        path.write_bytes(damage(good, rng))
        count += 1
        # A hang inside a C library cannot be caught, only ended, with a stack printed.
        faulthandler.dump_traceback_later(60, exit=True)
        begun = time.monotonic()
        problem = _read(read, path)
        if time.monotonic() - begun > MOST_SECONDS:
            problem = f"took {time.monotonic() - begun:.1f} s"
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
        if growth > MOST_MEMORY:
            problem = f"took {growth / 2**20:.0f} MB"
        if problem:
            print(f"input {count} of seed {seed}, kept as {path}: {problem}", file=sys.stderr)
            return 1
    faulthandler.cancel_dump_traceback_later()
    path.unlink()
    folder.rmdir()
    print(count)
    return 0


def _read(read: Callable[[Path], object], path: Path) -> str:
    """What went wrong, "" when nothing did."""
    try:
        read(path)
    except InputError as error:
        if "\n" in str(error) or str(path) not in str(error):
            return f"message {str(error)!r} is not one line naming the file"
    except BaseException:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    sys.exit(main())
