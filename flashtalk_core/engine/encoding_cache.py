"""Cache of encoded prompts and portraits: a new seed runs neither encoder again."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

_CAPACITY = 32


class EncodingMemo:
    """The most recently used encodings, by a hash of what was encoded; each a few MB at most."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        """Hold at most ``capacity`` encodings; the least recently used one is evicted first."""
        self._capacity = capacity
        self._stored: OrderedDict[str, Tensor] = OrderedDict()

    def __repr__(self) -> str:
        return f"EncodingMemo({len(self._stored)} of at most {self._capacity})"

    def find(self, key: str) -> Tensor | None:
        """Return what is stored under ``key``, or ``None``."""
        if key in self._stored:
            self._stored.move_to_end(key)
        return self._stored.get(key)

    def store(self, key: str, encoding: Tensor) -> Tensor:
        """Store a copy of ``encoding`` in host memory under ``key``; return ``encoding``."""
        self._stored[key] = encoding.cpu()
        while len(self._stored) > self._capacity:
            self._stored.popitem(last=False)
        return encoding
