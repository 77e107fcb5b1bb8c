"""Every benchmark and tool at least starts: a name that moved must not wait for hours of films to be missed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["benchmarks", "benchmarks/gpu", "tools"])
def test_all_imports_are_found(folder):
    pytest.importorskip("mitsuba", reason="the studio's films need Mitsuba: pip install 'emoga[studio]'")
    names = sorted(path.stem for path in (ROOT / folder).glob("*.py"))
    assert names
    # One process for a folder: torch and numba's kernels are what takes the time.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / folder, ROOT)))}
    command = [sys.executable, "-c", f"import {', '.join(names)}"]
    found = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=240)
    assert found.returncode == 0, found.stderr.strip().splitlines()[-1]
