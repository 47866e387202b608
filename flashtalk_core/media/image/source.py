"""A file as Pillow is to see it: parts of the real one, and bytes of our own between them."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

MAX_META_BYTES = 16 * 2**20
"""Most bytes of a colour profile or another note in an image; a larger one is left out."""


@dataclass(frozen=True)
class Span:
    """A stretch of a file."""

    start: int
    size: int


class Spliced(io.RawIOBase):
    """Spans of a file and literal bytes, one after another, as one stream.

    Args:
        file: Where the spans lie.
        parts: What is read.
        tail: Bytes behind all parts. No read returns some of it together with other bytes, so
            that it is known whether a reader asked for more than the file has.
    """

    def __init__(self, file: BinaryIO, parts: Sequence[Span | bytes], tail: bytes = b"") -> None:
        self._file = file
        self._parts = [*parts, tail]
        sizes = [part.size if isinstance(part, Span) else len(part) for part in self._parts]
        self._starts = [0, *accumulate(sizes)]
        self._position = 0
        self.tail_was_read = False

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the position in the joined stream."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position of the joined stream."""
        origins = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: self._starts[-1],
        }
        self._position = max(0, origins[whence] + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; see the class about the tail."""
        tail_start = self._starts[-2]
        end = self._starts[-1] if size < 0 else min(self._position + size, self._starts[-1])
        if self._position < tail_start:
            end = min(end, tail_start)
        chunks = []
        while self._position < end:
            chunk = self._read_chunk(end)
            if not chunk:
                break
            chunks.append(chunk)
            self._position += len(chunk)
        self.tail_was_read |= bool(chunks) and self._position > tail_start
        return b"".join(chunks)

    def _read_chunk(self, end: int) -> bytes:
        """Return bytes of one part, from the position on."""
        index = bisect_right(self._starts, self._position) - 1
        part, skipped = self._parts[index], self._position - self._starts[index]
        wanted = min(end, self._starts[index + 1]) - self._position
        if isinstance(part, bytes):
            return part[skipped : skipped + wanted]
        self._file.seek(part.start + skipped)
        return self._file.read(wanted)
