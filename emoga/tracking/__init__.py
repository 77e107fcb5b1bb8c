"""Tracking: the verb that turns pictures of a face into a track."""

from emoga.tracking.tracking import track

__all__ = ["track"]
