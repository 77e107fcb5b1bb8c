"""Records of what was filmed: pictures, cameras, masks, landmarks, and the track made from them."""

from emoga.capture.calibration import CONVENTIONS
from emoga.capture.capture import Capture, open_capture, write_capture_index
from emoga.capture.held_out import HeldOut, parse_hold_out, parse_pictures
from emoga.capture.landmarks import Landmarks, load_landmarks, save_landmarks
from emoga.capture.media import Pictures, open_pictures
from emoga.capture.track import Track, load_track, save_track

__all__ = [
    "CONVENTIONS",
    "Capture",
    "HeldOut",
    "Landmarks",
    "Pictures",
    "Track",
    "load_landmarks",
    "load_track",
    "open_capture",
    "open_pictures",
    "parse_hold_out",
    "parse_pictures",
    "save_landmarks",
    "save_track",
    "write_capture_index",
]
