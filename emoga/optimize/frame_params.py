"""Which parameters an avatar plays a track's frames with: those its own fit refined, else the tracker's."""

from __future__ import annotations

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.head import HeadParams

# How far, on average over frames, fitting may carry a head from where the track saw it: metres, radians.
MOST_MOVED, MOST_TURNED = 0.05, 0.2


def frame_params(avatar: Avatar, track: Track) -> HeadParams:
    """Fitting refines the motion it trains on: an avatar made from this track knows its frames better."""
    own = avatar.motion
    if own is None or own.frame_count != track.frame_count:
        return track.params
    # As long as this track, but made from another: no refinement moves a head that far.
    moved = (own.params.translation - track.params.translation).norm(dim=-1).mean()
    turned = (own.params.rotation - track.params.rotation).norm(dim=-1).mean()
    return own.params if moved < MOST_MOVED and turned < MOST_TURNED else track.params
