"""Arrays to be used again: fresh memory costs a page fault per 4 KiB, a quarter of a render."""

from __future__ import annotations

import threading
import weakref

import numpy as np

CACHE_LINE = 64  # bytes; packed rows and planes must not straddle lines


class Lease:
    """Arrays taken on it belong to it until it is collected."""


class BufferPool:
    """Lends arrays on leases."""

    LIMIT = 2**29  # bytes kept for later

    def __init__(self) -> None:
        # Leases may end inside `take`, when it happens to set off the garbage collector.
        self.lock = threading.RLock()
        self.free: list[np.ndarray] = []

    def take(self, lease: Lease, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An uninitialised array, aligned to cache lines, that goes back to the pool with its lease."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self.lock:
            fitting = [b for b in self.free if size <= b.size <= 4 * size + 65536]
            buffer = min(fitting, key=len, default=None)
            if buffer is not None:
                self.free = [b for b in self.free if b is not buffer]
        if buffer is None:
            buffer = np.empty(size + size // 4 + 2 * CACHE_LINE, np.uint8)
            buffer = buffer[-buffer.ctypes.data % CACHE_LINE :]
        weakref.finalize(lease, self._give, buffer).atexit = False
        return buffer[:size].view(dtype).reshape(shape)

    def _give(self, buffer: np.ndarray) -> None:
        with self.lock:
            self.free.append(buffer)
            while sum(b.size for b in self.free) > self.LIMIT:
                del self.free[0]


pool = BufferPool()
