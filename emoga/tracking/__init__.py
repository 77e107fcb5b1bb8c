"""Tracking: the verb that turns pictures of a face into a track."""

from emoga.tracking.many import track_many
from emoga.tracking.tracking import track

__all__ = ["track", "track_many"]
