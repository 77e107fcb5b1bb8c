"""Records of avatars: Gaussians, the rig that binds them to a head, and the files they live in."""

from emoga.avatar.appearance import ColorMLP
from emoga.avatar.avatar import Avatar, Emotion, Gaussians
from emoga.avatar.conversion import with_color_mlp, with_emotion_rows
from emoga.avatar.files import avatar_bytes, inspect_avatar, load_avatar, save_avatar

__all__ = [
    "Avatar",
    "ColorMLP",
    "Emotion",
    "Gaussians",
    "avatar_bytes",
    "inspect_avatar",
    "load_avatar",
    "save_avatar",
    "with_color_mlp",
    "with_emotion_rows",
]
