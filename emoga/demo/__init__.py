"""The whole line on a synthetic performer, for a first look and as a check that everything works together."""

from emoga.demo.demo import DemoResult, demo

__all__ = ["DemoResult", "demo"]
