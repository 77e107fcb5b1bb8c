"""ONNX files of one node or two, written byte by byte: the onnx package is not needed to make them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

TENSOR_FLOAT = 1


def save_pool_and_mix(path: Path, weights: np.ndarray, side: int | str, batch: int | str = "n") -> Path:
    """A network [batch,3,side,side] -> mean colour [batch,3] -> times weights [3,D] -> [batch,D]."""
    nodes = [
        _node("GlobalAveragePool", ["picture"], ["mean"]),
        _node("Flatten", ["mean"], ["flat"]),
        _node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    graph = b"".join(_field(1, node) for node in nodes)
    graph += _field(2, b"tiny")
    graph += _field(5, _tensor("weights", weights.astype("<f4")))
    graph += _field(11, _value("picture", [batch, 3, side, side]))
    graph += _field(12, _value("vector", [batch, weights.shape[1]]))
    model = _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))
    path.write_bytes(model)
    return path


def _node(kind: str, inputs: list[str], outputs: list[str]) -> bytes:
    parts = [_field(1, name.encode()) for name in inputs] + [_field(2, name.encode()) for name in outputs]
    return b"".join(parts) + _field(4, kind.encode())


def _tensor(name: str, values: np.ndarray) -> bytes:
    sizes = b"".join(_number(1, size) for size in values.shape)
    return sizes + _number(2, TENSOR_FLOAT) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, sizes: list[int | str]) -> bytes:
    dims = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in sizes
    )
    kind = _number(1, TENSOR_FLOAT) + _field(2, dims)
    return _field(1, name.encode()) + _field(2, _field(1, kind))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += struct.pack("B", value & 127 | 128)
        value >>= 7
    return out + struct.pack("B", value)
