"""Edits that were made, beside the output until it is written: a resumed run does not make them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.hdf5 import new_hdf5, open_hdf5, read_array, read_text, write_text

KIND = "emotion edits"


class KeptEdits:
    """One file per emotion, `<output>.<emotion>.edits.h5`, each with a digest of what decided it."""

    def __init__(self, output: str | Path, resume: bool) -> None:
        self._output, self._resume = Path(output), resume
        self._written: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where an emotion's edits are kept."""
        return self._output.with_name(f"{self._output.name}.{name}.edits.h5")

    def read(self, name: str, identity: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Edited pictures uint8 `shape`; None when there are none to resume from, or those of another run."""
        path = self.path(name)
        if not (self._resume and path.is_file()):
            return None
        try:
            with open_hdf5(path, KIND) as file:
                if read_text(file, "identity", limit=100) != identity:
                    return None
                edited = read_array(file, "edited", shape, "u")
        except InputError:
            return None
        self._written.add(path)
        return edited

    def write(self, name: str, identity: str, edited: np.ndarray) -> None:
        """Keep edited pictures uint8 [P,H,W,3]."""
        path = self.path(name)
        with atomic_output(path, overwrite=True) as temporary, new_hdf5(temporary, KIND) as file:
            write_text(file, "identity", identity)
            file.create_dataset("edited", data=edited, chunks=(1, *edited.shape[1:]), compression="gzip",
                                compression_opts=1, track_times=False)  # fmt: skip
        self._written.add(path)

    def remove(self) -> None:
        """Forget this run's edits, once what was learnt from them is written."""
        for path in self._written:
            path.unlink(missing_ok=True)
