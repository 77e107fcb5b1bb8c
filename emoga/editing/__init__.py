"""Edits of avatars by words: plans carried out on shape, appearance and things worn."""

from emoga.editing.edit import EditReport, edit

__all__ = ["EditReport", "edit"]
