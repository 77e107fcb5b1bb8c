"""Drive an avatar: motion, emotions and cameras to video or pictures."""

from emoga.avatar.emotions import EmotionCurve, parse_emotion
from emoga.reenactment.cameras import Orbit, fitted_camera, parse_orbit, portrait_camera
from emoga.reenactment.reenact import Reenactment, reenact
from emoga.reenactment.stills import still_pictures

__all__ = [
    "EmotionCurve",
    "Orbit",
    "Reenactment",
    "fitted_camera",
    "parse_emotion",
    "parse_orbit",
    "portrait_camera",
    "reenact",
    "still_pictures",
]
