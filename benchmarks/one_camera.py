"""A head fitted to one camera of a rig alone, scored from all the others: what its sides look like, against truth.

    python benchmarks/one_camera.py p1.track.h5 --view 8 --json one_camera.json

The track is that of all cameras, of which the fit is given one, with its pictures alone; frames the track holds out
train nothing. Scored are all pictures of the track, PSNR in the head mask, by how far the camera stands aside.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import emoga  # before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch
from harness import print_figures, say, write_report

from emoga.avatar import Avatar
from emoga.capture import Track, load_track, save_track
from emoga.optimize.metrics import average
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.scoring import score_split

BANDS = (0.0, 5.0, 30.0, 50.0, 180.0)  # degrees between cameras


def one_camera(track: Track, view: int) -> Track:
    """The track as it would be, had only one of its cameras filmed."""
    masks, head_masks = (
        None if part is None else part[view : view + 1] for part in (track.masks, track.head_masks)
    )
    return replace(
        track, cameras=[track.cameras[view]], media=[track.media[view]], masks=masks, head_masks=head_masks,
        landmarks=None, quality={}, held_out=replace(track.held_out, views=()), opened={}, _datasets={},
    )  # fmt: skip


def degrees_aside(track: Track, view: int) -> np.ndarray:
    """Angle [C] between the optical axes of all cameras and of one."""
    axes = np.stack([camera.w2c[2, :3] for camera in track.cameras])
    return np.degrees(np.arccos(np.clip(axes @ axes[view], -1, 1)))


def band_rows(avatar: Avatar, track: Track, view: int) -> list[dict[str, object]]:
    """The figures of each band of angles that has cameras."""
    aside, rows = degrees_aside(track, view), []
    pairs = [(v, f) for v in range(len(track.cameras)) for f in range(track.frame_count)]
    _, scores = score_split(AvatarRenderer(avatar), track, pairs, params=avatar.motion.params, report=say)
    for low, high in itertools.pairwise(BANDS):
        inside = [one for one in scores if low <= aside[one.view] < high]
        if inside:
            likeness = average(one.likeness for one in inside)
            views = len({one.view for one in inside})
            rows.append(
                {"degrees": [low, high], "views": views, "psnr": likeness.psnr, "ssim": likeness.ssim}
            )
            print_figures(rows[-1])
    return rows


def main() -> None:
    """Fit and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("track", type=Path)
    parser.add_argument("--view", type=int, required=True, help="the camera that the fit is given")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--keep", type=Path, help="also write the avatar here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    track = load_track(options.track)
    with tempfile.TemporaryDirectory() as folder:
        save_track(one_camera(track, options.view), Path(folder) / "one.track.h5")
        path = options.keep or Path(folder) / "one.ply"
        emoga.fit(Path(folder) / "one.track.h5", path, preset=options.preset, report=say, overwrite=True)
        rows = band_rows(emoga.load_avatar(path), track, options.view)
    threads = torch.get_num_threads()
    write_report(
        rows, threads, options.json, track=options.track.name, view=options.view, preset=options.preset
    )


if __name__ == "__main__":
    main()
