"""The stack machine of pickles with the instructions that build data, and none that runs anything."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

MAX_INSTRUCTIONS = 1_000_000
MAX_ELEMENTS = 64 * 2**20
DIGITS = 20
MAX_AXES = 8
SPARSE = tuple(
    f"scipy.sparse.{module}.{kind}_matrix" for kind in ("csc", "csr") for module in (kind, f"_{kind}")
)
CLASSES = ("chumpy.ch.Ch", "chumpy.reordering.Select", *SPARSE)
NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
SETS = ("__builtin__.set", "builtins.set")
FUNCTIONS = (
    *(f"{module}.{name}" for module in NUMPY for name in ("_reconstruct", "scalar")), *BUFFERS, *SETS,
    "numpy.dtype", "copy_reg._reconstructor", "copyreg._reconstructor", "_codecs.encode",
)  # fmt: skip
NAMES = {*CLASSES, *FUNCTIONS, "numpy.ndarray", "__builtin__.object", "builtins.object"}


class Refused(ValueError):
    """What the file holds is not data; the text says what."""


@dataclass(frozen=True)
class Name:
    """A name of NAMES that the file mentions."""

    name: str


@dataclass(eq=False)
class Thing:
    """What a constructor of the file stands for, until its state has come: an array, a type or an instance."""

    kind: str
    state: object = None


@dataclass
class ElementType:
    """An element type: numbers of `kind` and `size`, or Python objects."""

    kind: str
    size: int
    order: str = "<"

    def numpy(self) -> np.dtype:
        """The type as NumPy knows it; refused for anything but numbers."""
        if self.kind not in "fiub":
            raise Refused(f"an array of the type {self.kind!r}")
        return np.dtype(f"{'<' if self.size == 1 else self.order}{self.kind}{self.size}")


@dataclass
class Budget:
    """How many elements all arrays of a file may have together."""

    left: int = MAX_ELEMENTS

    def spend(self, count: int) -> None:
        """Refuse what goes beyond."""
        self.left -= count
        if self.left < 0:
            raise Refused(f"arrays of more than {MAX_ELEMENTS} elements")


@dataclass
class Machine:
    """Runs the instructions of one pickle; `stack` is above the last mark, `below` are the stacks beneath."""

    data: bytes
    at: int = 0
    budget: Budget = field(default_factory=Budget)
    stack: list = field(default_factory=list)
    below: list[list] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def run(self) -> object:
        """The one value that is left when the program stops."""
        for _ in range(MAX_INSTRUCTIONS):
            code = self._take(1)
            if code == b".":
                return self.stack.pop()
            action = ACTIONS.get(code)
            if action is None:
                raise Refused(f"the pickle instruction {code!r}")
            action(self)
        raise Refused(f"more than {MAX_INSTRUCTIONS} pickle instructions")

    def _take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ValueError("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> bytes:
        """The bytes up to the next newline, which is passed."""
        end = self.data.index(b"\n", self.at)
        return self._take(end + 1 - self.at)[:-1]

    def _digits(self) -> int:
        line = self._line().rstrip(b"L")
        if len(line) > DIGITS:
            raise ValueError("a number too long")
        return int(line)

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a new stack."""
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list:
        """What was put since the mark, which is removed."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def integer(self) -> None:
        """INT, which also writes truth values."""
        truth = {b"00\n": False, b"01\n": True}
        written = self.data[self.at : self.at + 3]
        self.push(truth[self._line() + b"\n"] if written in truth else self._digits())

    def long(self, form: str) -> None:
        """An integer of as many bytes as it says, no more than eight."""
        size = self._number(form)
        if size > 8:
            raise ValueError("a number too long")
        self.push(int.from_bytes(self._take(size), "little", signed=True))

    def block(self, form: str, text: bool) -> None:
        """Bytes, or text in UTF-8, after their length."""
        raw = self._take(self._number(form))
        self.push(raw.decode("utf-8", "surrogatepass") if text else raw)

    def quoted(self) -> None:
        """STRING of Python 2: bytes as its source would write them."""
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("an unquoted text")
        self.push(codecs.escape_decode(line[1:-1])[0])

    def tuple_of(self, count: int) -> None:
        """The last `count` values as one."""
        items = tuple(self.stack.pop() for _ in range(count))
        self.push(items[::-1])

    def extend(self, items: list) -> None:
        """Add to the list on the stack."""
        if not isinstance(self.stack[-1], list):
            raise ValueError("not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list) -> None:
        """Add keys and values in turn to the dictionary on the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes | int):
                raise Refused("a dictionary whose keys are not texts or integers")
            target[key.decode("latin-1") if isinstance(key, bytes) else key] = value

    def dictionary(self) -> None:
        """DICT: what was put since the mark, keys and values in turn."""
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def pop_two(self) -> list:
        """The last two values, in the order in which they came."""
        second = self.stack.pop()
        return [self.stack.pop(), second]

    def keep(self, place: int | None = None) -> None:
        """Remember the value on the stack."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Put a remembered value on the stack."""
        self.push(self.memo[place])

    def named(self, module: object, name: object) -> None:
        """GLOBAL: one of NAMES."""
        parts = [p.decode("latin-1") if isinstance(p, bytes) else p for p in (module, name)]
        full = ".".join(str(part) for part in parts)
        if full not in NAMES:
            raise Refused(f"the name {full[:80]!r}")
        self.push(Name(full))

    def call(self) -> None:
        """REDUCE and NEWOBJ: what a known constructor stands for."""
        function, arguments = self.pop_two()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of something that has no name")
        self.push(_constructed(function.name, arguments, self.budget))

    def build(self) -> None:
        """BUILD: give its state to what a constructor stands for."""
        thing, state = self.pop_two()
        if isinstance(thing, ElementType):
            if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", b">"):
                thing.order = ">"
        elif isinstance(thing, Thing):
            thing.state = _array(state, self.budget) if thing.kind == "numpy.ndarray" else state
        else:
            raise Refused("the state of something that has none")
        self.push(thing)


def _constructed(name: str, arguments: tuple, budget: Budget) -> object:
    """What a call of a known constructor stands for."""
    if name.endswith("._reconstruct"):
        return Thing("numpy.ndarray")
    if name.endswith("._reconstructor"):
        return _constructed(arguments[0].name, (), budget) if isinstance(arguments[0], Name) else None
    if name in CLASSES:
        return Thing(name)
    if name == "numpy.dtype":
        return _element_type(arguments[0])
    if name == "_codecs.encode":
        return _bytes(arguments[0], budget)
    if name in SETS:
        return arguments[0] if arguments and isinstance(arguments[0], list) else []
    if name.endswith(".scalar"):
        return _array(((1,), arguments[0], False, arguments[1]), budget).item()
    if name in BUFFERS:
        buffer, element, shape, order = arguments[:4]
        return _array((shape, element, order in ("F", b"F"), buffer), budget)
    raise Refused(f"a call of {name!r}")


def _bytes(text: object, budget: Budget) -> bytes:
    """The bytes that Python 3 wrote as text for Python 2."""
    if not isinstance(text, str):
        raise ValueError("bytes that are none")
    budget.spend(len(text))
    return text.encode("latin-1")


def _element_type(text: object) -> ElementType:
    """The type that `f8`, `<i4`, `O8` or `b1` name."""
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    if not isinstance(text, str) or not 2 <= len(text.lstrip("<>|=")) <= 3:
        raise Refused(f"an array of the type {str(text)[:40]!r}")
    short = text.lstrip("<>|=")
    return ElementType(short[0], int(short[1:]), ">" if text[0] == ">" else "<")


def _array(state: object, budget: Budget) -> np.ndarray | list:
    """The array that its pickled state describes: (version,) shape, type, column-major, bytes (or a list)."""
    shape, element, fortran, raw = state[-4:] if isinstance(state, tuple) else ((), None, False, b"")
    if not isinstance(element, ElementType) or not isinstance(shape, tuple) or len(shape) > MAX_AXES:
        raise ValueError("an array without type and shape")
    if element.kind == "O" and isinstance(raw, list):
        return raw
    kind, count = element.numpy(), 1
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    for length in shape:
        if not isinstance(length, int) or length < 0:
            raise ValueError("a shape that is none")
        count *= length
    budget.spend(count)
    if not isinstance(raw, bytes) or count * kind.itemsize != len(raw):
        raise ValueError("an array whose bytes do not fill its shape")
    flat = np.frombuffer(raw, kind).astype(kind.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")


ACTIONS: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": lambda m: m._take(1),
    b"\x95": lambda m: m._take(8),
    b"(": Machine.mark,
    b"0": lambda m: m.stack.pop(),
    b"1": lambda m: m.since_mark(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": Machine.integer,
    b"L": lambda m: m.push(m._digits()),
    b"J": lambda m: m.push(m._number("<i")),
    b"K": lambda m: m.push(m._number("<B")),
    b"M": lambda m: m.push(m._number("<H")),
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<I"),
    b"F": lambda m: m.push(float(m._line())),
    b"G": lambda m: m.push(m._number(">d")),
    b"S": Machine.quoted,
    b"T": lambda m: m.block("<I", text=False),
    b"U": lambda m: m.block("<B", text=False),
    b"B": lambda m: m.block("<I", text=False),
    b"C": lambda m: m.block("<B", text=False),
    b"\x8e": lambda m: m.block("<Q", text=False),
    b"\x96": lambda m: m.block("<Q", text=False),
    b"V": lambda m: m.push(m._line().decode("raw-unicode-escape")),
    b"X": lambda m: m.block("<I", text=True),
    b"\x8c": lambda m: m.block("<B", text=True),
    b"\x8d": lambda m: m.block("<Q", text=True),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.since_mark()),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"}": lambda m: m.push({}),
    b"d": Machine.dictionary,
    b"s": lambda m: m.set_items(m.pop_two()),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"\x8f": lambda m: m.push([]),
    b"\x90": lambda m: m.extend(m.since_mark()),
    b"p": lambda m: m.keep(m._digits()),
    b"q": lambda m: m.keep(m._number("<B")),
    b"r": lambda m: m.keep(m._number("<I")),
    b"\x94": lambda m: m.keep(),
    b"g": lambda m: m.recall(m._digits()),
    b"h": lambda m: m.recall(m._number("<B")),
    b"j": lambda m: m.recall(m._number("<I")),
    b"c": lambda m: m.named(m._line(), m._line()),
    b"\x93": lambda m: m.named(*m.pop_two()),
    b"R": Machine.call,
    b"\x81": Machine.call,
    b"b": Machine.build,
}
