"""Pickled arrays from strangers, read as data: nothing is imported, nothing is called, anything else is refused.

A pickle is a program for a small stack machine. This machine has the instructions that build numbers, texts,
lists and arrays; what would call a function is looked up among the few names below and rebuilt by emoga's own
code. Python 2's files are read too (texts are bytes), with the arrays that chumpy and scipy.sparse wrap.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import require_file
from emoga.pickle_machine import Budget, ElementType, Machine, Name, Refused, Thing

MAX_BYTES = 512 * 2**20
MAX_NESTING = 6


def read_pickle(path: str | Path, skip: int = 0, what: str = "a pickle of arrays") -> object:
    """What a pickle holds, after `skip` bytes: dictionaries, lists, texts, numbers and NumPy arrays.

    Sparse matrices become dense, chumpy arrays plain. Raises InputError for everything else, by its name.
    """
    path = require_file(path, what)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: {path.stat().st_size} bytes, more than {what} ever has; refused")
    data = path.read_bytes()
    try:
        machine = Machine(data, skip)
        return _Plain(machine.budget).value(machine.run(), MAX_NESTING)
    except Refused as error:
        raise InputError(
            f"{path}: holds {error}, which is not read from a pickle; expected {what}"
        ) from error
    except (
        struct.error,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise InputError(f"{path}: damaged or cut short; expected {what}") from error


@dataclass
class _Plain:
    """Puts arrays in place of what stands for them, each once, however often it is mentioned."""

    budget: Budget
    done: dict[int, object] = field(default_factory=dict)

    def value(self, given: object, depth: int) -> object:
        """A value and what it holds, `depth` levels deep, no deeper."""
        if depth == 0:
            raise Refused("values nested too deeply")
        if not isinstance(given, bytes | dict | list | tuple | Thing | Name | ElementType):
            return given
        if id(given) not in self.done:
            self.done[id(given)] = self._made(given, depth - 1)
        return self.done[id(given)]

    def _made(self, given: object, depth: int) -> object:
        if isinstance(given, bytes):
            return given.decode("latin-1")
        if isinstance(given, dict):
            return {key: self.value(item, depth) for key, item in given.items()}
        if isinstance(given, list | tuple):
            return [self.value(item, depth) for item in given]
        if not isinstance(given, Thing):
            return None
        if given.kind == "numpy.ndarray":
            return self.value(given.state, depth) if isinstance(given.state, list) else given.state
        if not isinstance(given.state, dict):
            raise ValueError(f"{given.kind} without its state")
        return self._unwrapped(given.kind, given.state, depth)

    def _unwrapped(self, kind: str, state: dict, depth: int) -> object:
        """The array within a chumpy or sparse object."""
        if kind == "chumpy.ch.Ch":
            return self.value(state["x"], depth)
        if kind == "chumpy.reordering.Select":
            index = _index(self.value(state["idxs"], depth))
            whole = np.ravel(self.value(state["a"], depth))
            self.budget.spend(len(index) + len(whole))
            flat = whole[index]
            wanted = self.value(state.get("preferred_shape"), depth)
            return flat if wanted is None else flat.reshape([int(n) for n in np.ravel(wanted)])
        return _dense(kind, {key: self.value(item, depth) for key, item in state.items()}, self.budget)


def _dense(kind: str, state: dict, budget: Budget) -> np.ndarray:
    """The matrix of a compressed sparse one, by columns or by rows; sizes are checked first."""
    rows, columns = (int(n) for n in np.ravel(state["_shape"] if "_shape" in state else state["shape"]))
    if rows < 0 or columns < 0:
        raise ValueError("a shape that is none")
    data, inner, ends = np.ravel(state["data"]), _index(state["indices"]), _index(state["indptr"])
    budget.spend(rows * columns + len(data))
    by_column = "csc" in kind
    outer = columns if by_column else rows
    counts = np.diff(ends)
    whole = len(ends) == outer + 1 and ends[0] == 0 and (counts >= 0).all() and ends[-1] == len(inner)
    if not whole or len(data) != len(inner) or (inner < 0).any():
        raise ValueError("a sparse matrix that does not hold together")
    dense = np.zeros((rows, columns), data.dtype)
    other = np.repeat(np.arange(outer), counts)
    np.add.at(dense, (inner, other) if by_column else (other, inner), data)
    return dense


def _index(values: object) -> np.ndarray:
    found = np.ravel(np.asarray(values))
    if found.dtype.kind not in "iu":
        raise ValueError("indices that are not integers")
    return found.astype(np.int64)
