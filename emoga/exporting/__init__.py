"""Avatars into the files of other programs."""

from emoga.exporting.export import FORMATS, Exported, export, export_bytes, format_for

__all__ = ["FORMATS", "Exported", "export", "export_bytes", "format_for"]
