"""Records of motion without pictures: what drives an avatar."""

from emoga.motion.motion import Motion, load_motion, motion_of_track, save_motion
from emoga.motion.readers import read_motion

__all__ = ["Motion", "load_motion", "motion_of_track", "read_motion", "save_motion"]
