"""Encoded prompts and portraits, kept so that a new seed needs neither encoder again."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

_CAPACITY = 16


class EncodingMemo:
    """The last few encodings by what they were made from. Each is some megabytes at most."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        """Hold at most ``capacity`` encodings; the one unused for longest goes first."""
        self._capacity = capacity
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def __repr__(self) -> str:
        return f"EncodingMemo({len(self._kept)} of at most {self._capacity})"

    def find(self, key: str) -> Tensor | None:
        """Return what is kept under ``key``, or ``None``."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str, encoding: Tensor) -> Tensor:
        """Keep ``encoding`` under ``key``, in memory of the host, and return it."""
        self._kept[key] = encoding.cpu()
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return encoding
