"""Records of avatars: Gaussians, the rig that binds them to a head, and the files they live in."""

from emoga.avatar.avatar import Avatar, Emotion, Gaussians

__all__ = ["Avatar", "Emotion", "Gaussians"]
