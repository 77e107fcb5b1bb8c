"""Edits of avatars by words: plans carried out on shape, appearance and things worn."""

from emoga.editing.by_pictures import PictureChoice
from emoga.editing.edit import EditReport, edit
from emoga.editing.together import TogetherChoice

__all__ = ["EditReport", "PictureChoice", "TogetherChoice", "edit"]
