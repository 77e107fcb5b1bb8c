"""The README's picture from a finished demo: a held-out photograph, the avatar there, the avatar acting.

python tools/readme_picture.py demo docs/result.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emoga.capture import load_track
from emoga.demo.demo import ACTS
from emoga.images import contact_sheet, read_image_uint8, resize, to_uint8, write_png
from emoga.video import VideoReader

SIDE = 256
CAPTION = 14  # pixels above each cell of a contact sheet
SHOWN = ("happy", "surprised", "angry")


def main() -> None:
    """Parse the two paths and compose the strip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="the folder that `make demo` wrote")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    track = load_track(arguments.demo / "track.h5")
    side = track.cameras[0].width
    worst = read_image_uint8(arguments.demo / "worst.png")
    photograph, avatar = (worst[CAPTION : CAPTION + side, i * side : (i + 1) * side] for i in (0, 1))
    video = VideoReader(arguments.demo / "emotions.mp4")
    acted = [video.frame(int((ACTS.index(name) + 0.5) * len(video) / len(ACTS))) for name in SHOWN]
    cells = [resize(picture, SIDE, SIDE) for picture in (photograph, avatar, *acted)]
    labels = ["held-out photograph (worst case)", "avatar, same view and frame", *SHOWN]
    write_png(arguments.output, contact_sheet([to_uint8(cell) for cell in cells], labels, columns=len(cells)))


if __name__ == "__main__":
    main()
