"""emoga's own face detector on real video: tracks without landmarks beside tracks with those of a given detector.

    EMOGA_REAL=FOLDER python benchmarks/own_detector.py --work DIR --json benchmarks/results/own_detector.json
    EMOGA_REAL=FOLDER python benchmarks/own_detector.py --work DIR --clips mono_b --preset fast

Every clip is FOLDER/NAME/video.mp4 with landmarks.npz (mediapipe478) beside it. Tracks that lie in DIR already are
judged as they are. Rows say, of the track made without landmarks: `error` the mean distance of its points to the given
ones over the face's height; `photometric` its pictures' error over that of the track with given landmarks; `jitter`
second differences of (forehead - forehead followed by optical flow), over those of the given points; `blink` how far
its lids move over how far the given ones do; `lip_gap` the correlation of the gap between the lips, and `closed` its
95th percentile over the face's height in frames in which the given lips are closed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import emoga  # isort: skip  before torch: it sets how torch's threads wait
import cv2
import numpy as np
import torch
from harness import write_report

from emoga.capture import Pictures, Track, load_landmarks, load_track, open_pictures
from emoga.capture.landmarks import CHIN, FOREHEAD
from emoga.evaluation import evaluate_track
from emoga.head import load_head

BROW_TO_HAIR = (10, 151, 9, 67, 297, 109, 338, 69, 299, 108, 337)  # the forehead
LIDS = ((159, 145), (158, 153), (386, 374), (385, 380))
LIPS = (13, 14)
CLOSED = 0.01  # of the face's height between the given lips
FLOW = {
    "winSize": (21, 21),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
}


def points_of(track: Track) -> np.ndarray:
    """The tracked head's mediapipe478 points [T,478,2] in the pixels of the first camera."""
    head = load_head(track.head_name)
    world = head.landmarks["mediapipe478"].points(head.vertices(track.params)).double().numpy()
    return track.cameras[0].project(world)[0]


def forehead_flow(pictures: Pictures, frames: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Motion [T-1,2] in pixels of the forehead's skin from frame to frame: the median over corners that return."""
    moves = np.zeros((len(frames) - 1, 2))
    grey = [cv2.cvtColor(pictures.picture(int(f)), cv2.COLOR_RGB2GRAY) for f in frames]
    for t in range(len(frames) - 1):
        mask = np.zeros_like(grey[t])
        cv2.fillConvexPoly(mask, cv2.convexHull(given[t, list(BROW_TO_HAIR)].astype(np.int32)), 255)
        corners = cv2.goodFeaturesToTrack(grey[t], 80, 0.005, 4, mask=mask)
        there, good, _ = cv2.calcOpticalFlowPyrLK(grey[t], grey[t + 1], corners, None, **FLOW)
        back, good_back, _ = cv2.calcOpticalFlowPyrLK(grey[t + 1], grey[t], there, None, **FLOW)
        returned = np.linalg.norm((back - corners)[:, 0], axis=1) < 0.5
        kept = returned & (good[:, 0] > 0) & (good_back[:, 0] > 0)
        moves[t] = np.median((there - corners)[kept, 0], axis=0) if kept.any() else np.nan
    return moves


def jitter(points: np.ndarray, flow: np.ndarray) -> float:
    """RMS second difference in pixels of the forehead's middle less the flow's path."""
    off = np.diff(points[:, list(BROW_TO_HAIR)].mean(1), axis=0) - flow
    change = np.diff(off, axis=0)
    return float(np.sqrt(np.nanmean((change**2).sum(-1))))


def opening(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Mean distance [T] between paired points over the face's height [T]."""
    height = np.linalg.norm(points[:, FOREHEAD] - points[:, CHIN], axis=-1)
    return np.mean([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pairs], 0) / height


def amplitude(lids: np.ndarray) -> float:
    """How far lids close from where they usually are."""
    return float(np.median(lids) - np.percentile(lids, 1))


def track_of(source: Path, output: Path, preset: str, landmarks: Path | None) -> Track:
    """The track in `output`, made where there is none."""
    if not output.exists():
        emoga.track(source, output, landmarks=landmarks, preset=preset)
    return load_track(output)


def row(folder: Path, work: Path, preset: str) -> dict[str, Any]:
    """Figures of one clip."""
    source, marks = folder / "video.mp4", folder / "landmarks.npz"
    own = track_of(source, work / f"{folder.name}.own.{preset}.h5", preset, None)
    usual = track_of(source, work / f"{folder.name}.given.{preset}.h5", preset, marks)
    pictures = open_pictures(source)
    given = load_landmarks(marks, len(pictures), pictures.width, pictures.height).points[0][own.frames]
    ours, detected = points_of(own), own.landmarks.points[0]
    flow = forehead_flow(pictures, own.frames, given)
    theirs_gap, our_gap = opening(given, (LIPS,)), opening(ours, (LIPS,))
    closed = theirs_gap < CLOSED
    error = {
        name: float(np.nanmean(t.quality["photometric"])) for name, t in (("own", own), ("given", usual))
    }
    return {
        "case": folder.name,
        "preset": preset,
        "detector": own.provenance["detector"],
        "frames": own.frame_count,
        "without_a_face": int((~own.landmarks.valid).sum()),
        "error": evaluate_track(own, marks).landmarks.mean_relative,
        "error_with_given": evaluate_track(usual, marks).landmarks.mean_relative,
        "photometric": error["own"] / error["given"],
        "jitter": jitter(ours, flow) / jitter(given, flow),
        "jitter_with_given": jitter(points_of(usual), flow) / jitter(given, flow),
        "jitter_of_detector": jitter(detected, flow) / jitter(given, flow),
        "blink": amplitude(opening(ours, LIDS)) / amplitude(opening(given, LIDS)),
        "blink_with_given": amplitude(opening(points_of(usual), LIDS)) / amplitude(opening(given, LIDS)),
        "lip_gap": float(np.corrcoef(our_gap, theirs_gap)[0, 1]),
        "closed": float(np.percentile(our_gap[closed], 95)) if closed.any() else None,
        "closed_frames": int(closed.sum()),
    }


def main() -> None:
    """Judge the clips."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the tracks")
    parser.add_argument("--clips", nargs="+", default=["mono_a", "mono_b"])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--json", type=Path, help="write machine, versions and rows here")
    options = parser.parse_args()
    if "EMOGA_REAL" not in os.environ:
        parser.error("set EMOGA_REAL to the folder of real footage")
    options.work.mkdir(parents=True, exist_ok=True)
    found = [
        row(Path(os.environ["EMOGA_REAL"]) / clip, options.work, options.preset) for clip in options.clips
    ]
    for figures in found:
        print("\n".join(f"{figures['case']}  {name:<20} {value}" for name, value in figures.items()))
    write_report(found, torch.get_num_threads(), options.json)


if __name__ == "__main__":
    main()
