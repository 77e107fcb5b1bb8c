"""Fitting: from a track to an avatar."""

from emoga.fitting.fit import fit
from emoga.fitting.report import FitReport

__all__ = ["FitReport", "fit"]
